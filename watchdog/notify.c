/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/notify.h"

#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

static int notify_fd = -1;
static int64_t watchdog_ms;

void notify_open(void)
{
    const char *usec = secure_getenv("WATCHDOG_USEC");
    const char *pid = secure_getenv("WATCHDOG_PID");
    if (usec != NULL && (pid == NULL || strtol(pid, NULL, 10) == (long)getpid())) {
        watchdog_ms = strtoll(usec, NULL, 10) / 2000;
    }
    const char *path = secure_getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') ||
        strlen(path) >= sizeof(address.sun_path)) {
        return;
    }
    size_t len = strlen(path);
    memcpy(address.sun_path, path, len);
    if (path[0] == '@') {
        address.sun_path[0] = '\0'; /* abstract socket */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, size) == 0) {
        notify_fd = fd;
    } else if (fd >= 0) {
        (void)close(fd);
    }
    (void)unsetenv("NOTIFY_SOCKET");
}

void notify_send(const char *fmt, ...)
{
    if (notify_fd < 0) {
        return;
    }
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    (void)send(notify_fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void notify_reloading(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    notify_send("RELOADING=1\nMONOTONIC_USEC=%lld",
                (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

int64_t notify_watchdog_ms(void)
{
    return watchdog_ms;
}
