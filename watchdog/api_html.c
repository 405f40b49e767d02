/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/api_html.h"

#include <time.h>

#include "base/clock.h"

#define CSP                                                                                        \
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "   \
    "frame-ancestors 'none'"

void api_html_head(struct buf *b, const char *title, unsigned reload_s)
{
    (void)buf_add_text(b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                          "<meta name=\"viewport\" content=\"width=device-width\"><title>");
    (void)buf_add_html(b, title);
    (void)buf_add_text(b, "</title><link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" "
                          "href=\"/style.css\">");
    if (reload_s > 0) {
        (void)buf_addf(b, "<meta http-equiv=\"refresh\" content=\"%u\">", reload_s);
    }
    (void)buf_add_text(b, "</head><body>\n");
}

struct MHD_Response *api_html_response(struct buf *b)
{
    (void)buf_add_text(b, "</main></body></html>\n");
    if (buf_failed(b)) {
        buf_release(b);
        return NULL;
    }
    size_t len = b->len;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, buf_take(b), MHD_RESPMEM_MUST_FREE);
    if (response != NULL) {
        (void)MHD_add_response_header(response, "Content-Type", "text/html; charset=utf-8");
        (void)MHD_add_response_header(response, "Content-Security-Policy", CSP);
    }
    return response;
}

enum MHD_Result api_html_send(struct api_request *r, struct buf *b)
{
    struct MHD_Response *response = api_html_response(b);
    return response == NULL ? api_request_problem(r, 500, "the page is larger than its limit")
                            : api_request_send(r, MHD_HTTP_OK, response);
}

struct MHD_Response *api_html_problem(unsigned status, const char *title, const char *detail)
{
    struct buf b = BUF_INIT(16 << 10);
    api_html_head(&b, title, 0);
    (void)buf_addf(&b,
                   "<header><h1><a href=\"/\">incidentd</a></h1></header><main>"
                   "<h2 class=\"id\">%u: %s</h2><div class=\"card\"><p>",
                   status, title);
    (void)buf_add_html(&b, detail);
    (void)buf_add_text(&b, "</p><p><a href=\"/\">To the incidents</a></p></div>");
    return api_html_response(&b);
}

void api_html_tag(struct buf *b, const char *class, const char *text)
{
    (void)buf_addf(b, "<span class=\"tag %s\">", class);
    (void)buf_add_html(b, text);
    (void)buf_add_text(b, "</span> ");
}

void api_html_cell(struct buf *b, const char *label, const char *text)
{
    (void)buf_addf(b, "<td data-label=\"%s\">", label);
    (void)buf_add_html(b, text);
    (void)buf_add_text(b, "</td>");
}

char *api_html_span(int64_t ms, char out[API_HTML_SPAN])
{
    int64_t s = ms < 0 ? 0 : ms / 1000;
    const char *unit = s < 120 ? "s" : s < 7200 ? "min" : s < 172800 ? "h" : "d";
    int64_t by = s < 120 ? 1 : s < 7200 ? 60 : s < 172800 ? 3600 : 86400;
    (void)snprintf(out, API_HTML_SPAN, "%lld %s", (long long)(s / by), unit);
    return out;
}

void api_html_when(struct buf *b, int64_t ms)
{
    char text[CLOCK_TEXT_SIZE];
    char span[API_HTML_SPAN];
    if (ms <= 0) {
        (void)buf_add_text(b, "never");
        return;
    }
    (void)clock_rfc3339(ms, text);
    int64_t ago_ms = (int64_t)time(NULL) * 1000 - ms;
    (void)buf_addf(b, "<time datetime=\"%s\">%.10s %.8s UTC</time>", text, text, text + 11);
    if (ago_ms >= -999) {
        (void)buf_addf(b, " <span class=\"dim\">(%s ago)</span>", api_html_span(ago_ms, span));
    }
}

void api_html_size(struct buf *b, int64_t bytes)
{
    if (bytes < 1024) {
        (void)buf_addf(b, "%lld B", (long long)bytes);
    } else if (bytes < 1 << 20) {
        (void)buf_addf(b, "%.1f KiB", (double)bytes / 1024);
    } else {
        (void)buf_addf(b, "%.1f MiB", (double)bytes / (1 << 20));
    }
}

void api_html_form_token(struct buf *b, const struct api_request *r)
{
    char token[API_HEX_SIZE];
    api_auth_form(&r->api->auth, r->session, token);
    (void)buf_addf(b, "<input type=\"hidden\" name=\"form\" value=\"%s\">", token);
}

void api_html_path(struct buf *b, const char *path)
{
    for (const char *p = path; *p != '\0'; p++) {
        bool plain = strchr("%?# \"<>&'\\", *p) == NULL && *p > ' ' && *p < 0x7f;
        (void)(plain ? buf_add_char(b, *p) : buf_addf(b, "%%%02X", (unsigned char)*p));
    }
}
