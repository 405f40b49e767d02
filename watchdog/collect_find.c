/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/collect_find.h"

#include "base/clock.h"
#include "base/fs.h"
#include "watchdog/child.h"
#include "watchdog/collect_job.h"
#include "watchdog/collect_run.h"
#include "watchdog/collect_runtime.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>

enum { INODES_MAX = 32, TABLE_BYTES = 16 << 20, CMDLINE_BYTES = 64 << 10, RUNTIME_MS = 300 };

struct search {
    const struct config_process *by;
    struct collect_found best;
    unsigned looked;
    unsigned closed; /* processes whose exe or descriptors we may not read */
    char instead[192];
    char own_dir[256];
    unsigned long inodes[INODES_MAX]; /* sockets that listen on by->port */
    size_t inode_count;
};

/* Path of the executable, without the " (deleted)" of a replaced file; "" when not readable. */
static void read_exe(pid_t pid, char *out, size_t size)
{
    static const char deleted[] = " (deleted)";
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(path, out, size - 1);
    out[n < 0 ? 0 : n] = '\0';
    size_t cut = sizeof(deleted) - 1;
    if (n > (ssize_t)cut && strcmp(out + (size_t)n - cut, deleted) == 0) {
        out[(size_t)n - cut] = '\0';
    }
}

static void read_small(pid_t pid, const char *name, struct buf *out)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    (void)fs_read_at(AT_FDCWD, path, out, NULL);
}

/* Our own programs: their arguments may well name the target. */
static bool is_sister(const struct search *s, pid_t pid, const char *exe)
{
    const char *slash = strrchr(exe, '/');
    return pid == getpid() || (slash != NULL && strncmp(slash + 1, "incident", 8) == 0 &&
                               strlen(s->own_dir) == (size_t)(slash - exe) &&
                               strncmp(exe, s->own_dir, (size_t)(slash - exe)) == 0);
}

static bool matches_cmdline(const struct search *s, pid_t pid)
{
    AUTO_BUF struct buf text = BUF_INIT(CMDLINE_BYTES);
    read_small(pid, "cmdline", &text);
    for (size_t i = 0; i + 1 < text.len; i++) {
        if (text.data[i] == '\0') {
            text.data[i] = ' ';
        }
    }
    return strstr(buf_text(&text), s->by->cmdline) != NULL;
}

static bool matches_comm(const struct search *s, pid_t pid)
{
    AUTO_BUF struct buf text = BUF_INIT(64);
    read_small(pid, "comm", &text);
    size_t len = strcspn(buf_text(&text), "\n");
    /* The kernel keeps 15 bytes of a name. */
    size_t wanted = strlen(s->by->comm) < 15 ? strlen(s->by->comm) : 15;
    return len == wanted && strncmp(buf_text(&text), s->by->comm, wanted) == 0;
}

static bool matches_exe(struct search *s, pid_t pid, const char *exe)
{
    if (strcmp(exe, s->by->exe) == 0) {
        return true;
    }
    const char *own = strrchr(exe, '/');
    const char *wanted = strrchr(s->by->exe, '/');
    if (own != NULL && wanted != NULL && strcmp(own, wanted) == 0 && s->instead[0] == '\0') {
        (void)snprintf(s->instead, sizeof(s->instead), "'%.120s' runs as process %d", exe,
                       (int)pid);
    }
    return false;
}

static bool has_inode(const struct search *s, unsigned long inode)
{
    for (size_t i = 0; i < s->inode_count; i++) {
        if (s->inodes[i] == inode) {
            return true;
        }
    }
    return false;
}

static bool holds_socket(struct search *s, pid_t pid)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    AUTO_DIR DIR *dir = opendir(path);
    if (dir == NULL) {
        s->closed++;
        return false;
    }
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char to[64];
        ssize_t n = readlinkat(dirfd(dir), e->d_name, to, sizeof(to) - 1);
        to[n < 0 ? 0 : n] = '\0';
        if (strncmp(to, "socket:[", 8) == 0 && has_inode(s, strtoul(to + 8, NULL, 10))) {
            return true;
        }
    }
    return false;
}

/* The `index`th blank-separated field of a line, "" past its end. */
static const char *field(const char *line, unsigned index)
{
    line += strspn(line, " ");
    for (; index > 0; index--) {
        line += strcspn(line, " \n");
        line += strspn(line, " ");
    }
    return line;
}

