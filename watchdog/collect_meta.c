/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/collect_meta.h"

#include "base/clock.h"
#include "base/fs.h"
#include "watchdog/collect_file.h"

#include <errno.h>

enum { LINE_MAX_BYTES = 64 << 10 };

static void add_text(struct buf *line, const char *key, const char *text)
{
    (void)buf_addf(line, ",\"%s\":\"", key);
    (void)buf_add_json(line, text);
    (void)buf_add_char(line, '"');
}

/* One write(2) per line: whole lines or none, as far as a kill of ours goes. */
static void write_line(const struct collect_meta *m, struct buf *line)
{
    (void)buf_add_text(line, "}\n");
    if (m->fd >= 0 && !buf_failed(line)) {
        (void)fs_write_all(m->fd, buf_text(line), line->len, NULL);
    }
}

int collect_meta_open(int staging_fd, unsigned run, const struct collector_config *config,
                      enum collector_phase phase, struct collect_meta *ret, struct error *err)
{
    char name[128];
    (void)snprintf(name, sizeof(name), "meta/%03u-%s-%s.jsonl", run, config->name,
                   collector_phase_name(phase));
    int fd = collect_file_create(staging_fd, name, err);
    if (fd < 0) {
        return fd;
    }
    *ret = (struct collect_meta){.fd = fd, .collector = config->name};
    memcpy(ret->name, name, sizeof(name));
    AUTO_BUF struct buf line = BUF_INIT(LINE_MAX_BYTES);
    char wall[CLOCK_TEXT_SIZE];
    (void)buf_add_text(&line, "{\"event\":\"start\"");
    add_text(&line, "collector", config->name);
    add_text(&line, "type", config->type);
    add_text(&line, "phase", collector_phase_name(phase));
    add_text(&line, "wall", clock_rfc3339(clock_wall_ms(), wall));
    (void)buf_addf(&line, ",\"mono_ms\":%lld", (long long)clock_mono_ms());
    write_line(ret, &line);
    return 0;
}

static void add_argv(struct buf *line, const char *const *argv)
{
    (void)buf_add_text(line, ",\"argv\":[");
    for (size_t i = 0; argv != NULL && argv[i] != NULL; i++) {
        (void)buf_add_text(line, i == 0 ? "\"" : ",\"");
        (void)buf_add_json(line, argv[i]);
        (void)buf_add_char(line, '"');
    }
    (void)buf_add_char(line, ']');
}

void collect_meta_artifact(struct collect_meta *m, const struct collect_artifact *a)
{
    static const char *const statuses[] = {"ok", "partial", "empty", "failed", "skipped"};
    static const char *const sensitivities[] = {"normal", "internal", "secret"};
    AUTO_BUF struct buf line = BUF_INIT(LINE_MAX_BYTES);
    char path[512];
    (void)snprintf(path, sizeof(path), "artifacts/%s/%s", m->collector, a->name);
    (void)buf_add_text(&line, "{\"event\":\"artifact\"");
    add_text(&line, "path", path);
    add_text(&line, "status", statuses[a->status]);
    (void)buf_addf(&line, ",\"started_mono_ms\":%lld,\"ended_mono_ms\":%lld",
                   (long long)a->started_ms, (long long)a->ended_ms);
    add_text(&line, "exit", a->exit == NULL ? "" : a->exit);
    (void)buf_addf(&line, ",\"truncated\":%s", a->truncated ? "true" : "false");
    add_text(&line, "error", a->error == NULL ? "" : a->error);
    add_text(&line, "sensitivity", sensitivities[a->sensitivity]);
    add_argv(&line, a->argv);
    write_line(m, &line);
    m->counts[a->status]++;
    bool bad = a->status == COLLECT_FAILED || a->status == COLLECT_PARTIAL;
    bool first = m->problem[0] == '\0' || (bad && !m->problem_is_bad);
    if (a->status != COLLECT_OK && a->error != NULL && a->error[0] != '\0' && first) {
        (void)snprintf(m->problem, sizeof(m->problem), "%s: %s", a->name, a->error);
        m->problem_is_bad = bad;
    }
}

void collect_meta_end(struct collect_meta *m, enum wire_outcome outcome, const char *text)
{
    if (m->fd < 0) {
        return;
    }
    AUTO_BUF struct buf line = BUF_INIT(LINE_MAX_BYTES);
    (void)buf_add_text(&line, "{\"event\":\"end\"");
    add_text(&line, "outcome", wire_outcome_name(outcome));
    (void)buf_addf(&line, ",\"mono_ms\":%lld", (long long)clock_mono_ms());
    add_text(&line, "text", text);
    write_line(m, &line);
    (void)close(take_fd(&m->fd));
}

void collect_meta_drop(struct collect_meta *m, int staging_fd)
{
    if (m->fd >= 0) {
        (void)unlinkat(staging_fd, m->name, 0);
        (void)close(take_fd(&m->fd));
    }
}
