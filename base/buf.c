/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf)BUF_INIT(max);
}

void buf_release(struct buf *b)
{
    if (b != NULL) {
        free(b->data);
        buf_init(b, b->max);
    }
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->full = false;
    if (b->data != NULL) {
        b->data[0] = '\0';
    }
}

/* Makes room for `more` bytes and the NUL. */
static int reserve(struct buf *b, size_t more)
{
    if (more > b->max || b->len > b->max - more) {
        b->full = true;
        return -EMSGSIZE;
    }
    size_t need = b->len + more + 1;
    if (need <= b->capacity) {
        return 0;
    }
    size_t grown = b->capacity < 64 ? 64 : b->capacity * 2;
    if (grown > b->max + 1) {
        grown = b->max + 1;
    }
    if (grown < need) {
        grown = need;
    }
    char *data = realloc(b->data, grown);
    if (data == NULL) {
        b->full = true;
        return -ENOMEM;
    }
    b->data = data;
    b->capacity = grown;
    return 0;
}

int buf_add(struct buf *b, const void *data, size_t len)
{
    int rc = reserve(b, len);
    if (rc < 0) {
        return rc;
    }
    if (len > 0) {
        memcpy(b->data + b->len, data, len);
    }
    b->len += len;
    b->data[b->len] = '\0';
    return 0;
}

int buf_add_text(struct buf *b, const char *text)
{
    return buf_add(b, text, strlen(text));
}

int buf_add_char(struct buf *b, char c)
{
    return buf_add(b, &c, 1);
}

int buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    int rc = n < 0 ? -EINVAL : reserve(b, (size_t)n);
    if (rc == 0) {
        (void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return rc;
}

/* Bytes that a UTF-8 lead byte announces, 0 for one that cannot lead. */
static size_t utf8_announced(unsigned char lead)
{
    if (lead < 0x80) {
        return 1;
    }
    if (lead < 0xc2 || lead > 0xf4) {
        return 0; /* continuation byte, overlong form of ASCII, beyond U+10FFFF */
    }
    return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* Length of the valid UTF-8 sequence at `s`, 0 when there is none (RFC 3629: no surrogates, no
 * overlong forms). */
static size_t utf8_length(const unsigned char *s)
{
    static const struct {
        unsigned char lead;
        unsigned char least;
        unsigned char most;
    } narrow[] = {{0xe0, 0xa0, 0xbf}, {0xed, 0x80, 0x9f}, {0xf0, 0x90, 0xbf}, {0xf4, 0x80, 0x8f}};
    size_t n = utf8_announced(s[0]);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    for (size_t i = 0; n > 1 && i < ARRAY_LEN(narrow); i++) {
        if (s[0] == narrow[i].lead && (s[1] < narrow[i].least || s[1] > narrow[i].most)) {
            return 0;
        }
    }
    return n;
}

int buf_add_json(struct buf *b, const char *text)
{
    int rc = 0;
    const unsigned char *s = (const unsigned char *)text;
    while (*s != '\0' && rc == 0) {
        size_t n = utf8_length(s);
        if (*s == '"' || *s == '\\') {
            rc = buf_addf(b, "\\%c", (char)*s);
        } else if (*s == '\n') {
            rc = buf_add(b, "\\n", 2);
        } else if (*s < 0x20 || *s == 0x7f) {
            rc = buf_addf(b, "\\u%04x", (unsigned)*s);
        } else if (n == 0) {
            rc = buf_add(b, "\\ufffd", 6);
        } else {
            rc = buf_add(b, s, n);
        }
        s += n == 0 ? 1 : n;
    }
    return rc;
}

int buf_add_html(struct buf *b, const char *text)
{
    int rc = 0;
    for (const char *s = text; *s != '\0' && rc == 0; s++) {
        switch (*s) {
        case '&':
            rc = buf_add_text(b, "&amp;");
            break;
        case '<':
            rc = buf_add_text(b, "&lt;");
            break;
        case '>':
            rc = buf_add_text(b, "&gt;");
            break;
        case '"':
            rc = buf_add_text(b, "&quot;");
            break;
        case '\'':
            rc = buf_add_text(b, "&#39;");
            break;
        default:
            rc = buf_add_char(b, *s);
            break;
        }
    }
    return rc;
}

bool buf_failed(const struct buf *b)
{
    return b->full;
}

const char *buf_text(const struct buf *b)
{
    return b->data == NULL ? "" : b->data;
}

char *buf_take(struct buf *b)
{
    char *data = b->data == NULL ? xstrdup("") : b->data;
    buf_init(b, b->max);
    return data;
}
