/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc: what the kernel knows of the target and of the host, once before and once after.
 *
 * It goes from what vanishes to what may hang: one step for the cheap files of the process (7-40 us
 * each), its threads and descriptors, its control group and pressure and the host's counters; one
 * for the socket tables (some ms each, since the kernel walks all of them). Only then maps and
 * smaps_rollup, each in a step of its own with a short deadline: they take mmap_lock, which a sick
 * process may hold for ever. `environ` is copied by name only, never a value.
 *
 * Control groups exist as v1, v2 and hybrid; which file lies where is worked out from
 * /proc/PID/cgroup and our own mountinfo; of a group only the files it has are asked for. Other
 * files that a kernel lacks are recorded as skipped.
 */
#include "collectors/collector.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>

#define PROC_CAPS ((1ULL << CAP_SYS_PTRACE) | (1ULL << CAP_DAC_READ_SEARCH))

enum { COPIES_MAX = 64, LOCKED_MS = 1500, CHEAP_MS = 2500, MOUNTINFO_BYTES = 1 << 20 };

struct proc_options {
    bool sockets;
    bool host;
};

static const struct schema_option options[] = {
    {.name = "sockets",
     .type = SCHEMA_BOOL,
     .offset = offsetof(struct proc_options, sockets),
     .fallback = "true",
     .help = "copy the socket tables of the target's network namespace (some ms each)"},
    {.name = "host",
     .type = SCHEMA_BOOL,
     .offset = offsetof(struct proc_options, host),
     .fallback = "true",
     .help = "copy the host's counters: memory, load, CPU, pressure"},
    {.name = NULL},
};

static const struct schema_table table = {
    .name = "proc",
    .help = "options of proc",
    .size = sizeof(struct proc_options),
    .options = options,
};

/* One step being filled. */
struct gather {
    struct collector_plan *plan;
    struct collector_step *step;
    const char *folder; /* "before" or "after" */
    struct collector_copy *copies;
    bool failed;
};

static void gather_begin(struct gather *g, int64_t timeout_ms, struct error *err)
{
    g->step = collector_step_add(g->plan, STEP_COPY, err);
    g->copies = arena_alloc(g->plan->arena, COPIES_MAX * sizeof(*g->copies));
    if (g->step == NULL || g->copies == NULL) {
        g->failed = true;
        return;
    }
    g->step->copies = g->copies;
    g->step->timeout_ms = timeout_ms;
    g->step->caps = PROC_CAPS;
    g->step->optional = true;
}

/* Asks for `source` as `output` in the folder; the flags are set by the caller. */
static struct collector_copy *gather_add(struct gather *g, const char *source, const char *output)
{
    static struct collector_copy nowhere;
    const char *name = collector_text(g->plan, "%s/%s", g->folder, output);
    if (g->failed || source == NULL || name == NULL || g->step->copy_count == COPIES_MAX) {
        g->failed = true;
        return &nowhere;
    }
    struct collector_copy *copy = &g->copies[g->step->copy_count++];
    *copy = (struct collector_copy){.source = source, .output = name};
    return copy;
}

/* Asks for each of `names` under `root` as "<prefix><name>", with '.' for '/'. */
static void gather_all(struct gather *g, const char *root, const char *prefix,
                       const char *const *names)
{
    g->failed = g->failed || root == NULL;
    for (size_t i = 0; names[i] != NULL && !g->failed; i++) {
        char output[64];
        (void)snprintf(output, sizeof(output), "%s%s", prefix, names[i]);
        char *slash = strchr(output, '/');
        if (slash != NULL) {
            *slash = '.';
        }
        (void)gather_add(g, collector_text(g->plan, "%s/%s", root, names[i]), output);
    }
}

static void add_process(struct gather *g, pid_t pid)
{
    static const char *const files[] = {"status", "stat",      "statm", "io",
                                        "limits", "schedstat", "sched", "cgroup",
                                        "mounts", "oom_score", "wchan", NULL};
    const char *root = collector_text(g->plan, "/proc/%d", (int)pid);
    gather_all(g, root, "", files);
    gather_add(g, collector_text(g->plan, "/proc/%d/environ", (int)pid), "environ.names")->names =
        true;
    gather_add(g, collector_text(g->plan, "/proc/%d/fd", (int)pid), "fd")->listing = true;
    static const char *const each[] = {"stat", "status", "wchan", "schedstat"};
    for (size_t i = 0; i < ARRAY_LEN(each); i++) {
        char output[32];
        (void)snprintf(output, sizeof(output), "threads.%s", each[i]);
        gather_add(g, each[i], output)->per_thread = true;
    }
}

