/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/collect_tail.h"

#include <ctype.h>
#include <time.h>

enum { LOOK_BYTES = 200, STAMP_BYTES = 19 };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Number of `count` digits at `p`, -1 when they are none. */
static int number(const char *p, size_t count)
{
    int value = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_digit(p[i])) {
            return -1;
        }
        value = value * 10 + (p[i] - '0');
    }
    return value;
}

/* "Z", "+02:00" or "-0700" at `p`; seconds east of UTC. */
static bool parse_zone(const char *p, const char *end, int *ret_seconds)
{
    if (p < end && (*p == 'Z' || *p == 'z')) {
        *ret_seconds = 0;
        return true;
    }
    if (end - p < 5 || (*p != '+' && *p != '-')) {
        return false;
    }
    bool colon = p[3] == ':';
    int hours = number(p + 1, 2);
    int minutes = end - p >= (colon ? 6 : 5) ? number(p + (colon ? 4 : 3), 2) : -1;
    *ret_seconds = (hours * 3600 + minutes * 60) * (*p == '-' ? -1 : 1);
    return hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
}

/* Milliseconds of the fraction at *p ("." or "," and digits), if there is one; moves *p behind it.
 */
static int parse_fraction(const char **p, const char *end)
{
    int ms = 0;
    int scale = 100;
    if (*p < end && (**p == '.' || **p == ',')) {
        for ((*p)++; *p < end && is_digit(**p); (*p)++) {
            ms += (**p - '0') * scale;
            scale /= 10;
        }
    }
    return ms;
}

/* "2026-11-24T08:31:12" at `p`, 19 bytes. */
static bool parse_clock(const char *p, struct tm *ret)
{
    static const char shape[] = "dddd-dd-dd?dd:dd:dd";
    for (size_t i = 0; i < sizeof(shape) - 1; i++) {
        bool fits = shape[i] == 'd'   ? is_digit(p[i])
                    : shape[i] == '?' ? p[i] == 'T' || p[i] == ' '
                                      : p[i] == shape[i];
        if (!fits) {
            return false;
        }
    }
    *ret = (struct tm){.tm_year = number(p, 4) - 1900,
                       .tm_mon = number(p + 5, 2) - 1,
                       .tm_mday = number(p + 8, 2),
                       .tm_hour = number(p + 11, 2),
                       .tm_min = number(p + 14, 2),
                       .tm_sec = number(p + 17, 2)};
    return ret->tm_year >= 70 && ret->tm_mon < 12 && ret->tm_mday < 32 && ret->tm_hour < 24;
}

/* "2026-11-24T08:31:12.345+01:00" at `p`. */
static bool parse_date(const char *p, const char *end, int64_t *ret_ms)
{
    struct tm tm;
    int zone_s = 0;
    if (end - p <= STAMP_BYTES || !parse_clock(p, &tm)) {
        return false;
    }
    p += STAMP_BYTES;
    int ms = parse_fraction(&p, end);
    p += p < end && *p == ' ' ? 1 : 0; /* "2026-11-24 08:31:12 +0100" */
    if (!parse_zone(p, end, &zone_s)) {
        return false;
    }
    *ret_ms = ((int64_t)timegm(&tm) - zone_s) * 1000 + ms;
    return true;
}

/* Unix time of 10 digits, with or without a fraction, or of 13. */
static bool parse_unix(const char *p, const char *end, int64_t *ret_ms)
{
    size_t digits = 0;
    int64_t value = 0;
    while (p < end && is_digit(*p) && digits < 14) {
        value = value * 10 + (*p++ - '0');
        digits++;
    }
    if (digits == 13) {
        *ret_ms = value;
        return true;
    }
    if (digits != 10) {
        return false;
    }
    *ret_ms = value * 1000 + parse_fraction(&p, end);
    return true;
}

bool collect_tail_stamp(const char *line, size_t len, int64_t *ret_ms)
{
    static const char *const keys[] = {"ts=", "\"ts\":", "\"time\":", "time=", "\"timestamp\":"};
    const char *end = line + (len < LOOK_BYTES ? len : LOOK_BYTES);
    for (const char *p = line; p + STAMP_BYTES < end; p++) {
        if (is_digit(*p) && (p == line || !is_digit(p[-1])) && parse_date(p, end, ret_ms)) {
            return true;
        }
    }
    if (parse_unix(line, end, ret_ms)) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        size_t key_len = strlen(keys[i]);
        const char *found = memmem(line, (size_t)(end - line), keys[i], key_len);
        if (found != NULL && parse_unix(found + key_len, end, ret_ms)) {
            return true;
        }
    }
    return false;
}

size_t collect_tail_start(const char *text, size_t len, int64_t from_ms, bool *ret_stamped)
{
    *ret_stamped = false;
    for (size_t at = 0; at < len;) {
        const char *feed = memchr(text + at, '\n', len - at);
        size_t line_len = feed == NULL ? len - at : (size_t)(feed - (text + at));
        int64_t ms = 0;
        if (collect_tail_stamp(text + at, line_len, &ms)) {
            *ret_stamped = true;
            if (ms >= from_ms) {
                return at;
            }
        }
        at += line_len + 1;
    }
    return *ret_stamped ? len : 0;
}
