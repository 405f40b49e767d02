/* SPDX-License-Identifier: Apache-2.0 */
/* `incidentctl init` against a small server: what it prints passes the check. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "watchdog/cmd.h"
#include "watchdog/config.h"

struct server {
    pid_t pid;
    unsigned port;
};

static void answer(int fd, const char *page, bool pprof)
{
    char request[2048];
    ssize_t n = read(fd, request, sizeof(request) - 1);
    request[n < 0 ? 0 : n] = '\0';
    struct buf out = BUF_INIT(1 << 20);
    const char *body = NULL;
    if (strncmp(request, "GET /metrics ", 13) == 0) {
        body = page;
    } else if (pprof && strncmp(request, "GET /debug/pprof/ ", 18) == 0) {
        body = "<a href='goroutine?debug=1'>goroutine</a>";
    }
    (void)buf_addf(&out,
                   "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                   "Connection: close\r\n\r\n%s",
                   body == NULL ? "404 Not Found" : "200 OK", body == NULL ? 0 : strlen(body),
                   body == NULL ? "" : body);
    (void)fs_write_all(fd, out.data, out.len, NULL);
    buf_release(&out);
}

/* Serves the page file until the test ends. */
static struct server serve(const char *name, bool pprof)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(a);
    struct buf page = BUF_INIT(1 << 20);
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/pages/%s", TEST_DATA, name);
    assert_int_equal(fs_read_at(AT_FDCWD, path, &page, NULL), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            int client = accept(fd, NULL, NULL);
            if (client >= 0) {
                answer(client, buf_text(&page), pprof);
                (void)close(client);
            }
        }
    }
    (void)close(fd);
    buf_release(&page);
    return (struct server){.pid = pid, .port = ntohs(a.sin_port)};
}

static void stop(const struct server *s)
{
    (void)kill(s->pid, SIGKILL);
    (void)waitpid(s->pid, NULL, 0);
}

/* Runs the verb with its standard output in `out`; returns its exit status. */
static int run_init(const char *url, struct buf *out)
{
    int kept = dup(STDOUT_FILENO);
    int into = memfd_create("out", MFD_CLOEXEC);
    char text[256];
    (void)snprintf(text, sizeof(text), "%s", url);
    char verb[] = "init";
    char *argv[] = {verb, text, NULL};
    (void)fflush(stdout);
    assert_true(kept >= 0 && into >= 0 && dup2(into, STDOUT_FILENO) >= 0);
    int status = cmd_init(2, argv);
    (void)fflush(stdout);
    assert_true(dup2(kept, STDOUT_FILENO) >= 0);
    (void)lseek(into, 0, SEEK_SET);
    assert_int_equal(fs_read_fd(into, out, NULL), 0);
    (void)close(into);
    (void)close(kept);
    return status;
}

static void prints_what_passes_the_check(const char *page, bool pprof, size_t rules,
                                         const char *runtime)
{
    struct server s = serve(page, pprof);
    struct buf out = BUF_INIT(1 << 20);
    struct arena arena = ARENA_INIT(4 << 20);
    struct config c;
    char url[128];
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/metrics", s.port);
    assert_int_equal(run_init(url, &out), 0);
    stop(&s);
    struct schema_doc *doc = schema_doc_new("out", out.data, out.len);
    assert_int_equal(config_load(doc, &arena, &c), 0);
    assert_int_equal(schema_problem_count(doc, true), 0);
    assert_int_equal(c.rules.count, rules);
    const struct config_target *t = config_target_at(&c, 0);
    assert_string_equal(t->metrics, url);
    assert_int_equal(t->process.port, s.port);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/debug/pprof", s.port);
    if (pprof) {
        assert_string_equal(t->pprof, url);
    }
    assert_non_null(strstr(buf_text(&out), "GUESS"));
    if (runtime != NULL) {
        assert_non_null(strstr(buf_text(&out), runtime));
    }
    schema_doc_free(doc);
    arena_release(&arena);
    buf_release(&out);
}

static void describes_a_go_service(void **state)
{
    (void)state;
    prints_what_passes_the_check("go.prom", true, 4, "runtime: go");
}

static void describes_a_spring_service(void **state)
{
    (void)state;
    prints_what_passes_the_check("spring.prom", false, 4, "runtime: jvm");
}

static void describes_a_grpc_service(void **state)
{
    (void)state;
    prints_what_passes_the_check("grpc.prom", true, 4, "grpc_code");
}

static void leaves_the_rule_to_a_person(void **state)
{
    (void)state;
    prints_what_passes_the_check("none.prom", false, 2, "# rules:");
}

static void says_why_it_cannot(void **state)
{
    (void)state;
    struct server s = serve("go.prom", false);
    struct buf out = BUF_INIT(1 << 20);
    char url[128];
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/nothing", s.port);
    assert_int_equal(run_init(url, &out), 1);
    stop(&s);
    assert_int_equal(run_init(url, &out), 1); /* nobody listens */
    assert_int_equal(run_init("localhost", &out), 1);
    assert_int_equal(out.len, 0);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describes_a_go_service),   cmocka_unit_test(describes_a_spring_service),
        cmocka_unit_test(describes_a_grpc_service), cmocka_unit_test(leaves_the_rule_to_a_person),
        cmocka_unit_test(says_why_it_cannot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
