/* SPDX-License-Identifier: Apache-2.0 */
#include "collectors/collector.h"

#include <errno.h>
#include <stdarg.h>

static const struct collector *const table[] = {
#define COLLECTOR(n) &collector_##n,
#include "collectors/collectors.def"
#undef COLLECTOR
};

const struct collector *collector_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(table[i]->name, name) == 0) {
            return table[i];
        }
    }
    return NULL;
}

const struct collector *collector_at(size_t index)
{
    return index < ARRAY_LEN(table) ? table[index] : NULL;
}

const char *collector_phase_name(enum collector_phase phase)
{
    static const char *const names[] = {"instant", "dump", "sample", "after", "trace"};
    return (unsigned)phase < ARRAY_LEN(names) ? names[phase] : "unknown";
}

struct collector_step *collector_step_add(struct collector_plan *plan,
                                          enum collector_step_kind kind, struct error *err)
{
    if (plan->count == COLLECTOR_STEPS_MAX) {
        (void)error_set(err, -E2BIG, "more than %d steps", COLLECTOR_STEPS_MAX);
        return NULL;
    }
    struct collector_step *step = &plan->steps[plan->count++];
    *step = (struct collector_step){.kind = kind};
    return step;
}

char *collector_text(struct collector_plan *plan, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = NULL;
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    char *copy = n < 0 ? NULL : arena_strndup(plan->arena, text, (size_t)n);
    if (n >= 0) {
        free(text);
    }
    return copy;
}
