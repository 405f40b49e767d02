/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <stdarg.h>

static void *or_abort(void *p)
{
    if (p == NULL) {
        (void)fputs("incidentd: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *xcalloc(size_t count, size_t size)
{
    return or_abort(calloc(count == 0 ? 1 : count, size == 0 ? 1 : size));
}

void *xrealloc(void *p, size_t count, size_t size)
{
    return or_abort(reallocarray(p, count == 0 ? 1 : count, size == 0 ? 1 : size));
}

char *xstrdup(const char *text)
{
    return or_abort(strdup(text));
}

char *xasprintf(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return or_abort(n < 0 ? NULL : text);
}
