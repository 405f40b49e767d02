/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "watchdog/wire.h"

struct pair {
    int a;
    int b;
};

static int open_pair(void **state)
{
    struct pair *p = xcalloc(1, sizeof(*p));
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    *p = (struct pair){fds[0], fds[1]};
    *state = p;
    return 0;
}

static int close_pair(void **state)
{
    struct pair *p = *state;
    (void)close(p->a);
    (void)close(p->b);
    free(p);
    return 0;
}

static void carries_a_message_with_descriptors(void **state)
{
    struct pair *p = *state;
    struct wire_message m = {.type = WIRE_RUN, .id = 7, .generation = 3, .pid = 42, .capture = "c"};
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int fds[2] = {null_fd, null_fd};
    assert_int_equal(wire_send(p->a, &m, fds, 2, NULL), 0);
    (void)close(null_fd);
    struct wire_message got;
    int got_fds[WIRE_FDS_MAX];
    size_t count = 0;
    assert_int_equal(wire_receive(p->b, &got, got_fds, &count, NULL), 1);
    assert_memory_equal(&got, &m, sizeof(m));
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(fcntl(got_fds[i], F_GETFD), FD_CLOEXEC);
        (void)close(got_fds[i]);
    }
}

static void an_empty_socket_is_not_an_end(void **state)
{
    struct pair *p = *state;
    struct wire_message got;
    int fds[WIRE_FDS_MAX];
    size_t count = 0;
    assert_int_equal(wire_receive(p->b, &got, fds, &count, NULL), -EAGAIN);
    (void)shutdown(p->a, SHUT_RDWR);
    assert_int_equal(wire_receive(p->b, &got, fds, &count, NULL), 0);
}

static void a_packet_of_another_size_is_refused_and_leaks_no_descriptor(void **state)
{
    struct pair *p = *state;
    assert_int_equal(send(p->a, "hello", 5, 0), 5);
    struct wire_message got;
    int fds[WIRE_FDS_MAX];
    size_t count = 0;
    struct error err = ERROR_INIT;
    assert_int_equal(wire_receive(p->b, &got, fds, &count, &err), -EPROTO);
    assert_non_null(strstr(err.message, "5 bytes"));
    assert_int_equal(count, 0);
}

/* A packet of `len` bytes with one descriptor. */
static void send_raw(int socket_fd, size_t len, int fd)
{
    char byte = 'x';
    struct iovec iov = {.iov_base = &byte, .iov_len = len};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    assert_int_equal(sendmsg(socket_fd, &msg, 0), (ssize_t)len);
}

static void a_packet_without_a_byte_leaks_no_descriptor_and_is_no_end(void **state)
{
    struct pair *p = *state;
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
    for (size_t len = 0; len < 2; len++) {
        send_raw(p->a, len, pipes[1]);
        struct wire_message got;
        int fds[WIRE_FDS_MAX];
        size_t count = 0;
        assert_int_equal(wire_receive(p->b, &got, fds, &count, NULL), -EPROTO);
    }
    (void)close(pipes[1]);
    char byte = 0;
    assert_int_equal(read(pipes[0], &byte, 1), 0); /* its end: nobody holds the other one */
    (void)close(pipes[0]);
}

static void a_received_socket_does_not_linger(void **state)
{
    struct pair *p = *state;
    const struct linger long_wait = {.l_onoff = 1, .l_linger = 600};
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(tcp, SOL_SOCKET, SO_LINGER, &long_wait, sizeof(long_wait)), 0);
    struct wire_message m = {.type = WIRE_ADD};
    assert_int_equal(wire_send(p->a, &m, &tcp, 1, NULL), 0);
    int fds[WIRE_FDS_MAX];
    size_t count = 0;
    assert_int_equal(wire_receive(p->b, &m, fds, &count, NULL), 1);
    struct linger now = {.l_onoff = 1};
    socklen_t size = sizeof(now);
    assert_int_equal(getsockopt(fds[0], SOL_SOCKET, SO_LINGER, &now, &size), 0);
    assert_int_equal(now.l_onoff, 0);
    (void)close(fds[0]);
    (void)close(tcp);
}

static void texts_always_end(void **state)
{
    struct pair *p = *state;
    struct wire_message m;
    memset(&m, 'x', sizeof(m));
    assert_int_equal(wire_send(p->a, &m, NULL, 0, NULL), 0);
    struct wire_message got;
    int fds[WIRE_FDS_MAX];
    size_t count = 0;
    assert_int_equal(wire_receive(p->b, &got, fds, &count, NULL), 1);
    assert_int_equal(strlen(got.capture), sizeof(got.capture) - 1);
    assert_int_equal(strlen(got.name), sizeof(got.name) - 1);
    assert_int_equal(strlen(got.text), sizeof(got.text) - 1);
}

static void a_full_socket_says_try_again(void **state)
{
    struct pair *p = *state;
    struct wire_message m = {.type = WIRE_ALIVE};
    int rc = 0;
    for (int i = 0; i < 100000 && rc == 0; i++) {
        rc = wire_send(p->a, &m, NULL, 0, NULL);
    }
    assert_int_equal(rc, -EAGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(carries_a_message_with_descriptors, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(an_empty_socket_is_not_an_end, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(a_packet_of_another_size_is_refused_and_leaks_no_descriptor,
                                        open_pair, close_pair),
        cmocka_unit_test_setup_teardown(a_packet_without_a_byte_leaks_no_descriptor_and_is_no_end,
                                        open_pair, close_pair),
        cmocka_unit_test_setup_teardown(a_received_socket_does_not_linger, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(texts_always_end, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(a_full_socket_says_try_again, open_pair, close_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
