/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/range.h"

#include <strings.h>

static const char *skip_space(const char *p)
{
    while (*p == ' ' || *p == '\t') {
        p++;
    }
    return p;
}

/* Reads digits; a number past 2^63 stays there, which lies behind the end of every file. Returns
 * the first byte after them, or NULL when there is no digit. */
static const char *number(const char *p, uint64_t *ret)
{
    const uint64_t most = INT64_MAX;
    if (*p < '0' || *p > '9') {
        return NULL;
    }
    uint64_t n = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        n = n > (most - digit) / 10 ? most : n * 10 + digit;
    }
    *ret = n;
    return p;
}

static enum range_kind suffix(const char *p, uint64_t size, struct range *ret)
{
    uint64_t n = 0;
    p = number(p, &n);
    if (p == NULL || *skip_space(p) != '\0') {
        return RANGE_WHOLE;
    }
    if (n == 0 || size == 0) {
        return RANGE_UNSATISFIABLE;
    }
    ret->length = n < size ? n : size;
    ret->offset = size - ret->length;
    return RANGE_PART;
}

enum range_kind range_parse(const char *header, uint64_t size, struct range *ret)
{
    if (header == NULL || strncasecmp(header, "bytes=", 6) != 0) {
        return RANGE_WHOLE;
    }
    const char *p = skip_space(header + 6);
    if (*p == '-') {
        return suffix(p + 1, size, ret);
    }
    uint64_t first = 0;
    uint64_t last = UINT64_MAX;
    p = number(p, &first);
    if (p == NULL || *p != '-') {
        return RANGE_WHOLE;
    }
    p = skip_space(p + 1);
    if (*p != '\0') {
        p = number(p, &last);
        if (p == NULL || *skip_space(p) != '\0' || last < first) {
            return RANGE_WHOLE;
        }
    }
    if (first >= size) {
        return RANGE_UNSATISFIABLE;
    }
    last = last < size ? last : size - 1;
    ret->offset = first;
    ret->length = last - first + 1;
    return RANGE_PART;
}

bool range_if_range(const char *header, const char *etag)
{
    if (header == NULL) {
        return true;
    }
    const char *p = skip_space(header);
    size_t len = strlen(etag);
    return strncmp(p, etag, len) == 0 && *skip_space(p + len) == '\0';
}

bool range_etag_listed(const char *header, const char *etag, bool weak)
{
    if (header == NULL) {
        return false;
    }
    const char *p = skip_space(header);
    if (p[0] == '*' && *skip_space(p + 1) == '\0') {
        return true;
    }
    size_t len = strlen(etag);
    while (*p != '\0') {
        bool is_weak = p[0] == 'W' && p[1] == '/';
        p += is_weak ? 2 : 0;
        if ((weak || !is_weak) && strncmp(p, etag, len) == 0) {
            return true;
        }
        const char *end = *p == '"' ? strchr(p + 1, '"') : NULL;
        if (end == NULL) {
            return false;
        }
        p = skip_space(end + 1);
        if (*p != ',') {
            return false;
        }
        p = skip_space(p + 1);
    }
    return false;
}
