/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/wire.h"

#include <errno.h>
#include <sys/socket.h>

/* The kernel's SCM_MAX_FD. Room for all a peer can send: what does not fit the kernel closes, and
 * on our time. */
enum { SENDABLE_FDS = 253 };

/* Closing the last descriptor of a socket whose peer asked it to linger waits for that peer's own
 * peer: a sender that is not trusted could stop us for hours. */
static void forget_lingering(int fd)
{
    const struct linger none = {.l_onoff = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)); /* ENOTSOCK: good */
}

int wire_send(int fd, const struct wire_message *m, const int *fds, size_t count, struct error *err)
{
    struct wire_message copy = *m;
    struct iovec iov = {.iov_base = &copy, .iov_len = sizeof(copy)};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * WIRE_FDS_MAX)];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (count > WIRE_FDS_MAX) {
        return error_set(err, -EINVAL, "too many descriptors for one message");
    }
    if (count > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *c = &control.align;
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * count);
    }
    for (;;) {
        ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n == (ssize_t)sizeof(copy)) {
            return 0;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        int code = n < 0 ? -errno : -EPROTO;
        return error_errno(err, code == -EWOULDBLOCK ? -EAGAIN : code, "cannot send a message");
    }
}

/* Collects what came as SCM_RIGHTS. */
static size_t take_descriptors(struct msghdr *msg, int ret_fds[WIRE_FDS_MAX])
{
    size_t count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t here = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here; i++) {
            int fd = -1;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            forget_lingering(fd);
            if (count < WIRE_FDS_MAX) {
                ret_fds[count++] = fd;
            } else {
                (void)close(fd);
            }
        }
    }
    return count;
}

int wire_receive(int fd, struct wire_message *ret, int ret_fds[WIRE_FDS_MAX], size_t *ret_count,
                 struct error *err)
{
    struct wire_message m = {0};
    struct iovec iov = {.iov_base = &m, .iov_len = sizeof(m)};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * SENDABLE_FDS)];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    ssize_t n = -1;
    do {
        n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        int code = errno == EWOULDBLOCK ? -EAGAIN : -errno;
        return code == -ECONNRESET ? 0 : error_errno(err, code, "cannot receive a message");
    }
    int fds[WIRE_FDS_MAX];
    size_t count = take_descriptors(&msg, fds);
    const int cut = MSG_TRUNC | MSG_CTRUNC;
    if (n == 0 && count == 0 && (msg.msg_flags & cut) == 0) {
        return 0;
    }
    if (n != (ssize_t)sizeof(m) || (msg.msg_flags & cut) != 0) {
        for (size_t i = 0; i < count; i++) {
            (void)close(fds[i]);
        }
        return error_set(err, -EPROTO, "a packet of %zd bytes is not a message", n);
    }
    m.capture[sizeof(m.capture) - 1] = '\0';
    m.name[sizeof(m.name) - 1] = '\0';
    m.text[sizeof(m.text) - 1] = '\0';
    *ret = m;
    memcpy(ret_fds, fds, count * sizeof(int));
    *ret_count = count;
    return 1;
}

const char *wire_outcome_name(enum wire_outcome outcome)
{
    static const char *const names[] = {"done",    "partial",   "failed",
                                        "skipped", "timed_out", "interrupted"};
    return (unsigned)outcome < ARRAY_LEN(names) ? names[outcome] : "unknown";
}
