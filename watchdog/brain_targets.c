/* SPDX-License-Identifier: Apache-2.0 */
/*
 * brain_targets.c: what the log says about a target that cannot be read or found, or is polled less
 * often than it was asked for.
 *
 * A target may fail each second for days, and may come and go. So its state is compared once a
 * second: a failure is told when it begins and again each AGAIN_MS; another reason, or another
 * failure soon after, waits for QUIET_MS; the return is told when the failure was. Figures within a
 * reason ("412 bytes after 1000 ms") do not make it another one.
 */
#include "watchdog/brain.h"

#include "base/clock.h"
#include "base/log.h"

enum { QUIET_MS = 60000, AGAIN_MS = 600000, STRETCHED_PERCENT = 125 };

/* Equal but for their digits. */
static bool same_reason(const char *a, const char *b)
{
    static const char digits[] = "0123456789";
    for (;;) {
        a += strspn(a, digits);
        b += strspn(b, digits);
        if (*a != *b) {
            return false;
        }
        if (*a == '\0') {
            return true;
        }
        a++;
        b++;
    }
}

static void log_failure(struct brain_seen *s, const char *name, const struct judge_target *now,
                        int64_t now_ms)
{
    if (now->error[0] == '\0') {
        if (s->told) {
            log_info("target '%s' is there again, after %lld s", name,
                     (long long)(now_ms - s->failing_ms) / 1000);
        }
        s->told = false;
        s->failing_ms = 0;
        return;
    }
    s->failing_ms = s->failing_ms == 0 ? now_ms : s->failing_ms;
    bool still = s->told && same_reason(s->reason, now->error);
    if (s->told_ms != 0 && now_ms - s->told_ms < (still ? AGAIN_MS : QUIET_MS)) {
        return;
    }
    s->told = true;
    s->told_ms = now_ms;
    (void)snprintf(s->reason, sizeof(s->reason), "%s", now->error);
    log_warn("target '%s'%s: %s, what needs it is unknown meanwhile", name, still ? " still" : "",
             now->error);
}

static void log_interval(struct brain_seen *s, const struct config_target *t,
                         const struct judge_target *now, int64_t now_ms)
{
    char wanted[32];
    char actual[32];
    bool stretched = now->interval_ms * 100 > t->interval_ms * STRETCHED_PERCENT;
    bool asked = now->interval_ms == t->interval_ms;
    if ((s->stretched ? !asked : !stretched) ||
        (s->stretch_told_ms != 0 && now_ms - s->stretch_told_ms < QUIET_MS)) {
        return;
    }
    s->stretched = !s->stretched;
    s->stretch_told_ms = now_ms;
    (void)schema_duration_text(t->interval_ms, wanted, sizeof(wanted));
    (void)schema_duration_text(now->interval_ms, actual, sizeof(actual));
    if (!s->stretched) {
        log_info("target '%s' is polled each %s again", t->name, wanted);
    } else if (now->up) {
        log_warn("target '%s' is polled each %s instead of %s: its page takes about %lld ms, and "
                 "polling may cost it a twentieth of its time",
                 t->name, actual, wanted, (long long)now->interval_ms / 20);
    } else {
        log_warn(
            "target '%s' is polled each %s instead of %s: it gave no page several times in a row",
            t->name, actual, wanted);
    }
}

void brain_targets_log(struct brain *b)
{
    int64_t now_ms = clock_mono_ms();
    for (size_t i = 0; i < b->generation->config.targets.count && i < LIMIT_TARGETS; i++) {
        const struct config_target *t = config_target_at(&b->generation->config, i);
        struct brain_seen *s = &b->seen[i];
        struct judge_target now = {.pid = 0};
        judge_target_of(b->judge, i, &now);
        if (strcmp(s->name, t->name) != 0) { /* the first look, or one after a reload */
            *s = (struct brain_seen){.failing_ms = 0};
            (void)snprintf(s->name, sizeof(s->name), "%s", t->name);
        }
        if (t->metrics == NULL || now.polls > 0) {
            log_failure(s, t->name, &now, now_ms);
        }
        log_interval(s, t, &now, now_ms);
    }
}
