/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "watchdog/fetch.h"

/* A server of one process: answers each connection with the next of `answers`, the last one again
 * and again; a NULL answer is silence. */
struct server {
    pid_t pid;
    int port;
    char url[64];
};

static void serve(int listener, const char *const *answers)
{
    for (size_t i = 0;;) {
        int fd = accept(listener, NULL, NULL);
        char request[2048];
        if (fd < 0 || read(fd, request, sizeof(request)) <= 0) {
            _exit(1);
        }
        if (answers[i] == NULL) {
            (void)pause();
        }
        (void)!write(fd, answers[i], strlen(answers[i]));
        (void)close(fd);
        i += answers[i + 1] != NULL ? 1 : 0;
    }
}

static void server_start(struct server *s, const char *const *answers)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    s->port = ntohs(address.sin_port);
    (void)snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%d/x", s->port);
    s->pid = fork();
    if (s->pid == 0) {
        serve(listener, answers);
    }
    assert_true(s->pid > 0);
    (void)close(listener);
}

static void server_stop(const struct server *s)
{
    (void)kill(s->pid, SIGKILL);
    (void)waitpid(s->pid, NULL, 0);
}

/* Fetches from a server with these answers; what came lies in `body`. */
static enum fetch_end fetch(const char *const *answers, struct fetch_options o, struct buf *body,
                            struct error *err)
{
    struct server s;
    server_start(&s, answers);
    int fd = memfd_create("body", MFD_CLOEXEC);
    o.url = s.url;
    enum fetch_end end = fetch_run(&o, fd, err);
    server_stop(&s);
    (void)lseek(fd, 0, SEEK_SET);
    assert_int_equal(fs_read_fd(fd, body, NULL), 0);
    (void)close(fd);
    return end;
}

static const struct fetch_options usual = {.timeout_ms = 5000, .max_bytes = 1000};

static void writes_the_body(void **state)
{
    (void)state;
    static const char *const answers[] = {"HTTP/1.0 200 OK\r\n\r\nhello", NULL};
    AUTO_BUF struct buf body = BUF_INIT(4096);
    struct error err = ERROR_INIT;
    assert_int_equal(fetch(answers, usual, &body, &err), FETCH_DONE);
    assert_string_equal(buf_text(&body), "hello");
    assert_int_equal(err.code, 0);
}

static void follows_no_redirect_and_keeps_no_body_of_an_error(void **state)
{
    (void)state;
    static const char *const moved[] = {
        "HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\ngo", NULL};
    static const char *const missing[] = {"HTTP/1.0 404 Not Found\r\n\r\nno such\nprofile\n", NULL};
    AUTO_BUF struct buf body = BUF_INIT(4096);
    struct error err = ERROR_INIT;
    assert_int_equal(fetch(moved, usual, &body, &err), FETCH_STATUS);
    assert_non_null(strstr(err.message, "302"));
    assert_int_equal(fetch(missing, usual, &body, &err), FETCH_STATUS);
    assert_string_equal(err.message, "HTTP 404: no such profile");
    assert_int_equal(body.len, 0);
}

static void asks_again_while_the_profiler_is_busy(void **state)
{
    (void)state;
    static const char busy_text[] =
        "HTTP/1.0 500 Internal Server Error\r\n\r\nCould not enable CPU "
        "profiling: cpu profiling already in use\n";
    static const char *const answers[] = {busy_text, "HTTP/1.0 200 OK\r\n\r\nprofile", NULL};
    static const char *const always[] = {busy_text, NULL};
    static const char *const broken[] = {"HTTP/1.0 500 Oops\r\n\r\nnil pointer", NULL};
    AUTO_BUF struct buf body = BUF_INIT(4096);
    struct error err = ERROR_INIT;
    struct fetch_options patient = usual;
    patient.retry_busy_ms = 5000;
    assert_int_equal(fetch(answers, patient, &body, &err), FETCH_DONE);
    assert_string_equal(buf_text(&body), "profile");
    assert_int_equal(fetch(always, usual, &body, &err), FETCH_BUSY);
    assert_int_equal(fetch(broken, patient, &body, &err), FETCH_STATUS);
}

static void keeps_what_fits_and_says_that_it_was_cut(void **state)
{
    (void)state;
    static const char *const answers[] = {"HTTP/1.0 200 OK\r\n\r\n0123456789", NULL};
    AUTO_BUF struct buf body = BUF_INIT(4096);
    struct error err = ERROR_INIT;
    struct fetch_options small = usual;
    small.max_bytes = 4;
    assert_int_equal(fetch(answers, small, &body, &err), FETCH_TOO_LARGE);
    assert_string_equal(buf_text(&body), "0123");
    small.max_bytes = 10;
    buf_clear(&body);
    assert_int_equal(fetch(answers, small, &body, &err), FETCH_DONE);
}

static void gives_up_in_time(void **state)
{
    (void)state;
    static const char *const silence[] = {NULL, NULL};
    AUTO_BUF struct buf body = BUF_INIT(4096);
    struct error err = ERROR_INIT;
    struct fetch_options hasty = usual;
    hasty.timeout_ms = 200;
    assert_int_equal(fetch(silence, hasty, &body, &err), FETCH_TIMED_OUT);
}

static void tells_a_closed_port_and_a_bad_url(void **state)
{
    (void)state;
    struct server s;
    static const char *const answers[] = {NULL, NULL};
    server_start(&s, answers);
    server_stop(&s);
    struct error err = ERROR_INIT;
    struct fetch_options o = usual;
    o.url = s.url;
    assert_int_equal(fetch_run(&o, STDOUT_FILENO, &err), FETCH_CONNECTION);
    assert_true(err.message[0] != '\0');
    o.url = "http://no-such-host.invalid/";
    assert_int_equal(fetch_run(&o, STDOUT_FILENO, &err), FETCH_CONNECTION);
    o.url = "file:///etc/passwd";
    assert_int_equal(fetch_run(&o, STDOUT_FILENO, &err), FETCH_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_body),
        cmocka_unit_test(follows_no_redirect_and_keeps_no_body_of_an_error),
        cmocka_unit_test(asks_again_while_the_profiler_is_busy),
        cmocka_unit_test(keeps_what_fits_and_says_that_it_was_cut),
        cmocka_unit_test(gives_up_in_time),
        cmocka_unit_test(tells_a_closed_port_and_a_bad_url),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
