/* SPDX-License-Identifier: Apache-2.0 */
#include "rules/steps.h"

enum { SHORT_WINDOWS = 5, SPARE_INTERVALS = 17 };

void steps_init(struct steps *s, int64_t interval_ms, int64_t look_back_ms)
{
    memset(s, 0, sizeof(*s));
    for (size_t i = 0; i < SHORT_WINDOWS && (interval_ms << i) < look_back_ms; i++) {
        s->window_ms[s->windows++] = interval_ms << i;
    }
    s->window_ms[s->windows++] = look_back_ms;
    s->slack_ms = interval_ms / 2;
    s->span_ms = look_back_ms + SPARE_INTERVALS * interval_ms;
    s->floor_ms = INT64_MIN;
    s->capacity = (size_t)(s->span_ms / interval_ms) * 2 + 8;
    s->ring = xcalloc(s->capacity, sizeof(*s->ring));
}

void steps_release(struct steps *s)
{
    free(s->ring);
    s->ring = NULL;
}

void steps_clear(struct steps *s)
{
    s->first = s->next;
    for (size_t i = 0; i < s->windows; i++) {
        s->start[i] = s->next;
    }
}

struct step *steps_at(const struct steps *s, uint64_t sequence)
{
    return &s->ring[sequence % s->capacity];
}

void steps_push(struct steps *s, const struct step *step,
                void (*leaving)(const struct step *old, void *arg), void *arg)
{
    while (s->first < s->next && (s->next - s->first == s->capacity ||
                                  step->to_ms - steps_at(s, s->first)->from_ms > s->span_ms)) {
        if (leaving != NULL) {
            leaving(steps_at(s, s->first), arg);
        }
        s->first++;
    }
    struct step *put = steps_at(s, s->next);
    double bad = 0.0;
    double total = 0.0;
    if (s->first < s->next) {
        const struct step *last = steps_at(s, s->next - 1);
        bad = last->bad_before + last->bad;
        total = last->total_before + last->total;
    }
    *put = *step;
    put->bad_before = bad;
    put->total_before = total;
    s->next++;
    for (size_t i = 0; i < s->windows; i++) {
        uint64_t start = s->start[i] < s->first ? s->first : s->start[i];
        while (start + 1 < s->next &&
               (step->to_ms - steps_at(s, start)->from_ms > s->window_ms[i] + s->slack_ms ||
                steps_at(s, start)->from_ms < s->floor_ms)) {
            start++;
        }
        s->start[i] = start;
    }
}

bool steps_window(const struct steps *s, size_t index, struct steps_sum *ret)
{
    if (s->first == s->next || (index > 0 && s->start[index] == s->start[index - 1])) {
        return false;
    }
    const struct step *oldest = steps_at(s, s->start[index]);
    const struct step *newest = steps_at(s, s->next - 1);
    ret->first = s->start[index];
    ret->from_ms = oldest->from_ms;
    ret->to_ms = newest->to_ms;
    ret->bad = newest->bad_before + newest->bad - oldest->bad_before;
    ret->total = newest->total_before + newest->total - oldest->total_before;
    return true;
}

size_t steps_memory_bytes(const struct steps *s)
{
    return s->capacity * sizeof(*s->ring);
}
