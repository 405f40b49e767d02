/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tool's standard output goes straight into its file, capped by RLIMIT_FSIZE, so that no byte
 * passes through us; what it leaves in its folder besides is found by listing it afterwards. Of its
 * standard error the last bytes become the error text. An exit status decides only where the
 * step says so: strace and perf end with a signal when they are stopped, and have written all.
 */
#include "watchdog/collect_step.h"

#include "base/clock.h"
#include "base/fs.h"
#include "watchdog/collect_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>

enum {
    ERRORS_BYTES = 1500,
    WORKER_MEMORY_BYTES = 256 << 20,
    TOOL_FILES = 1024,
    /* SIGINT so long before the run's deadline that the tree is dead when incidentd would kill us.
     */
    ESCALATION_MS = 1000,
};

/* What happened to the tool of a step. */
struct tool_end {
    const struct collector_step *step;
    int64_t started_ms;
    int64_t ended_ms;
    bool timed_out;
    bool failed; /* by its exit status, or not started */
    char exit[64];
    char error[512];
};

int collect_step_resolve(const char *name, char *out, size_t size)
{
    static const char *const path[] = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                       "/usr/bin",        "/sbin",          "/bin"};
    if (strchr(name, '/') != NULL) {
        (void)snprintf(out, size, "%s", name);
        return access(out, X_OK) == 0 ? 0 : -ENOENT;
    }
    char own[512];
    if (strncmp(name, "incidentd-", 10) == 0 && child_own_dir(own, sizeof(own), NULL) == 0) {
        (void)snprintf(out, size, "%s/%s", own, name);
        return access(out, X_OK) == 0 ? 0 : -ENOENT;
    }
    for (size_t i = 0; i < ARRAY_LEN(path); i++) {
        (void)snprintf(out, size, "%s/%s", path[i], name);
        if (access(out, X_OK) == 0) {
            return 0;
        }
    }
    return -ENOENT;
}

int collect_step_tracer(pid_t pid)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "/proc/%d/status", (int)pid);
    AUTO_BUF struct buf text = BUF_INIT(16 << 10);
    if (fs_read_at(AT_FDCWD, name, &text, NULL) < 0) {
        return -1;
    }
    const char *line = strstr(buf_text(&text), "\nTracerPid:");
    return line == NULL ? -1 : (int)strtol(line + strlen("\nTracerPid:"), NULL, 10);
}

/* The file a tool step would write, for the record of one that wrote none. */
static const char *expected_name(const struct collector_step *step)
{
    if (step->output != NULL) {
        return step->output;
    }
    for (size_t i = 0; step->argv != NULL && step->argv[i] != NULL; i++) {
        if (strcmp(step->argv[i], "-o") == 0 && step->argv[i + 1] != NULL) {
            return step->argv[i + 1];
        }
    }
    const char *tool = step->argv == NULL ? NULL : step->argv[0];
    const char *slash = tool == NULL ? NULL : strrchr(tool, '/');
    return slash != NULL ? slash + 1 : tool == NULL ? "unknown" : tool;
}

void collect_step_skip(struct collect_steps *s, const struct collector_step *step,
                       const char *reason)
{
    int64_t now_ms = clock_mono_ms();
    struct collect_artifact a = {.status = COLLECT_SKIPPED,
                                 .started_ms = now_ms,
                                 .ended_ms = now_ms,
                                 .error = reason,
                                 .sensitivity = step->sensitivity,
                                 .argv = step->argv};
    size_t count = step->kind == STEP_TOOL ? 1 : collect_copy_count(step);
    for (size_t i = 0; i < count; i++) {
        a.name = step->kind == STEP_TOOL ? expected_name(step) : collect_copy_output(step, i);
        collect_meta_artifact(s->meta, &a);
    }
}

static bool target_gone(const struct collect_steps *s)
{
    struct pollfd p = {.fd = s->pidfd, .events = POLLIN};
    return s->pidfd >= 0 && poll(&p, 1, 0) == 1;
}

