/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.c: fork, the fixed sequence of child.h, exec.
 *
 * fork rather than posix_spawn: posix_spawn knows neither rlimits, nor capabilities, nor PDEATHSIG.
 * The processes that start children are small, so that copying their page tables costs less than a
 * millisecond. Between fork and exec only async-signal-safe calls are made. A close-on-exec pipe
 * carries the step and errno of a failure back: its end without a byte means that exec has
 * succeeded.
 */
#include "watchdog/child.h"

#include "base/clock.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum child_step {
    STEP_DESCRIPTORS,
    STEP_DIRECTORY,
    STEP_RLIMITS,
    STEP_BOUNDING,
    STEP_IDS,
    STEP_CAPABILITIES,
    STEP_NO_NEW_PRIVS,
    STEP_PARENT,
    STEP_EXEC,
};

struct child_failure {
    int step;
    int code;
};

void child_spec_init(struct child_spec *spec)
{
    *spec = (struct child_spec){
        .cwd_fd = -1, .uid = (uid_t)-1, .gid = (gid_t)-1, .death_signal = SIGKILL, .fd_count = 3};
    for (size_t i = 0; i < CHILD_FDS_MAX; i++) {
        spec->fds[i] = -1;
    }
}

static int caps_get(uint64_t *ret_permitted, uint64_t *ret_inheritable)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2] = {{0}};
    if (syscall(SYS_capget, &head, data) < 0) {
        return -errno;
    }
    *ret_permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    *ret_inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
    return 0;
}

static int caps_set(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2] = {
        {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
        {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)}};
    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

uint64_t child_caps_permitted(void)
{
    uint64_t permitted = 0;
    uint64_t inheritable = 0;
    return caps_get(&permitted, &inheritable) < 0 ? 0 : permitted;
}

/* Puts each descriptor of the spec at its number; everything else is closed at exec. */
static int place_descriptors(const struct child_spec *spec, int *report_fd)
{
    int moved[CHILD_FDS_MAX];
    int above = CHILD_FDS_MAX + 8;
    *report_fd = fcntl(*report_fd, F_DUPFD_CLOEXEC, above);
    if (*report_fd < 0) {
        return -errno;
    }
    for (size_t i = 0; i < spec->fd_count; i++) {
        int from = spec->fds[i];
        if (from < 0 && i < 3) {
            from = open("/dev/null", (i == 0 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
        }
        moved[i] = from < 0 ? -1 : fcntl(from, F_DUPFD_CLOEXEC, above);
        if (from >= 0 && moved[i] < 0) {
            return -errno;
        }
    }
    for (size_t i = 0; i < spec->fd_count; i++) {
        if (moved[i] >= 0 && dup2(moved[i], (int)i) < 0) {
            return -errno;
        }
    }
    return close_range((unsigned)spec->fd_count, ~0U, CLOSE_RANGE_CLOEXEC) < 0 ? -errno : 0;
}

static int enter_directory(int cwd_fd)
{
    return (cwd_fd < 0 ? chdir("/") : fchdir(cwd_fd)) < 0 ? -errno : 0;
}

static int limit(int64_t value, enum __rlimit_resource what)
{
    if (value <= 0) {
        return 0;
    }
    struct rlimit now = {0};
    (void)getrlimit(what, &now);
    rlim_t wanted = (rlim_t)value;
    if (now.rlim_max != RLIM_INFINITY && wanted > now.rlim_max) {
        wanted = now.rlim_max;
    }
    struct rlimit set = {.rlim_cur = wanted, .rlim_max = wanted};
    return setrlimit(what, &set) < 0 ? -errno : 0;
}

static int set_rlimits(const struct child_spec *spec)
{
    struct rlimit no_core = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &no_core);
    if (spec->nice != 0) {
        (void)setpriority(PRIO_PROCESS, 0, spec->nice);
    }
    int rc = limit(spec->max_file_bytes, RLIMIT_FSIZE);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    /* A sanitizer's shadow is terabytes of address space. */
    rc = rc < 0 ? rc : limit(spec->max_memory_bytes, RLIMIT_AS);
#endif
    rc = rc < 0 ? rc : limit(spec->max_files, RLIMIT_NOFILE);
    return rc < 0 ? rc : limit(spec->max_cpu_s, RLIMIT_CPU);
}

/* Needs CAP_SETPCAP; without it we cannot have gained from the bounding set what no_new_privs does
 * not forbid. */
static int drop_bounding(uint64_t keep)
{
    for (unsigned long cap = 0; cap < 64; cap++) {
        int held = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (held < 0) {
            break;
        }
        if (held == 1 && (keep >> cap & 1) == 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
            return errno == EPERM ? 0 : -errno;
        }
    }
    (void)prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0);
    return 0;
}

