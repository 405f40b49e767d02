/* SPDX-License-Identifier: Apache-2.0 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>

int error_set(struct error *err, int code, const char *fmt, ...)
{
    if (err != NULL) {
        memset(err, 0, sizeof(*err));
        err->code = code;
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(err->message, sizeof(err->message), fmt, ap);
        va_end(ap);
    }
    return code;
}

int error_errno(struct error *err, int code, const char *fmt, ...)
{
    if (err != NULL) {
        memset(err, 0, sizeof(*err));
        err->code = code;
        va_list ap;
        va_start(ap, fmt);
        (void)vsnprintf(err->message, sizeof(err->message), fmt, ap);
        va_end(ap);
        size_t used = strlen(err->message);
        char text[128];
        (void)snprintf(err->message + used, sizeof(err->message) - used, ": %s",
                       strerror_r(-code, text, sizeof(text)));
    }
    return code;
}

int error_wrap(struct error *err, const char *fmt, ...)
{
    if (err == NULL) {
        return -EIO;
    }
    char inner[sizeof(err->message)];
    memcpy(inner, err->message, sizeof(inner));
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(err->message, sizeof(err->message), fmt, ap);
    va_end(ap);
    size_t used = strlen(err->message);
    (void)snprintf(err->message + used, sizeof(err->message) - used, ": %s", inner);
    return err->code;
}

int error_remedy(struct error *err, const char *fmt, ...)
{
    if (err == NULL) {
        return -EIO;
    }
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(err->remedy, sizeof(err->remedy), fmt, ap);
    va_end(ap);
    return err->code;
}

int error_at(struct error *err, const char *where, unsigned line, unsigned column)
{
    if (err == NULL) {
        return -EIO;
    }
    (void)snprintf(err->where, sizeof(err->where), "%s", where);
    err->line = line;
    err->column = column;
    return err->code;
}

char *error_text(const struct error *err, char *out, size_t size)
{
    char place[sizeof(err->where) + 32] = "";
    if (err->where[0] != '\0' && err->line > 0 && err->column > 0) {
        (void)snprintf(place, sizeof(place), "%s:%u:%u: ", err->where, err->line, err->column);
    } else if (err->where[0] != '\0' && err->line > 0) {
        (void)snprintf(place, sizeof(place), "%s:%u: ", err->where, err->line);
    } else if (err->where[0] != '\0') {
        (void)snprintf(place, sizeof(place), "%s: ", err->where);
    }
    bool mend = err->remedy[0] != '\0';
    (void)snprintf(out, size, "%s%s%s%s%s", place, err->message, mend ? " (" : "", err->remedy,
                   mend ? ")" : "");
    return out;
}
