/* SPDX-License-Identifier: Apache-2.0 */
/* What a metrics page tells about a service. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "watchdog/guess.h"

#include "base/fs.h"
#include "rules/selector.h"

#include <errno.h>
#include <fcntl.h>

#define QUIET "/?(metrics|healthz?|readyz?|livez?|ping|-/.*|actuator(/.*)?|debug/.*)"

static struct guess guess_file(const char *name)
{
    struct buf page = BUF_INIT(1 << 20);
    struct error err = ERROR_INIT;
    struct guess g;
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/pages/%s", TEST_DATA, name);
    assert_int_equal(fs_read_at(AT_FDCWD, path, &page, &err), 0);
    assert_int_equal(guess_page(buf_text(&page), page.len, false, &g, &err), 0);
    buf_release(&page);
    if (g.total[0] != '\0') {
        assert_int_equal(selector_check(g.total, &err), 0);
        assert_int_equal(selector_check(g.good, &err), 0);
    }
    return g;
}

static struct guess guess_text(const char *text)
{
    struct error err = ERROR_INIT;
    struct guess g;
    assert_int_equal(guess_page(text, strlen(text), false, &g, &err), 0);
    return g;
}

static void knows_a_go_page(void **state)
{
    (void)state;
    struct guess g = guess_file("go.prom");
    assert_string_equal(g.metric, "http_requests_total");
    assert_string_equal(g.total, "http_requests_total{route!~\"" QUIET "\"}");
    assert_string_equal(g.good, "http_requests_total{route!~\"" QUIET "\",code!~\"5..\"}");
    assert_string_equal(g.left_out, "/healthz, /metrics");
    assert_string_equal(g.runtime, "go");
    assert_int_equal(g.series, 4);
}

static void knows_a_spring_page(void **state)
{
    (void)state;
    struct guess g = guess_file("spring.prom");
    assert_string_equal(g.metric, "http_server_requests_seconds_count");
    assert_string_equal(g.code_label, "status");
    assert_string_equal(g.path_label, "uri");
    assert_string_equal(g.left_out, "/actuator/prometheus");
    assert_string_equal(g.runtime, "jvm");
}

static void knows_a_grpc_page(void **state)
{
    (void)state;
    struct guess g = guess_file("grpc.prom");
    assert_string_equal(g.total,
                        "grpc_server_handled_total{grpc_service!=\"grpc.health.v1.Health\"}");
    assert_string_equal(g.good,
                        "grpc_server_handled_total{grpc_service!=\"grpc.health.v1.Health\","
                        "grpc_code!~\"Unknown|DeadlineExceeded|Unimplemented|Internal|Unavailable|"
                        "DataLoss\"}");
}

static void guesses_nothing_without_a_code(void **state)
{
    (void)state;
    struct guess g = guess_file("none.prom");
    assert_string_equal(g.metric, "");
    assert_string_equal(g.total, "");
    assert_string_equal(g.other, "job_requests_total");
    assert_null(g.runtime);
}

static void believes_values_rather_than_names(void **state)
{
    (void)state;
    struct guess g =
        guess_text("shop_requests_total{status=\"shipped\",response_code=\"404\"} 3\n");
    assert_string_equal(g.good, "shop_requests_total{response_code!~\"5..\"}");
    g = guess_text("envoy_http_downstream_rq_xx{envoy_response_code_class=\"2\"} 3\n");
    assert_string_equal(g.good, "envoy_http_downstream_rq_xx{envoy_response_code_class!~\"5\"}");
    g = guess_text("haproxy_server_http_responses_total{code=\"5xx\"} 3\n");
    assert_string_equal(g.good, "haproxy_server_http_responses_total{code!~\"5..\"}");
    g = guess_text("rpc_server_duration_milliseconds_count{rpc_grpc_status_code=\"0\"} 3\n");
    assert_string_equal(g.good, "rpc_server_duration_milliseconds_count{rpc_grpc_status_code!~"
                                "\"2|4|12|13|14|15\"}");
}

static void prefers_the_service_to_its_proxy(void **state)
{
    (void)state;
    struct guess g = guess_text("traefik_service_requests_total{code=\"200\"} 900\n"
                                "http_requests_total{code=\"200\"} 3\n"
                                "my_requests_total{code=\"200\"} 9000\n"
                                "promhttp_metric_handler_requests_total{code=\"200\"} 99999\n");
    assert_string_equal(g.metric, "http_requests_total");
}

static void refuses_what_is_no_page(void **state)
{
    (void)state;
    struct error err = ERROR_INIT;
    struct guess g;
    const char *html = "<html><body>hello</body></html>\n";
    assert_int_equal(guess_page(html, strlen(html), false, &g, &err), -EINVAL);
    assert_int_equal(err.line, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_a_go_page),
        cmocka_unit_test(knows_a_spring_page),
        cmocka_unit_test(knows_a_grpc_page),
        cmocka_unit_test(guesses_nothing_without_a_code),
        cmocka_unit_test(believes_values_rather_than_names),
        cmocka_unit_test(prefers_the_service_to_its_proxy),
        cmocka_unit_test(refuses_what_is_no_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
