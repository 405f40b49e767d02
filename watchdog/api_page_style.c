/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page's one style sheet. Text has a contrast of at least 4.5 to 1 to what lies under it, the
 * edges of controls 3 to 1, in the light and in the dark; below 40 rem the tables become lists.
 */
#include "watchdog/api_http.h"

static const char style[] =
    ":root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--text:#1b2330;--dim:#566171;"
    "--line:#e0e4ea;--edge:#7d8896;--link:#0b58a8;--bad:#a8201a;--badbg:#fdeae8;--ok:#17653a;"
    "--okbg:#e4f4ea;--warn:#7d4c00;--warnbg:#fdf0d9;--calm:#475262;--calmbg:#e9ecf1;"
    "--main:#0b58a8;--onmain:#fff}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#11151b;--card:#1a2029;--text:#e5e9ef;"
    "--dim:#a0abb9;--line:#2c3541;--edge:#76828f;--link:#86bdf6;--bad:#ffa199;--badbg:#471f1e;"
    "--ok:#8adca8;--okbg:#163425;--warn:#f4c46c;--warnbg:#3c2d11;--calm:#b7c0cc;"
    "--calmbg:#29313c;--main:#86bdf6;--onmain:#0d1826}}\n"
    "*{box-sizing:border-box}body{margin:0;padding-bottom:3rem;background:var(--bg);"
    "color:var(--text);font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",sans-serif}"
    "main,header{max-width:70rem;margin:0 auto;padding:0 1rem}a{color:var(--link)}\n"
    "header{display:flex;gap:.5rem .8rem;align-items:center;padding-top:1rem;flex-wrap:wrap}"
    "header h1{font-size:1.2rem;margin:0}.push{margin-left:auto}"
    "h2{font-size:1rem;margin:1.8rem 0 .6rem}h3{font-size:1.05rem;margin:0}"
    "h2.id{font-size:1.3rem;margin:1.2rem 0 .6rem;overflow-wrap:anywhere}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:8px;"
    "padding:.8rem 1rem;margin:0 0 .7rem}.card p{margin:.35rem 0}.card p:last-child{"
    "margin-bottom:0}.open{border-left:4px solid var(--bad)}.dim{color:var(--dim)}"
    ".top{display:flex;gap:.2rem .6rem;align-items:center;flex-wrap:wrap}"
    ".lead{font-size:1.08rem}.growth{font-weight:600}\n"
    "code,pre{font:.87em/1.55 ui-monospace,\"DejaVu Sans Mono\",monospace;"
    "overflow-wrap:anywhere}pre{margin:0;white-space:pre-wrap}"
    ".wide{padding:.2rem 0;overflow:hidden}.wide .top{padding:.5rem 1rem}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem 1rem;"
    "border-top:1px solid var(--line);vertical-align:top}table:first-child tr:first-child>*{"
    "border-top:0}th{color:var(--dim);font-weight:600;font-size:.85rem}"
    ".n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\n"
    ".tag{display:inline-block;padding:.05rem .6rem;border-radius:1rem;font-size:.82rem;"
    "font-weight:600;white-space:nowrap;color:var(--calm);background:var(--calmbg)}"
    ".tag.bad{color:var(--bad);background:var(--badbg)}.tag.ok{color:var(--ok);"
    "background:var(--okbg)}.tag.warn{color:var(--warn);background:var(--warnbg)}\n"
    "form{display:inline-flex;gap:.5rem;align-items:center;flex-wrap:wrap;margin:0}"
    "button,select,input,.button{font:inherit;color:inherit;background:var(--card);"
    "padding:.3rem .8rem;border:1px solid var(--edge);border-radius:6px;max-width:100%}"
    "button,.button{cursor:pointer;font-weight:600;text-decoration:none;display:inline-block}"
    ".button.main,button.main{background:var(--main);border-color:var(--main);"
    "color:var(--onmain)}.row{display:flex;gap:.5rem;flex-wrap:wrap;align-items:center;"
    "margin:.8rem 0 .2rem}summary{cursor:pointer}details.card>summary{font-weight:600}"
    "details.card[open]>summary{margin-bottom:.4rem}details.wide>summary{padding:.4rem 1rem}"
    "details.ask>summary{list-style:none}details.ask[open]{display:flex;gap:.5rem;"
    "flex-wrap:wrap;align-items:center}:focus-visible{outline:2px solid var(--link);"
    "outline-offset:2px}.card p.pad{margin:0;padding:0 1rem .5rem;overflow-wrap:anywhere}header "
    "select{max-width:19rem}"
    ".login{max-width:26rem}.login form{display:flex}.login input{flex:1}\n"
    "@media(max-width:40rem){header .push{margin-left:0}.h{display:none}"
    "tr:not(.h){display:block;border-top:1px solid var(--line);padding:.35rem 1rem}"
    "tr:nth-child(2){border-top:0}td{display:inline-block;border:0;padding:0 .9rem 0 0;"
    "overflow-wrap:anywhere}td.n{text-align:left}"
    "td[data-label]:not(:empty)::before{content:attr(data-label) \": \";color:var(--dim)}}\n";

enum MHD_Result api_page_style(struct api_request *r)
{
    struct buf b = BUF_INIT(16 << 10);
    (void)buf_add_text(&b, style);
    return api_request_text(r, MHD_HTTP_OK, "text/css; charset=utf-8", &b);
}
