/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/reaper.h"

#include "base/base.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static ATTR_NORETURN void serve(pid_t child, const sigset_t *signals)
{
    for (;;) {
        siginfo_t info = {0};
        if (sigwaitinfo(signals, &info) < 0) {
            continue;
        }
        if (info.si_signo != SIGCHLD) {
            (void)kill(child, info.si_signo);
            continue;
        }
        int status = 0;
        for (pid_t pid = waitpid(-1, &status, WNOHANG); pid > 0;
             pid = waitpid(-1, &status, WNOHANG)) {
            if (pid == child) {
                _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
            }
        }
    }
}

void reaper_split(void)
{
    if (getpid() != 1) {
        return;
    }
    sigset_t signals;
    sigset_t before;
    (void)sigemptyset(&signals);
    static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD};
    for (size_t i = 0; i < ARRAY_LEN(forwarded); i++) {
        (void)sigaddset(&signals, forwarded[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &signals, &before);
    pid_t child = fork();
    if (child > 0) {
        serve(child, &signals);
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}
