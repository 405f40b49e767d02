/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error.h: what went wrong, where, and what mends it.
 *
 * A fallible function returns 0 (or a non-negative result) or a negative errno value and takes
 * `struct error *err` last. On failure `err` is filled, on success it is untouched. The object
 * lives on the caller's stack with its texts inline, so that reporting "out of memory" cannot fail.
 * `err` may be NULL where the caller wants the code alone. errno itself never crosses a module's
 * border.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/base.h"

struct error {
    int code;          /* negative errno, 0 while unset */
    unsigned line;     /* 1-based, 0 when no file position applies */
    unsigned column;   /* 1-based, 0 when unknown */
    char where[256];   /* file name or URL, "" when none */
    char message[512]; /* lower case, subject in single quotes, no full stop */
    char remedy[256];  /* what the reader can do about it, "" when nothing better is known */
};

#define ERROR_INIT                                                                                 \
    {                                                                                              \
        .code = 0                                                                                  \
    }

/* Fills `err` (if not NULL) with `code` and a message; returns `code`, which must be negative. */
int error_set(struct error *err, int code, const char *fmt, ...) ATTR_FORMAT(3, 4);
/* As error_set, and appends ": <text of code>" as strerror(3) words it. */
int error_errno(struct error *err, int code, const char *fmt, ...) ATTR_FORMAT(3, 4);
/* Puts "<text>: " before the message on the way up; returns the code that stands. */
int error_wrap(struct error *err, const char *fmt, ...) ATTR_FORMAT(2, 3);
/* Adds what mends it; returns the code that stands. */
int error_remedy(struct error *err, const char *fmt, ...) ATTR_FORMAT(2, 3);
/* Says where: a file or URL, with line and column (0: none); returns the code that stands. */
int error_at(struct error *err, const char *where, unsigned line, unsigned column);
/* Writes "where:line:column: message (remedy)" into `out`, always terminated; returns `out`. */
char *error_text(const struct error *err, char *out, size_t size);

#endif
