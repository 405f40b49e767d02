/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <fcntl.h>
#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec ts = {0};
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_mono_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
    static int64_t anchor_ms; /* wall minus monotonic; only ever grows */
    int64_t mono_ms = clock_mono_ms();
    int64_t seen_ms = read_ms(CLOCK_REALTIME) - mono_ms;
    if (seen_ms > anchor_ms) {
        anchor_ms = seen_ms;
    }
    return anchor_ms + mono_ms;
}

/* Broken-down UTC of `wall_ms`. */
static struct tm utc_of(int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm = {0};
    (void)gmtime_r(&seconds, &tm);
    return tm;
}

char *clock_rfc3339(int64_t wall_ms, char *out)
{
    struct tm tm = utc_of(wall_ms);
    char date[24] = "";
    (void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(out, CLOCK_TEXT_SIZE, "%s.%03dZ", date, (int)(wall_ms % 1000));
    return out;
}

char *clock_compact(int64_t wall_ms, char *out)
{
    struct tm tm = utc_of(wall_ms);
    char date[24] = "";
    (void)strftime(date, sizeof(date), "%Y%m%dT%H%M%S", &tm);
    (void)snprintf(out, CLOCK_TEXT_SIZE, "%s.%03dZ", date, (int)(wall_ms % 1000));
    return out;
}

char *clock_boot_id(char *out)
{
    out[0] = '\0';
    AUTO_CLOSE int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, 36);
    out[n < 0 ? 0 : n] = '\0';
    return out;
}
