/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/own_metrics.h"

#include <sys/resource.h>

#include "base/fs.h"

#include <fcntl.h>

void own_metrics_process(struct own_metrics *m)
{
    struct rusage u = {0};
    (void)getrusage(RUSAGE_SELF, &u);
    m->cpu_s = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
               (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    AUTO_BUF struct buf text = BUF_INIT(512);
    if (fs_read_at(AT_FDCWD, "/proc/self/statm", &text, NULL) == 0) {
        char *end = NULL;
        (void)strtoll(buf_text(&text), &end, 10);
        m->rss_bytes = strtoll(end, NULL, 10) * sysconf(_SC_PAGESIZE);
    }
}

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    (void)buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(struct buf *out, const char *name, const char *type, const char *help,
                   double value)
{
    head(out, name, type, help);
    (void)buf_addf(out, "%s %.15g\n", name, value);
}

/* A label's value: backslash, quote and line feed are escaped. */
static void label(struct buf *out, const char *name, const char *value)
{
    (void)buf_addf(out, "%s=\"", name);
    for (const char *p = value; *p != '\0'; p++) {
        if (*p == '\\' || *p == '"') {
            (void)buf_addf(out, "\\%c", *p);
        } else if (*p == '\n') {
            (void)buf_add_text(out, "\\n");
        } else {
            (void)buf_add_char(out, *p);
        }
    }
    (void)buf_add_char(out, '"');
}

static void of_target(struct buf *out, const char *name, const struct own_target *t, double value)
{
    (void)buf_addf(out, "%s{", name);
    label(out, "target", t->name);
    (void)buf_addf(out, "} %.15g\n", value);
}

static double target_up(const struct own_target *t)
{
    return t->up ? 1 : 0;
}
static double target_polls(const struct own_target *t)
{
    return (double)t->polls;
}
static double target_failures(const struct own_target *t)
{
    return (double)t->failures;
}
static double target_bytes(const struct own_target *t)
{
    return (double)t->bytes;
}
static double target_interval(const struct own_target *t)
{
    return (double)t->interval_ms / 1000;
}
static double target_late(const struct own_target *t)
{
    return (double)t->late_max_ms / 1000;
}
static double target_series(const struct own_target *t)
{
    return (double)t->series;
}

static void targets(const struct own_metrics *m, struct buf *out)
{
    static const struct {
        const char *name;
        const char *type;
        const char *help;
        double (*value)(const struct own_target *);
    } rows[] = {
        {"incidentd_target_up", "gauge", "1 when the last poll of the target succeeded.",
         target_up},
        {"incidentd_polls_total", "counter", "Polls of the target's metrics page.", target_polls},
        {"incidentd_poll_failures_total", "counter", "Polls that gave no page.", target_failures},
        {"incidentd_poll_bytes_total", "counter", "Bytes of pages that were read.", target_bytes},
        {"incidentd_poll_interval_seconds", "gauge", "Time between polls, as stretched now.",
         target_interval},
        {"incidentd_poll_late_max_seconds", "gauge", "Worst delay of a poll against its schedule.",
         target_late},
        {"incidentd_series", "gauge", "Series of the target that some rule selects.",
         target_series},
    };
    for (size_t r = 0; r < ARRAY_LEN(rows) && m->target_count > 0; r++) {
        head(out, rows[r].name, rows[r].type, rows[r].help);
        for (size_t i = 0; i < m->target_count; i++) {
            of_target(out, rows[r].name, &m->targets[i], rows[r].value(&m->targets[i]));
        }
    }
}

static void of_rule(struct buf *out, const char *name, const struct own_rule *r, double value)
{
    (void)buf_addf(out, "%s{", name);
    label(out, "target", r->target);
    (void)buf_add_char(out, ',');
    label(out, "rule", r->rule);
    (void)buf_addf(out, "} %.15g\n", value);
}

static void rules(const struct own_metrics *m, struct buf *out)
{
    if (m->rule_count == 0) {
        return;
    }
    head(out, "incidentd_rule_state", "gauge", "0 inactive, 1 pending, 2 firing.");
    for (size_t i = 0; i < m->rule_count; i++) {
        of_rule(out, "incidentd_rule_state", &m->rules[i], (double)m->rules[i].state);
    }
    head(out, "incidentd_rule_bad_ratio", "gauge",
         "Share of failed events in the rule's most significant window.");
    for (size_t i = 0; i < m->rule_count; i++) {
        of_rule(out, "incidentd_rule_bad_ratio", &m->rules[i], m->rules[i].ratio);
    }
}

static void captures(const struct own_metrics *m, struct buf *out)
{
    head(out, "incidentd_captures_total", "counter", "Captures by how they ended.");
    (void)buf_addf(out, "incidentd_captures_total{state=\"sealed\"} %llu\n",
                   (unsigned long long)m->captures_sealed);
    (void)buf_addf(out, "incidentd_captures_total{state=\"partial\"} %llu\n",
                   (unsigned long long)m->captures_partial);
    (void)buf_addf(out, "incidentd_captures_total{state=\"lost\"} %llu\n",
                   (unsigned long long)m->captures_lost);
    single(out, "incidentd_captures_running", "gauge", "Captures that are not sealed yet.",
           (double)m->captures_running);
    single(out, "incidentd_captures_suppressed_total", "counter",
           "Captures that cooldown, a limit or lack of space held back.", (double)m->suppressed);
    single(out, "incidentd_capture_problems_total", "counter",
           "Problems that cost a capture part of its evidence.", (double)m->journal_failures);
    if (m->onset_last_ms >= 0) {
        single(out, "incidentd_capture_onset_seconds", "gauge",
               "From the rule firing to the first collector's request, last capture.",
               (double)m->onset_last_ms / 1000);
    }
}

void own_metrics_page(const struct own_metrics *m, struct buf *out)
{
    head(out, "incidentd_build_info", "gauge", "1, labelled with the version.");
    (void)buf_add_text(out, "incidentd_build_info{");
    label(out, "version", m->version);
    (void)buf_add_text(out, "} 1\n");
    targets(m, out);
    rules(m, out);
    captures(m, out);
    single(out, "incidentd_store_bundles", "gauge", "Bundles in the store.", (double)m->bundles);
    single(out, "incidentd_store_bytes", "gauge", "Bytes of the bundles in the store.",
           (double)m->store_bytes);
    single(out, "incidentd_store_free_bytes", "gauge", "Free bytes of the store's file system.",
           (double)m->store_free_bytes);
    single(out, "incidentd_store_deleted_total", "counter", "Bundles that retention deleted.",
           (double)m->deleted);
    single(out, "incidentd_config_generation", "gauge", "Running number of the configuration.",
           (double)m->generation);
    single(out, "incidentd_config_reload_failures_total", "counter",
           "Configurations that were refused.", (double)m->reloads_failed);
    single(out, "process_cpu_seconds_total", "counter", "CPU time of incidentd-brain.", m->cpu_s);
    single(out, "process_resident_memory_bytes", "gauge", "Resident memory of incidentd-brain.",
           (double)m->rss_bytes);
    single(out, "process_start_time_seconds", "gauge", "Start of incidentd-brain, Unix time.",
           m->start_s);
}