/* Collects the sockets that listen on the port from one table of /proc/net. Its fields: number,
 * local address:port, remote one, state (0A: listening), queues, timers, retransmits, uid,
 * timeouts, inode. */
static void read_table(struct search *s, const char *path)
{
    enum { LOCAL = 1, STATE = 3, INODE = 9, LISTENING = 0x0A };
    AUTO_BUF struct buf text = BUF_INIT(TABLE_BYTES);
    (void)fs_read_at(AT_FDCWD, path, &text, NULL);
    const char *line = strchr(buf_text(&text), '\n'); /* after the heading */
    for (; line != NULL && line[1] != '\0'; line = strchr(line + 1, '\n')) {
        const char *local = field(line + 1, LOCAL);
        const char *port = local + strcspn(local, ":\n");
        if (*port == ':' && strtol(port + 1, NULL, 16) == s->by->port &&
            strtol(field(line + 1, STATE), NULL, 16) == LISTENING && s->inode_count < INODES_MAX) {
            s->inodes[s->inode_count++] = strtoul(field(line + 1, INODE), NULL, 10);
        }
    }
}

/* True for a process that runs: a zombie has ended. */
static bool is_alive(pid_t pid)
{
    AUTO_BUF struct buf text = BUF_INIT(2048);
    read_small(pid, "stat", &text);
    const char *end = strrchr(buf_text(&text), ')');
    return end != NULL && end[1] == ' ' && end[2] != 'Z' && end[2] != 'X';
}

static void consider(struct search *s, pid_t pid)
{
    char exe[4096];
    read_exe(pid, exe, sizeof(exe));
    if (is_sister(s, pid, exe)) {
        return;
    }
    s->looked++;
    bool fits = false;
    if (s->by->exe != NULL) {
        s->closed += exe[0] == '\0' ? 1 : 0;
        fits = matches_exe(s, pid, exe);
    } else if (s->by->comm != NULL) {
        fits = matches_comm(s, pid);
    } else if (s->by->cmdline != NULL) {
        fits = matches_cmdline(s, pid);
    } else if (s->by->port > 0) {
        fits = holds_socket(s, pid);
    } else {
        fits = true; /* named by its number */
    }
    uint64_t ticks = fits && is_alive(pid) ? child_start_ticks(pid) : 0;
    if (ticks > 0 && (s->best.pid == 0 || ticks < s->best.start_ticks)) {
        s->best = (struct collect_found){.pid = pid, .start_ticks = ticks};
        (void)snprintf(s->best.exe, sizeof(s->best.exe), "%.255s", exe);
    }
}

static void consider_all(struct search *s)
{
    AUTO_DIR DIR *dir = opendir("/proc");
    for (const struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        if (isdigit((unsigned char)e->d_name[0]) != 0) {
            consider(s, (pid_t)strtol(e->d_name, NULL, 10));
        }
    }
}

/* What was looked for, in words. */
static void describe(const struct search *s, char *out, size_t size)
{
    const struct config_process *by = s->by;
    if (by->exe != NULL) {
        (void)snprintf(out, size, "no process has the executable '%s'", by->exe);
    } else if (by->comm != NULL) {
        (void)snprintf(out, size, "no process is called '%s'", by->comm);
    } else if (by->cmdline != NULL) {
        (void)snprintf(out, size, "no process has '%s' in its arguments", by->cmdline);
    } else if (by->port > 0) {
        (void)snprintf(out, size,
                       s->inode_count == 0 ? "nothing listens on TCP port %lld"
                                           : "the process that listens on TCP port %lld was not "
                                             "found",
                       (long long)by->port);
    }
}

static int not_found(const struct search *s, struct error *err)
{
    char text[300] = "";
    char closed[128] = "";
    describe(s, text, sizeof(text));
    if (s->closed > 0) {
        (void)snprintf(closed, sizeof(closed),
                       "; %u could not be looked into without CAP_SYS_PTRACE", s->closed);
    }
    return error_set(err, -ESRCH, "%s (looked at %u%s)%s%s", text, s->looked, closed,
                     s->instead[0] != '\0' ? "; " : "", s->instead);
}