static int64_t step_end_ms(const struct collect_steps *s, const struct collector_step *step)
{
    int64_t end_ms = s->end_ms - ESCALATION_MS;
    int64_t own_ms = step->timeout_ms > 0 ? clock_mono_ms() + step->timeout_ms : end_ms;
    return own_ms < end_ms ? own_ms : end_ms;
}

/* Why a tool step cannot run now, or NULL. `path` receives its program. */
static const char *tool_obstacle(struct collect_steps *s, const struct collector_step *step,
                                 char *path, size_t path_size, char *reason, size_t size)
{
    if (step->skip_reason != NULL) {
        return step->skip_reason;
    }
    if (target_gone(s)) {
        return "the target has ended";
    }
    if (collect_step_resolve(step->argv[0], path, path_size) < 0) {
        (void)snprintf(reason, size, "'%s' is not installed", step->argv[0]);
        return reason;
    }
    int tracer = step->ptrace ? collect_step_tracer(s->target->pid) : 0;
    if (tracer > 0) {
        (void)snprintf(reason, size, "process %d traces the target already", tracer);
        return reason;
    }
    if (step->ptrace && s->lock_fd >= 0 && flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        return "another tracer of incidentd is at work";
    }
    return NULL;
}

/* One line without control characters, without surrounding blanks. */
static void tidy(const struct buf *from, char *out, size_t size)
{
    size_t len = 0;
    for (const char *p = buf_text(from); *p != '\0' && len + 1 < size; p++) {
        bool blank = (unsigned char)*p <= ' ';
        if (blank && (len == 0 || out[len - 1] == ' ')) {
            continue;
        }
        out[len] = ' ';
        if (!blank) {
            out[len] = *p;
        }
        len++;
    }
    while (len > 0 && out[len - 1] == ' ') {
        len--;
    }
    out[len] = '\0';
}

static void record_file(struct collect_steps *s, const struct tool_end *end, const char *name)
{
    int64_t size = collect_file_size(s->folder_fd, name);
    struct collect_artifact a = {.name = name,
                                 .started_ms = end->started_ms,
                                 .ended_ms = end->ended_ms,
                                 .exit = end->exit,
                                 .truncated = size >= s->max_bytes,
                                 .error = end->error,
                                 .sensitivity = end->step->sensitivity,
                                 .argv = end->step->argv};
    bool bad = end->failed || end->timed_out;
    if (size > 0) {
        a.status = bad || a.truncated ? COLLECT_PARTIAL : COLLECT_OK;
    } else {
        a.status = !bad ? COLLECT_EMPTY : end->step->optional ? COLLECT_SKIPPED : COLLECT_FAILED;
    }
    if (size == 0 && bad) {
        (void)unlinkat(s->folder_fd, name, 0);
    }
    if (a.status == COLLECT_OK) {
        a.error = "";
    }
    collect_meta_artifact(s->meta, &a);
}

struct finding {
    struct collect_steps *steps;
    const struct tool_end *end;
    size_t count;
};

static void found(void *arg, const char *name)
{
    struct finding *f = arg;
    f->count++;
    record_file(f->steps, f->end, name);
}

/* Records every file the tool made. */
static void record_tool(struct collect_steps *s, struct tool_end *end)
{
    struct finding f = {.steps = s, .end = end};
    unsigned dropped_before = s->seen.dropped;
    if (end->step->output != NULL && collect_file_set_add(&s->seen, end->step->output)) {
        found(&f, end->step->output);
    }
    collect_file_scan(s->folder_fd, &s->seen, found, &f);
    if (f.count == 0 || s->seen.dropped > dropped_before) {
        int64_t now_ms = clock_mono_ms();
        char text[96];
        (void)snprintf(text, sizeof(text), "%u files left out: no regular file or an unsafe name",
                       s->seen.dropped);
        bool left_out = s->seen.dropped > dropped_before;
        bool bad = end->failed || end->timed_out;
        struct collect_artifact a = {.name = left_out ? "left-out" : expected_name(end->step),
                                     .status = left_out || end->step->optional ? COLLECT_SKIPPED
                                               : bad                           ? COLLECT_FAILED
                                                                               : COLLECT_EMPTY,
                                     .started_ms = end->started_ms,
                                     .ended_ms = now_ms,
                                     .exit = end->exit,
                                     .error = left_out ? text : end->error,
                                     .sensitivity = end->step->sensitivity,
                                     .argv = end->step->argv};
        collect_meta_artifact(s->meta, &a);
    }
}

