/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_html.h: the pieces the pages are made of. No script; everything that is not a literal goes
 * through buf_add_html(). Ids are safe names and go into addresses as they are.
 */
#ifndef WATCHDOG_API_HTML_H
#define WATCHDOG_API_HTML_H

#include "watchdog/api_http.h"

enum { API_HTML_SPAN = 32 };

/* Everything up to <body>; `title` is escaped; `reload_s` > 0 loads the page again by itself. */
void api_html_head(struct buf *b, const char *title, unsigned reload_s);
/* Closes the page and makes the answer; empties `b`. NULL when the page was too large. */
struct MHD_Response *api_html_response(struct buf *b);
/* The same, sent with status 200. */
enum MHD_Result api_html_send(struct api_request *r, struct buf *b);
/* A whole page that tells an error; `title` is a literal, `detail` is escaped. */
struct MHD_Response *api_html_problem(unsigned status, const char *title, const char *detail);
/* A rounded label; `class` is "ok", "warn", "bad" or "". */
void api_html_tag(struct buf *b, const char *class, const char *text);
/* A table's cell; `label` (a literal) is shown before it where tables are lists. */
void api_html_cell(struct buf *b, const char *label, const char *text);
/* "41 s", "3 min"; returns `out`. */
char *api_html_span(int64_t ms, char out[API_HTML_SPAN]);
/* A wall time and how long ago that is; "never" for 0. */
void api_html_when(struct buf *b, int64_t ms);
/* "274.6 KiB". */
void api_html_size(struct buf *b, int64_t bytes);
/* The hidden field that ties a form to its session. */
void api_html_form_token(struct buf *b, const struct api_request *r);
/* A relative path, percent-encoded for an attribute. */
void api_html_path(struct buf *b, const char *path);

#endif