static int change_ids(const struct child_spec *spec)
{
    (void)prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (spec->gid != (gid_t)-1) {
        if (syscall(SYS_setgroups, 0, NULL) < 0 ||
            syscall(SYS_setresgid, spec->gid, spec->gid, spec->gid) < 0) {
            return -errno;
        }
    }
    if (spec->uid != (uid_t)-1 && syscall(SYS_setresuid, spec->uid, spec->uid, spec->uid) < 0) {
        return -errno;
    }
    return 0;
}

static int set_capabilities(uint64_t caps)
{
    uint64_t permitted = 0;
    uint64_t inheritable = 0;
    int rc = caps_get(&permitted, &inheritable);
    if (rc < 0) {
        return rc;
    }
    caps &= permitted;
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    rc = caps_set(caps, caps, caps);
    for (unsigned long cap = 0; cap < 64 && rc == 0; cap++) {
        if ((caps >> cap & 1) != 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0) {
            rc = -errno;
        }
    }
    return rc;
}

/* The parent may have died before PDEATHSIG was set: then its death will never be signalled. */
static int bind_to_parent(int death_signal, pid_t parent)
{
    if (death_signal != 0 && prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) < 0) {
        return -errno;
    }
    return death_signal != 0 && getppid() != parent ? -ESRCH : 0;
}

static void reset_signals(void)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int s = 1; s < NSIG; s++) {
        (void)sigaction(s, &standard, NULL);
    }
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Runs in the child; returns the failure of the step that stopped it. */
static struct child_failure become(const struct child_spec *spec, pid_t parent, int *report_fd)
{
    static const char *const plain_env[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8",
        "TZ=UTC", NULL};
    reset_signals();
    if (spec->new_group) {
        (void)setpgid(0, 0);
    }
    if (spec->subreaper) {
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    }
    int rc = enter_directory(spec->cwd_fd);
    if (rc < 0) {
        return (struct child_failure){STEP_DIRECTORY, rc};
    }
    if ((rc = place_descriptors(spec, report_fd)) < 0) {
        return (struct child_failure){STEP_DESCRIPTORS, rc};
    }
    if ((rc = set_rlimits(spec)) < 0) {
        return (struct child_failure){STEP_RLIMITS, rc};
    }
    if ((rc = drop_bounding(spec->caps)) < 0) {
        return (struct child_failure){STEP_BOUNDING, rc};
    }
    if ((rc = change_ids(spec)) < 0) {
        return (struct child_failure){STEP_IDS, rc};
    }
    if ((rc = set_capabilities(spec->caps)) < 0) {
        return (struct child_failure){STEP_CAPABILITIES, rc};
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return (struct child_failure){STEP_NO_NEW_PRIVS, -errno};
    }
    if ((rc = bind_to_parent(spec->death_signal, parent)) < 0) {
        return (struct child_failure){STEP_PARENT, rc};
    }
    const char *const *env = spec->envp == NULL ? plain_env : spec->envp;
    /* execve takes its vectors without const for C89's sake and changes neither (POSIX, rationale
     * of exec). */
    union {
        const char *const *in;
        char *const *out;
    } argv = {.in = spec->argv}, envp = {.in = env};
    (void)execve(spec->path, argv.out, envp.out);
    return (struct child_failure){STEP_EXEC, -errno};
}

static int start_error(const struct child_spec *spec, const struct child_failure *f,
                       struct error *err)
{
    static const char *const steps[] = {"placing descriptors",
                                        "entering the directory",
                                        "setting limits",
                                        "dropping the bounding set",
                                        "changing ids",
                                        "setting capabilities",
                                        "no_new_privs",
                                        "binding to the parent",
                                        "exec"};
    const char *step =
        f->step >= 0 && (size_t)f->step < ARRAY_LEN(steps) ? steps[f->step] : "starting";
    int code =
        error_errno(err, f->code < 0 ? f->code : -EIO, "cannot start '%s': %s", spec->path, step);
    if (f->step == STEP_EXEC && code == -EACCES) {
        (void)error_remedy(err,
                           "the account it runs as must be able to enter each folder above it");
    }
    return code;
}

int child_start(const struct child_spec *spec, struct child *ret, struct error *err)
{
    int report[2];
    if (pipe2(report, O_CLOEXEC) < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot make a pipe");
    }
    AUTO_CLOSE int report_in = report[0];
    AUTO_CLOSE int report_out = report[1];
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot fork");
    }
    if (pid == 0) {
        struct child_failure f = become(spec, parent, &report_out);
        ssize_t ignored = write(report_out, &f, sizeof(f));
        (void)ignored;
        _exit(127);
    }
    (void)close(take_fd(&report_out));
    AUTO_CLOSE int pidfd = pidfd_open(pid, 0);
    struct child_failure f = {0};
    ssize_t n = -1;
    do {
        n = read(report_in, &f, sizeof(f));
    } while (n < 0 && errno == EINTR);
    if (n != 0 || pidfd < 0) {
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, 0);
        return start_error(spec, &f, err);
    }
    ret->pid = pid;
    ret->pidfd = take_fd(&pidfd);
    return 0;
}

