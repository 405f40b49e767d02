/* SPDX-License-Identifier: Apache-2.0 */
/*
 * buf.h: a growing byte buffer that cannot grow without bound.
 *
 * Every buffer is born with a maximum (base/limits.h has them with their reasons). An append that
 * would pass it fails with -EMSGSIZE, changes nothing, and marks the buffer `full`, so that a chain
 * of appends can be checked once at its end with buf_failed(). Contents are always followed by a
 * NUL that is not counted.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/base.h"

struct buf {
    char *data;      /* NULL until the first append; owned; always NUL-terminated when not NULL */
    size_t len;      /* bytes used */
    size_t capacity; /* bytes allocated */
    size_t max;      /* bytes allowed, without the NUL */
    bool full;       /* an append was refused since buf_init or buf_clear */
};

#define BUF_INIT(maximum)                                                                          \
    {                                                                                              \
        .data = NULL, .len = 0, .capacity = 0, .max = (maximum), .full = false                     \
    }

/* An empty buffer that may grow to `max` bytes. */
void buf_init(struct buf *b, size_t max);
/* Frees the contents; `b` may be NULL or never used. Afterwards `b` is empty with the same maximum.
 */
void buf_release(struct buf *b);
/* Empties without giving the memory back. */
void buf_clear(struct buf *b);
/* Each append returns 0, -EMSGSIZE past the maximum, or -ENOMEM. */
int buf_add(struct buf *b, const void *data, size_t len);
int buf_add_text(struct buf *b, const char *text);
int buf_add_char(struct buf *b, char c);
int buf_addf(struct buf *b, const char *fmt, ...) ATTR_FORMAT(2, 3);
/* Appends `text` as the inside of a JSON string (without quotes), invalid UTF-8 replaced by U+FFFD.
 */
int buf_add_json(struct buf *b, const char *text);
/* Appends `text` with & < > " ' as HTML references. */
int buf_add_html(struct buf *b, const char *text);
/* True when an append was refused. */
bool buf_failed(const struct buf *b);
/* The text so far, "" when empty; valid until the next change. */
const char *buf_text(const struct buf *b);
/* Hands the memory to the caller, who frees it; `b` is empty afterwards. Never NULL: "" when empty.
 */
char *buf_take(struct buf *b);

#endif