static void add_locked(struct gather *g, pid_t pid, const char *name, struct error *err)
{
    gather_begin(g, LOCKED_MS, err);
    (void)gather_add(g, collector_text(g->plan, "/proc/%d/%s", (int)pid, name), name);
}

static void add_sockets(struct gather *g, pid_t pid, struct error *err)
{
    static const char *const files[] = {"net/sockstat", "net/sockstat6", "net/snmp", "net/netstat",
                                        "net/tcp",      "net/tcp6",      "net/udp",  "net/udp6",
                                        "net/unix",     "net/dev",       NULL};
    gather_begin(g, CHEAP_MS, err);
    gather_all(g, collector_text(g->plan, "/proc/%d", (int)pid), "", files);
}

static void add_host(struct gather *g)
{
    static const char *const files[] = {
        "loadavg",    "stat",     "meminfo",      "vmstat",          "schedstat",   "diskstats",
        "interrupts", "softirqs", "pressure/cpu", "pressure/memory", "pressure/io", NULL};
    gather_all(g, "/proc", "host.", files);
}

/* One line of /proc/PID/cgroup: "5:cpu,cpuacct:/a/b", "0::/a/b" for v2. */
struct membership {
    const char *controllers; /* "" for v2 */
    const char *path;
};

static bool parse_membership(char *line, struct membership *ret)
{
    char *first = strchr(line, ':');
    char *second = first == NULL ? NULL : strchr(first + 1, ':');
    if (second == NULL) {
        return false;
    }
    *second = '\0';
    ret->controllers = first + 1;
    ret->path = second + 1;
    return true;
}

/* True when the comma-separated `list` holds `word`. */
static bool has_word(const char *list, const char *word)
{
    size_t len = strlen(word);
    for (const char *p = list; p != NULL && *p != '\0';) {
        const char *comma = strchr(p, ',');
        size_t n = comma == NULL ? strcspn(p, " \n") : (size_t)(comma - p);
        if (n == len && strncmp(p, word, len) == 0) {
            return true;
        }
        p = comma == NULL ? NULL : comma + 1;
    }
    return false;
}

/* One line of mountinfo: "36 35 98:0 /root /mount/point opts - cgroup source super,opts". Escapes
 * (\040) in mount points are not undone: such a hierarchy is not found. */
struct mount_line {
    char root[512];
    char point[512];
    char type[32];
    char super[256];
};

static bool parse_mount(const char *line, size_t len, struct mount_line *ret)
{
    const char *dash = memmem(line, len, " - ", 3);
    return dash != NULL && sscanf(line, "%*s %*s %*s %511s %511s", ret->root, ret->point) == 2 &&
           sscanf(dash, " - %31s %*s %255s", ret->type, ret->super) == 2;
}

/* The directory of cgroup `path` in the hierarchy with `controller` ("" : v2), by our mountinfo;
 * NULL when it is not mounted here. */
static const char *hierarchy_dir(struct collector_plan *plan, const char *mountinfo,
                                 const char *controller, const char *path)
{
    bool second = controller[0] == '\0';
    for (const char *line = mountinfo; *line != '\0';) {
        struct mount_line m;
        size_t len = strcspn(line, "\n");
        if (parse_mount(line, len, &m) && strcmp(m.type, second ? "cgroup2" : "cgroup") == 0 &&
            (second || has_word(m.super, controller))) {
            size_t cut = strcmp(m.root, "/") == 0 ? 0 : strlen(m.root);
            const char *rest = strncmp(path, m.root, cut) == 0 ? path + cut : NULL;
            return rest == NULL
                       ? NULL
                       : collector_text(plan, "%s%s", m.point, strcmp(rest, "/") == 0 ? "" : rest);
        }
        line += len + (line[len] == '\n' ? 1 : 0);
    }
    return NULL;
}

struct cgroup_file {
    const char *controller; /* v1; NULL: v2 */
    const char *name;
};

static const struct cgroup_file cgroup_files[] = {
    {NULL, "cpu.stat"},
    {NULL, "cpu.max"},
    {NULL, "cpu.weight"},
    {NULL, "memory.current"},
    {NULL, "memory.max"},
    {NULL, "memory.stat"},
    {NULL, "memory.events"},
    {NULL, "cpu.pressure"},
    {NULL, "memory.pressure"},
    {NULL, "io.pressure"},
    {NULL, "io.stat"},
    {NULL, "pids.current"},
    {"cpu", "cpu.stat"},
    {"cpu", "cpu.cfs_quota_us"},
    {"cpu", "cpu.cfs_period_us"},
    {"cpuacct", "cpuacct.usage"},
    {"memory", "memory.usage_in_bytes"},
    {"memory", "memory.limit_in_bytes"},
    {"memory", "memory.failcnt"},
    {"memory", "memory.stat"},
    {"memory", "memory.oom_control"},
    {"pids", "pids.current"},
};