int child_reap(struct child *c, int *ret_status)
{
    if (c->pid <= 0 || waitpid(c->pid, ret_status, WNOHANG) != c->pid) {
        return 0;
    }
    (void)close(take_fd(&c->pidfd));
    c->pid = 0;
    return 1;
}

void child_signal(const struct child *c, int signal)
{
    if (c->pidfd >= 0) {
        (void)pidfd_send_signal(c->pidfd, signal, NULL, 0);
    }
}

enum { STRAYS_MAX = 512 };

/* Our children that are not in `keep`. */
static size_t list_strays(const pid_t *keep, size_t keep_count, pid_t ret[STRAYS_MAX])
{
    AUTO_BUF struct buf text = BUF_INIT((size_t)16 * STRAYS_MAX);
    char name[64];
    (void)snprintf(name, sizeof(name), "/proc/self/task/%d/children", (int)gettid());
    (void)fs_read_at(AT_FDCWD, name, &text, NULL);
    size_t count = 0;
    const char *p = buf_text(&text);
    char *end = NULL;
    for (long pid = strtol(p, &end, 10); end != p && count < STRAYS_MAX;
         pid = strtol(p, &end, 10)) {
        p = end;
        bool kept = false;
        for (size_t i = 0; i < keep_count; i++) {
            kept = kept || keep[i] == (pid_t)pid;
        }
        if (!kept) {
            ret[count++] = (pid_t)pid;
        }
    }
    return count;
}

void child_reap_strays(const pid_t *keep, size_t keep_count)
{
    pid_t strays[STRAYS_MAX];
    size_t count = list_strays(keep, keep_count, strays);
    for (size_t i = 0; i < count; i++) {
        (void)waitpid(strays[i], NULL, WNOHANG);
    }
}

unsigned child_kill_strays(const pid_t *keep, size_t keep_count)
{
    unsigned killed = 0;
    int64_t end_ms = clock_mono_ms() + 2000;
    pid_t strays[STRAYS_MAX];
    size_t count = list_strays(keep, keep_count, strays);
    while (count > 0 && clock_mono_ms() < end_ms) {
        for (size_t i = 0; i < count; i++) {
            (void)kill(strays[i], SIGKILL);
        }
        for (size_t i = 0; i < count; i++) {
            AUTO_CLOSE int fd = pidfd_open(strays[i], 0);
            struct pollfd wait = {.fd = fd, .events = POLLIN};
            int64_t left_ms = end_ms - clock_mono_ms();
            if (fd >= 0 && left_ms > 0) {
                (void)poll(&wait, 1, (int)left_ms);
            }
            killed += waitpid(strays[i], NULL, WNOHANG) == strays[i] ? 1 : 0;
        }
        count = list_strays(keep, keep_count, strays);
    }
    return killed;
}

char *child_status_text(int status, char *out, size_t size)
{
    if (WIFSIGNALED(status)) {
        const char *name = sigabbrev_np(WTERMSIG(status));
        (void)snprintf(out, size, "killed by SIG%s", name == NULL ? "?" : name);
    } else {
        (void)snprintf(out, size, "exit status %d", WEXITSTATUS(status));
    }
    return out;
}

uint64_t child_start_ticks(pid_t pid)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
    AUTO_BUF struct buf text = BUF_INIT(2048);
    (void)fs_read_at(AT_FDCWD, name, &text, NULL);
    const char *p = strrchr(buf_text(&text), ')'); /* the name before it may hold anything */
    for (int field = 2; p != NULL && field < 22; field++) {
        p = strchr(p + 1, ' ');
    }
    return p == NULL ? 0 : strtoull(p, NULL, 10);
}

int child_open_identity(pid_t pid, uint64_t start_ticks)
{
    AUTO_CLOSE int fd = pid > 0 ? pidfd_open(pid, 0) : -1;
    /* Read after the pidfd is held: if the start time matches now, the descriptor is that process.
     */
    if (fd < 0 || start_ticks == 0 || child_start_ticks(pid) != start_ticks) {
        return -ESRCH;
    }
    return take_fd(&fd);
}

int child_own_dir(char *out, size_t size, struct error *err)
{
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    if (n < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot read /proc/self/exe");
    }
    out[n] = '\0';
    char *slash = strrchr(out, '/');
    if (slash == NULL || (size_t)n == size - 1) {
        return error_set(err, -ENAMETOOLONG, "the path of our own executable is too long");
    }
    *slash = '\0';
    return 0;
}