/* Words of what went wrong: standard error, else the status. */
static void describe(struct tool_end *end, const struct collect_job *job, const struct buf *errors)
{
    (void)child_status_text(job->status, end->exit, sizeof(end->exit));
    tidy(errors, end->error, sizeof(end->error));
    end->timed_out = job->timed_out;
    end->failed = job->status != 0 && !end->step->exit_ignored && !job->timed_out;
    if (end->error[0] == '\0' && (end->failed || end->timed_out)) {
        (void)snprintf(end->error, sizeof(end->error), "%s",
                       end->timed_out ? "stopped at its deadline" : end->exit);
    }
}

static int run_tool(struct collect_steps *s, const struct collector_step *step)
{
    char path[600];
    char reason[200];
    const char *obstacle = tool_obstacle(s, step, path, sizeof(path), reason, sizeof(reason));
    if (obstacle != NULL) {
        collect_step_skip(s, step, obstacle);
        return 0;
    }
    struct tool_end end = {.step = step, .started_ms = clock_mono_ms()};
    struct error err = ERROR_INIT;
    AUTO_CLOSE int out_fd =
        step->output == NULL ? -1 : collect_file_create(s->folder_fd, step->output, &err);
    AUTO_BUF struct buf errors = BUF_INIT(ERRORS_BYTES);
    struct child_spec spec;
    child_spec_init(&spec);
    spec.path = path;
    spec.argv = step->argv;
    spec.fds[STDOUT_FILENO] = out_fd;
    spec.cwd_fd = s->folder_fd;
    spec.caps = step->caps & child_caps_permitted();
    spec.new_group = true;
    spec.max_file_bytes = s->max_bytes;
    spec.max_files = TOOL_FILES;
    struct collect_job job = {.spec = &spec,
                              .duration_ms = step->duration_ms,
                              .stop_signal = step->stop_signal,
                              .end_ms = step_end_ms(s, step),
                              .errors = &errors};
    int rc = err.code < 0 ? err.code : collect_job_run(&job, &s->control, &err);
    end.ended_ms = clock_mono_ms();
    if (rc < 0 && rc != -EINTR) {
        end.failed = true;
        (void)error_text(&err, end.error, sizeof(end.error));
    } else {
        describe(&end, &job, &errors);
        end.failed = end.failed || rc == -EINTR;
    }
    s->timed_out = s->timed_out || end.timed_out;
    record_tool(s, &end);
    if (step->ptrace && s->lock_fd >= 0) {
        (void)flock(s->lock_fd, LOCK_UN);
    }
    return rc == -EINTR ? rc : 0;
}

/* What a read error means to the reader of the manifest. */
static const char *read_error(int code, char *out, size_t size)
{
    const char *text = strerrordesc_np(-code);
    if (code == -EACCES || code == -EPERM) {
        (void)snprintf(out, size, "not permitted: needs CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH");
    } else if (code == -ESRCH) {
        (void)snprintf(out, size, "the target has ended");
    } else {
        (void)snprintf(out, size, "%s", text == NULL ? "unknown error" : text);
    }
    return out;
}

static void record_copy(struct collect_steps *s, const struct collector_step *step, size_t index,
                        const struct collect_copy_result *r, const struct tool_end *end)
{
    char text[200];
    struct collect_artifact a = {.name = collect_copy_output(step, index),
                                 .started_ms = r->done ? r->started_ms : end->started_ms,
                                 .ended_ms = r->done ? r->ended_ms : end->ended_ms,
                                 .truncated = r->truncated,
                                 .error = r->note,
                                 .sensitivity = step->sensitivity};
    int64_t size = collect_file_size(s->folder_fd, a.name);
    if (!r->done) {
        a.status = size > 0 ? COLLECT_PARTIAL : COLLECT_FAILED;
        a.error = end->error;
    } else if (r->code < 0) {
        bool absent = r->code != -EIO && r->code != -ENOSPC && r->code != -ENOMEM;
        a.status = size > 0                   ? COLLECT_PARTIAL
                   : step->optional && absent ? COLLECT_SKIPPED
                                              : COLLECT_FAILED;
        a.error = r->note[0] != '\0' ? r->note : read_error(r->code, text, sizeof(text));
    } else {
        a.status = size > 0 ? COLLECT_OK : COLLECT_EMPTY;
    }
    if (size == 0 && a.status >= COLLECT_FAILED) {
        (void)unlinkat(s->folder_fd, a.name, 0);
    }
    (void)collect_file_set_add(&s->seen, a.name);
    collect_meta_artifact(s->meta, &a);
}

