/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/words.h"

#include <math.h>

char *words_count(double value, char *out)
{
    if (!(value > -1e15 && value < 1e15)) {
        (void)snprintf(out, WORDS_COUNT_SIZE, "%g", value);
        return out;
    }
    double shown = round(value);
    if (fabs(value) < 9.95 && fabs(value - shown) >= 0.05) {
        (void)snprintf(out, WORDS_COUNT_SIZE, "%.1f", value);
        return out;
    }
    if (fabs(value) < 0.05 && value > 0.0) {
        (void)snprintf(out, WORDS_COUNT_SIZE, "%.1g", value);
        return out;
    }
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%.0f", fabs(shown));
    size_t used = 0;
    if (shown < 0.0) {
        out[used++] = '-';
    }
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            out[used++] = ',';
        }
        out[used++] = digits[i];
    }
    out[used] = '\0';
    return out;
}

char *words_duration(int64_t ms, char *out)
{
    if (ms < 1000) {
        (void)snprintf(out, WORDS_COUNT_SIZE, "%lld ms", (long long)ms);
    } else if (ms < 120000) {
        double seconds = round((double)ms / 100.0) / 10.0;
        (void)snprintf(out, WORDS_COUNT_SIZE, "%.*f s", seconds == floor(seconds) ? 0 : 1, seconds);
    } else if (ms / 1000 % 60 == 0) {
        (void)snprintf(out, WORDS_COUNT_SIZE, "%lld min", (long long)(ms / 60000));
    } else {
        (void)snprintf(out, WORDS_COUNT_SIZE, "%lld min %lld s", (long long)(ms / 60000),
                       (long long)(ms / 1000 % 60));
    }
    return out;
}

static void slo_words(const struct watch_counts *c, char *out, size_t size)
{
    char bad[WORDS_COUNT_SIZE];
    char total[WORDS_COUNT_SIZE];
    char window[WORDS_COUNT_SIZE];
    char allowed[WORDS_COUNT_SIZE];
    char fires[WORDS_COUNT_SIZE];
    int used =
        snprintf(out, size, "%s of %s failed in %s; the objective allows %s; %s or more fires",
                 words_count(c->bad, bad), words_count(c->total, total),
                 words_duration(c->window_ms, window), words_count(c->allowed, allowed),
                 words_count(c->fires_at, fires));
    if (c->top_labels[0] != '\0' && used > 0 && (size_t)used < size) {
        (void)snprintf(out + used, size - (size_t)used, "; %.0f %% of them %s",
                       c->top_share * 100.0, c->top_labels);
    }
}

void words_summary(enum watch_kind kind, const struct watch_counts *c, char *out, size_t size)
{
    char first[WORDS_COUNT_SIZE];
    char second[WORDS_COUNT_SIZE];
    char third[WORDS_COUNT_SIZE];
    switch (kind) {
    case WATCH_SLO:
        slo_words(c, out, size);
        break;
    case WATCH_SOURCE_DOWN:
        (void)snprintf(out, size, "%s %s in a row got no metrics, for %s; %s or more fires",
                       words_count(c->bad, first), c->bad == 1.0 ? "poll" : "polls",
                       words_duration(c->window_ms, second), words_count(c->fires_at, third));
        break;
    case WATCH_TARGET_EXITED:
        (void)snprintf(out, size, "%s",
                       c->bad > 0.0 ? "the process is gone" : "the process is alive");
        break;
    case WATCH_TRAFFIC_LOST:
        (void)snprintf(out, size, "%s events in %s; %s are usual; fewer than a tenth fires",
                       words_count(c->total, first), words_duration(c->window_ms, second),
                       words_count(c->allowed, third));
        break;
    }
}
