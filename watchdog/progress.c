/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/progress.h"

#include "base/clock.h"

#include <sys/ioctl.h>

enum { REDRAW_MS = 100, BAR_MAX = 40, BAR_MIN = 5, TEXT_COLUMNS = 48 };

static void size_text(double bytes, char *out, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < ARRAY_LEN(units)) {
        bytes /= 1024;
        unit++;
    }
    (void)snprintf(out, size, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

static void eta_text(double seconds, char *out, size_t size)
{
    int64_t s = (int64_t)(seconds + 0.5);
    if (s < 60) {
        (void)snprintf(out, size, "%lld s left", (long long)s);
    } else if (s < 360000) {
        (void)snprintf(out, size, "%lld min %02lld s left", (long long)(s / 60),
                       (long long)(s % 60));
    } else {
        (void)snprintf(out, size, "very long");
    }
}

char *progress_line(int64_t done, int64_t total, double rate, int width, char *out, size_t size)
{
    char have[32];
    char all[32];
    char speed[32] = "0 B";
    char eta[40] = "";
    size_text((double)done, have, sizeof(have));
    size_text(rate, speed, sizeof(speed));
    if (total <= 0 || done > total) {
        (void)snprintf(out, size, "%s  %s/s", have, speed);
        return out;
    }
    size_text((double)total, all, sizeof(all));
    if (rate > 0) {
        eta_text((double)(total - done) / rate, eta, sizeof(eta));
    }
    double part = (double)done / (double)total;
    int bar = width - TEXT_COLUMNS > BAR_MAX ? BAR_MAX : width - TEXT_COLUMNS;
    char cells[BAR_MAX + 4] = "";
    if (bar >= BAR_MIN) {
        int full = (int)(part * bar);
        cells[0] = '[';
        memset(cells + 1, '.', (size_t)bar);
        memset(cells + 1, '#', (size_t)full);
        memcpy(cells + 1 + bar, "] ", 3);
    }
    (void)snprintf(out, size, "%s%3.0f %%  %s of %s  %s/s  %s", cells, part * 100, have, all, speed,
                   eta);
    if (width > 0 && strlen(out) >= (size_t)width) {
        (void)snprintf(out, size, "%.*s", width - 1, cells[0] == '\0' ? have : cells);
    }
    return out;
}

void progress_init(struct progress *p, int64_t first, int64_t total, bool wanted)
{
    struct winsize ws = {.ws_col = 0};
    const char *term = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");
    *p = (struct progress){.first = first, .total = total, .started_ms = clock_mono_ms()};
    p->on = wanted && isatty(STDERR_FILENO) == 1 && term != NULL && strcmp(term, "dumb") != 0;
    p->colour = no_color == NULL || no_color[0] == '\0';
    p->width = ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0 ? ws.ws_col : 80;
}

void progress_update(struct progress *p, int64_t done)
{
    int64_t now_ms = clock_mono_ms();
    if (!p->on || now_ms - p->drawn_ms < REDRAW_MS) {
        return;
    }
    p->drawn_ms = now_ms;
    char line[256];
    double seconds = (double)(now_ms - p->started_ms) / 1000;
    double rate = seconds > 0.2 ? (double)(done - p->first) / seconds : 0;
    (void)progress_line(done, p->total, rate, p->width, line, sizeof(line));
    (void)fprintf(stderr, "\r\033[K%s%s%s", p->colour ? "\033[36m" : "", line,
                  p->colour ? "\033[0m" : "");
}

void progress_clear(struct progress *p)
{
    if (p->on) {
        (void)fputs("\r\033[K", stderr);
    }
}