static void record_copies(struct collect_steps *s, const struct collector_step *step,
                          const struct buf *answers, struct tool_end *end)
{
    size_t count = collect_copy_count(step);
    struct collect_copy_result *results = xcalloc(count, sizeof(*results));
    collect_copy_answers(buf_text(answers), results, count);
    bool hung = false;
    for (size_t i = 0; i < count; i++) {
        record_copy(s, step, i, &results[i], end);
        if (!results[i].done && !hung && end->timed_out) {
            hung = true;
            (void)snprintf(end->error, sizeof(end->error), "not reached before the deadline");
        }
    }
    free(results);
}

static int run_copy(struct collect_steps *s, const struct collector_step *step)
{
    if (step->skip_reason != NULL) {
        collect_step_skip(s, step, step->skip_reason);
        return 0;
    }
    AUTO_BUF struct buf list = BUF_INIT(COLLECT_COPY_LIST_BYTES);
    AUTO_BUF struct buf answers = BUF_INIT(COLLECT_COPY_ANSWER_BYTES);
    AUTO_BUF struct buf errors = BUF_INIT(ERRORS_BYTES);
    struct error err = ERROR_INIT;
    char words[3][32];
    (void)snprintf(words[0], sizeof(words[0]), "%d", (int)s->target->pid);
    (void)snprintf(words[1], sizeof(words[1]), "%llu", (unsigned long long)s->target->start_ticks);
    (void)snprintf(words[2], sizeof(words[2]), "%lld", (long long)s->max_bytes);
    const char *const argv[] = {"incidentd-collect", "copy", words[0], words[1], words[2], NULL};
    collect_copy_list(step, &list);
    AUTO_CLOSE int list_fd = fs_sealed_memfd("copies", buf_text(&list), list.len, &err);
    struct child_spec spec;
    child_spec_init(&spec);
    spec.path = "/proc/self/exe";
    spec.argv = argv;
    spec.fds[COLLECT_COPY_LIST_FD] = list_fd;
    spec.fds[COLLECT_COPY_FOLDER_FD] = s->folder_fd;
    spec.fd_count = 5;
    spec.caps = step->caps & child_caps_permitted();
    spec.new_group = true;
    spec.max_memory_bytes = WORKER_MEMORY_BYTES;
    struct collect_job job = {
        .spec = &spec, .end_ms = step_end_ms(s, step), .output = &answers, .errors = &errors};
    struct tool_end end = {.step = step, .started_ms = clock_mono_ms()};
    int rc = list_fd < 0 ? list_fd : collect_job_run(&job, &s->control, &err);
    end.ended_ms = clock_mono_ms();
    end.timed_out = job.timed_out;
    s->timed_out = s->timed_out || end.timed_out;
    if (rc < 0) {
        (void)error_text(&err, end.error, sizeof(end.error));
    } else {
        (void)snprintf(end.error, sizeof(end.error), "%s",
                       job.timed_out ? "the read did not return before the deadline"
                                     : "the reading process ended early");
    }
    record_copies(s, step, &answers, &end);
    return rc == -EINTR ? rc : 0;
}

int collect_step_run(struct collect_steps *s, const struct collector_step *step)
{
    if (collect_control_over(&s->control)) {
        return -EINTR;
    }
    if (clock_mono_ms() >= s->end_ms - ESCALATION_MS) {
        s->timed_out = true;
        collect_step_skip(s, step, "the deadline of the collector was reached before");
        return 0;
    }
    return step->kind == STEP_TOOL ? run_tool(s, step) : run_copy(s, step);
}
