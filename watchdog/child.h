/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.h: the only place that starts processes.
 *
 * Between fork and exec a child takes, in this order: its descriptors, rlimits, the bounding-set
 * drop, setgroups, setresgid, setresuid where possible, capset, ambient capabilities, no_new_privs,
 * PDEATHSIG with a recheck of the parent, exec. Nothing else is ever executed in that window, and a
 * step that fails ends the child with an exit status that child_start turns into an error naming
 * the step.
 */
#ifndef WATCHDOG_CHILD_H
#define WATCHDOG_CHILD_H

#include "base/error.h"

#include <sys/types.h>

enum { CHILD_FDS_MAX = 24 };

struct child_spec {
    const char *path;        /* executable */
    const char *const *argv; /* NULL-terminated */
    const char *const *envp; /* NULL-terminated; NULL: PATH, LANG=C.UTF-8, TZ=UTC only */
    int fds[CHILD_FDS_MAX];  /* descriptor i of the child; -1: /dev/null for 0..2, closed above */
    size_t fd_count;         /* at least 3 */
    int cwd_fd;              /* directory to start in, -1: "/" */
    uid_t uid;               /* (uid_t)-1: keep */
    gid_t gid;               /* (gid_t)-1: keep */
    uint64_t caps;           /* capabilities it keeps (as ambient), cut to what we hold */
    bool subreaper;
    bool new_group;   /* own process group */
    int death_signal; /* PDEATHSIG; 0: none */
    int nice;
    int64_t max_file_bytes;   /* RLIMIT_FSIZE; 0: unchanged */
    int64_t max_memory_bytes; /* RLIMIT_AS; 0: unchanged */
    int64_t max_files;        /* RLIMIT_NOFILE; 0: unchanged */
    int64_t max_cpu_s;        /* RLIMIT_CPU; 0: unchanged */
};

/* A spec with every descriptor -1, ids kept, no capabilities, no_new_privs, PDEATHSIG SIGKILL. */
void child_spec_init(struct child_spec *spec);

struct child {
    pid_t pid; /* 0: none */
    int pidfd; /* -1: none; readable when it has ended */
};
#define CHILD_INIT                                                                                 \
    {                                                                                              \
        .pid = 0, .pidfd = -1                                                                      \
    }

/* Starts it; 0 once exec has succeeded. */
int child_start(const struct child_spec *spec, struct child *ret, struct error *err);
/* Reaps without blocking: 1 with *ret_status as waitpid(2) gives it, 0 while it runs. Closes the
 * pidfd on 1. */
int child_reap(struct child *c, int *ret_status);
/* Sends `signal` through the pidfd; a child that is gone is success. */
void child_signal(const struct child *c, int signal);
/* Reaps children that ended and are not in `keep`: orphans of our children, when we are subreaper.
 */
void child_reap_strays(const pid_t *keep, size_t keep_count);
/* Kills every child (and grandchild re-parented to us, when we are subreaper) except the
 * `keep_count` pids in `keep`, until none is left or two seconds have passed. Returns how many were
 * killed. */
unsigned child_kill_strays(const pid_t *keep, size_t keep_count);
/* "exit status 3" or "killed by SIGKILL"; returns out. */
char *child_status_text(int status, char *out, size_t size);
/* The directory of our own executable, where the sister programs live; 0 or negative errno. */
int child_own_dir(char *out, size_t size, struct error *err);

/* Capabilities we hold (permitted), as a bit mask. */
uint64_t child_caps_permitted(void);

/* A pidfd of the process `pid` that started at `start_ticks` (field 22 of /proc/PID/stat), or
 * -ESRCH when that process is gone or the pid is another's by now. The caller closes it. */
int child_open_identity(pid_t pid, uint64_t start_ticks);
/* Start time of `pid` in clock ticks since boot, 0 when there is no such process. */
uint64_t child_start_ticks(pid_t pid);

#endif