/* The target's directory for the files of `controller` (NULL: v2). `lines` is /proc/PID/cgroup. */
static const char *cgroup_dir(struct collector_plan *plan, const char *lines, const char *mountinfo,
                              const char *controller)
{
    AUTO_FREE char *copy = xstrdup(lines);
    char *state = NULL;
    for (char *line = strtok_r(copy, "\n", &state); line != NULL;
         line = strtok_r(NULL, "\n", &state)) {
        struct membership m;
        if (!parse_membership(line, &m) || strstr(m.path, "..") != NULL) {
            continue; /* "/.." leads out of our cgroup namespace: not visible from here */
        }
        bool fits =
            controller == NULL ? m.controllers[0] == '\0' : has_word(m.controllers, controller);
        if (fits) {
            return hierarchy_dir(plan, mountinfo, controller == NULL ? "" : controller, m.path);
        }
    }
    return NULL;
}

static void read_file(const char *path, struct buf *out)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    char chunk[4096];
    for (ssize_t n = fd < 0 ? 0 : read(fd, chunk, sizeof(chunk)); n > 0;
         n = read(fd, chunk, sizeof(chunk))) {
        if (buf_add(out, chunk, (size_t)n) < 0) {
            break;
        }
    }
}

static void add_cgroup(struct gather *g, pid_t pid)
{
    AUTO_BUF struct buf lines = BUF_INIT(64 << 10);
    AUTO_BUF struct buf mountinfo = BUF_INIT(MOUNTINFO_BYTES);
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
    read_file(path, &lines);
    read_file("/proc/self/mountinfo", &mountinfo);
    for (size_t i = 0; i < ARRAY_LEN(cgroup_files) && !g->failed; i++) {
        const struct cgroup_file *f = &cgroup_files[i];
        const char *dir =
            cgroup_dir(g->plan, buf_text(&lines), buf_text(&mountinfo), f->controller);
        const char *file = dir == NULL ? NULL : collector_text(g->plan, "%s/%s", dir, f->name);
        if (file != NULL && access(file, F_OK) == 0) { /* controllers differ by group and kernel */
            char output[96];
            (void)snprintf(output, sizeof(output), "cgroup%s.%s", f->controller == NULL ? "2" : "1",
                           f->name);
            (void)gather_add(g, file, output);
        }
    }
}

static int plan_copies(const struct collector_target *target, const struct collector_config *config,
                       enum collector_phase phase, struct collector_plan *plan, struct error *err)
{
    const struct proc_options *o = config->options;
    if (phase != COLLECTOR_INSTANT && phase != COLLECTOR_AFTER) {
        return 0;
    }
    struct gather g = {.plan = plan, .folder = phase == COLLECTOR_INSTANT ? "before" : "after"};
    pid_t pid = target->pid;
    if (pid > 0 || o->host) {
        gather_begin(&g, CHEAP_MS, err);
    }
    if (pid > 0) {
        add_process(&g, pid);
        add_cgroup(&g, pid);
    }
    if (o->host) {
        add_host(&g);
    }
    if (pid > 0 && o->sockets) {
        add_sockets(&g, pid, err);
    }
    if (pid > 0) {
        add_locked(&g, pid, "maps", err);
        add_locked(&g, pid, "smaps_rollup", err);
    }
    return g.failed ? error_set(err, -E2BIG, "too many files for one plan") : 0;
}

const struct collector collector_proc = {
    .name = "proc",
    .summary = "state of the process, its threads, sockets and control group, and of the host",
    .cost = COLLECTOR_CHEAP,
    .reach = COLLECTOR_LOCAL,
    .caps = PROC_CAPS,
    .phases = 1U << COLLECTOR_INSTANT | 1U << COLLECTOR_AFTER,
    .runtimes = 1U << RUNTIME_UNKNOWN | 1U << RUNTIME_GO | 1U << RUNTIME_JVM | 1U << RUNTIME_NODE |
                1U << RUNTIME_PYTHON | 1U << RUNTIME_NATIVE,
    .deadline_ms = 8000,
    .options = &table,
    .plan = plan_copies,
};