static int find_pidfile(struct search *s, struct error *err)
{
    AUTO_BUF struct buf text = BUF_INIT(64);
    int rc = fs_read_at(AT_FDCWD, s->by->pidfile, &text, err);
    if (rc < 0) {
        return error_set(err, -ESRCH, "cannot read the pidfile '%s'", s->by->pidfile);
    }
    char *end = NULL;
    long pid = strtol(buf_text(&text), &end, 10);
    if (end == buf_text(&text) || pid <= 0 || pid > INT32_MAX) {
        return error_set(err, -ESRCH, "the pidfile '%s' holds no number", s->by->pidfile);
    }
    consider(s, (pid_t)pid);
    return s->best.pid > 0 ? 0
                           : error_set(err, -ESRCH, "process %ld of the pidfile '%s' does not run",
                                       pid, s->by->pidfile);
}

int collect_find_process(const struct config_process *by, struct collect_found *ret,
                         struct error *err)
{
    struct search s = {.by = by};
    (void)child_own_dir(s.own_dir, sizeof(s.own_dir), NULL);
    int rc = 0;
    if (by->pid > 0) {
        consider(&s, (pid_t)by->pid);
        rc = s.best.pid > 0
                 ? 0
                 : error_set(err, -ESRCH, "process %lld does not run", (long long)by->pid);
    } else if (by->pidfile != NULL) {
        rc = find_pidfile(&s, err);
    } else if (by->exe != NULL || by->comm != NULL || by->cmdline != NULL || by->port > 0) {
        if (by->port > 0) {
            read_table(&s, "/proc/net/tcp");
            read_table(&s, "/proc/net/tcp6");
        }
        if (by->port <= 0 || s.inode_count > 0) {
            consider_all(&s);
        }
        rc = s.best.pid > 0 ? 0 : not_found(&s, err);
    } else {
        rc = error_set(err, -ESRCH, "the target names no process");
    }
    if (rc == 0) {
        *ret = s.best;
    }
    return rc;
}

int collect_find_runtime_main(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    (void)fputs(collect_runtime_name(collect_runtime_detect((pid_t)strtol(argv[2], NULL, 10))),
                stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* Runs `incidentd-collect runtime PID`; "unknown" when it does not answer. */
static void ask_runtime(pid_t pid, char *out, size_t size)
{
    char number[16];
    (void)snprintf(number, sizeof(number), "%d", (int)pid);
    const char *const argv[] = {"incidentd-collect", "runtime", number, NULL};
    AUTO_BUF struct buf answer = BUF_INIT(32);
    struct child_spec spec;
    child_spec_init(&spec);
    spec.path = "/proc/self/exe";
    spec.argv = argv;
    spec.caps = (1ULL << CAP_SYS_PTRACE | 1ULL << CAP_DAC_READ_SEARCH) & child_caps_permitted();
    spec.new_group = true;
    struct collect_control control = {.lifeline_fd = COLLECT_WIRE_FD, .signal_fd = -1};
    struct collect_job job = {
        .spec = &spec, .end_ms = clock_mono_ms() + RUNTIME_MS, .output = &answer};
    int rc = collect_job_run(&job, &control, NULL);
    bool told = rc == 0 && job.status == 0 && answer.len > 0;
    (void)snprintf(out, size, "%s", told ? buf_text(&answer) : "unknown");
}

int collect_find_main(void)
{
    struct collect_request r;
    struct error err = ERROR_INIT;
    struct wire_message answer = {0};
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    int rc = collect_request_read(WIRE_FIND, &r, &err);
    if (rc == 0) {
        const struct config_target *t = config_target_at(&r.config, r.message.target);
        struct collect_found found = {0};
        rc = collect_find_process(&t->process, &found, &err);
        answer.target = r.message.target;
        answer.pid = (int32_t)found.pid;
        answer.start_ticks = found.start_ticks;
        (void)snprintf(answer.name, sizeof(answer.name), "%s", found.exe);
        if (rc == 0 && t->runtime != RUNTIME_UNKNOWN) {
            (void)snprintf(answer.text, sizeof(answer.text), "%s",
                           collect_runtime_name((enum collector_runtime)t->runtime));
        } else if (rc == 0) {
            ask_runtime(found.pid, answer.text, sizeof(answer.text));
        }
    }
    if (rc < 0) {
        answer.status = rc;
        (void)error_text(&err, answer.text, sizeof(answer.text));
    }
    collect_request_answer(&r, &answer);
    collect_request_release(&r);
    return 0;
}
