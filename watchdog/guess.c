/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which counter counts the requests, and which of them failed?
 *
 * Libraries agree on few names, so there is a list, best first: what the service itself counts
 * before what a proxy counts about it. A name that is not in the list qualifies when it sounds like
 * requests and has a label whose values look like HTTP or gRPC codes. The label is believed by its
 * values, not by its name: 'status' is "200" here, "ok" there, and the colour of an order
 * elsewhere.
 *
 * Failure is what the server did wrong: HTTP 5xx; of gRPC's codes Unknown, DeadlineExceeded,
 * Unimplemented, Internal, Unavailable, DataLoss (https://grpc.io/docs/guides/status-codes/), as
 * most server mixins count them.
 */
#include "watchdog/guess.h"

#include "rules/exposition.h"

#include <errno.h>
#include <strings.h>

static const char *const known_names[] = {
    "http_requests_total",
    "http_server_requests_seconds_count",
    "http_server_request_duration_seconds_count",
    "http_server_requests_total",
    "http_request_duration_seconds_count",
    "http_server_duration_milliseconds_count",
    "http_server_duration_seconds_count",
    "http_request_duration_milliseconds_count",
    "request_duration_seconds_count",
    "grpc_server_handled_total",
    "rpc_server_duration_milliseconds_count",
    "grpc_server_processing_duration_seconds_count",
    "flask_http_request_total",
    "django_http_responses_total_by_status_total",
    "starlette_requests_total",
    "gin_requests_total",
    "echo_requests_total",
    "prometheus_http_requests_total",
    "istio_requests_total",
    "envoy_http_downstream_rq_xx",
    "envoy_cluster_upstream_rq",
    "nginx_ingress_controller_requests",
    "traefik_service_requests_total",
    "traefik_entrypoint_requests_total",
    "caddy_http_request_duration_seconds_count",
    "haproxy_server_http_responses_total",
    "haproxy_backend_http_responses_total",
    "haproxy_frontend_http_responses_total",
};

static const char *const code_labels[] = {
    "code",
    "status",
    "status_code",
    "http_status_code",
    "http_response_status_code",
    "response_code",
    "response_status_code",
    "http_code",
    "statusCode",
    "http_status",
    "grpc_code",
    "grpc_status",
    "rpc_grpc_status_code",
    "grpc_status_code",
    "envoy_response_code",
    "envoy_response_code_class",
    "response_code_class",
    "code_class",
};

static const char *const path_labels[] = {"route", "path",       "handler", "uri",
                                          "url",   "http_route", "endpoint"};
static const char *const service_labels[] = {"grpc_service", "rpc_service"};

/* What counts as a request for health or metrics; anchored, as matchers are. */
#define QUIET_PATHS "/?(metrics|healthz?|readyz?|livez?|ping|-/.*|actuator(/.*)?|debug/.*)"
#define QUIET_SERVICE "grpc.health.v1.Health"

enum code_kind { CODE_NONE, CODE_HTTP, CODE_CLASS, CODE_GRPC, CODE_GRPC_UPPER, CODE_GRPC_NUMBER };

enum { CANDIDATES_MAX = 32, RANK_SOUNDS = 100 };

struct candidate {
    char name[GUESS_NAME_BYTES];
    size_t rank; /* less is better */
    size_t series;
    double events;
    const char *code_label; /* from code_labels */
    enum code_kind code;
    const char *path_label;    /* from path_labels */
    const char *service_label; /* from service_labels */
    char left_out[256];
};

struct search {
    struct candidate found[CANDIDATES_MAX];
    size_t count;
    char scratch[2 * LIMIT_LINE_BYTES + 16];
};

static bool has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name);
    size_t m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

/* The rank of a metric's name, SIZE_MAX when it does not count requests that were served. */
static size_t rank_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(known_names); i++) {
        if (strcmp(known_names[i], name) == 0) {
            return i;
        }
    }
    bool counter = has_suffix(name, "_total") || has_suffix(name, "_count");
    bool sounds = strstr(name, "request") != NULL || strstr(name, "responses") != NULL ||
                  strstr(name, "rpc_server") != NULL || strstr(name, "grpc_server") != NULL;
    bool other = strncmp(name, "promhttp_", 9) == 0 || strstr(name, "client") != NULL ||
                 strstr(name, "_size") != NULL || strstr(name, "_bytes") != NULL ||
                 strstr(name, "_started") != NULL || strstr(name, "_sent") != NULL;
    return counter && sounds && !other ? RANK_SOUNDS : SIZE_MAX;
}

static bool is_in(const char *value, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(value, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* What a label's value looks like. */
static enum code_kind code_kind_of(const char *label, const char *value)
{
    static const char *const camel[] = {"OK",       "Canceled",     "Unknown",  "InvalidArgument",
                                        "NotFound", "Unavailable",  "Internal", "DeadlineExceeded",
                                        "Aborted",  "Unimplemented"};
    static const char *const upper[] = {"CANCELLED",   "UNKNOWN",  "INVALID_ARGUMENT", "NOT_FOUND",
                                        "UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED"};
    size_t len = strlen(value);
    bool grpc = strstr(label, "grpc") != NULL;
    bool digits = strspn(value, "0123456789") == len && len > 0;
    if (grpc && digits && len <= 2) {
        return CODE_GRPC_NUMBER;
    }
    if (len == 3 && value[0] >= '1' && value[0] <= '5' &&
        (digits || strcasecmp(value + 1, "xx") == 0)) {
        return CODE_HTTP;
    }
    if (len == 1 && value[0] >= '1' && value[0] <= '5') {
        return CODE_CLASS;
    }
    if (is_in(value, upper, ARRAY_LEN(upper))) {
        return CODE_GRPC_UPPER;
    }
    return is_in(value, camel, ARRAY_LEN(camel)) ? CODE_GRPC : CODE_NONE;
}

static struct candidate *candidate_of(struct search *s, const char *name, size_t rank)
{
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->found[i].name, name) == 0) {
            return &s->found[i];
        }
    }
    if (s->count == CANDIDATES_MAX || strlen(name) >= GUESS_NAME_BYTES) {
        return NULL;
    }
    struct candidate *c = &s->found[s->count++];
    (void)snprintf(c->name, sizeof(c->name), "%s", name);
    c->rank = rank;
    return c;
}

static const char *first_label(const struct labels *l, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (*labels_get(l, names[i]) != '\0') {
            return names[i];
        }
    }
    return NULL;
}

static void note_code(struct candidate *c, const struct labels *l)
{
    for (size_t i = 0; i < ARRAY_LEN(code_labels); i++) {
        enum code_kind kind = code_kind_of(code_labels[i], labels_get(l, code_labels[i]));
        bool better = c->code == CODE_NONE || (c->code_label == code_labels[i] && c->code < kind);
        if (kind != CODE_NONE && better) {
            c->code = kind;
            c->code_label = code_labels[i];
            return;
        }
    }
}

/* "/metrics", "/healthz", ...: the same set that QUIET_PATHS means. */
static bool is_quiet(const char *path)
{
    static const char *const whole[] = {"metrics", "health", "healthz", "ready",   "readyz",
                                        "live",    "livez",  "ping",    "actuator"};
    static const char *const below[] = {"-/", "actuator/", "debug/"};
    path += *path == '/' ? 1 : 0;
    for (size_t i = 0; i < ARRAY_LEN(below); i++) {
        if (strncmp(path, below[i], strlen(below[i])) == 0) {
            return true;
        }
    }
    return is_in(path, whole, ARRAY_LEN(whole));
}

/* Remembers a value that the matchers leave out, once. */
static void note_left_out(struct candidate *c, const char *value)
{
    size_t used = strlen(c->left_out);
    if (*value != '\0' && strpbrk(value, "\n\r") == NULL && strstr(c->left_out, value) == NULL &&
        used + strlen(value) + 3 < sizeof(c->left_out)) {
        (void)snprintf(c->left_out + used, sizeof(c->left_out) - used, "%s%s",
                       used == 0 ? "" : ", ", value);
    }
}

static void note_labels(struct candidate *c, const struct labels *l)
{
    note_code(c, l);
    if (c->path_label == NULL) {
        c->path_label = first_label(l, path_labels, ARRAY_LEN(path_labels));
    }
    if (c->service_label == NULL) {
        c->service_label = first_label(l, service_labels, ARRAY_LEN(service_labels));
    }
    if (c->path_label != NULL && is_quiet(labels_get(l, c->path_label))) {
        note_left_out(c, labels_get(l, c->path_label));
    }
    if (c->service_label != NULL && strcmp(labels_get(l, c->service_label), QUIET_SERVICE) == 0) {
        note_left_out(c, QUIET_SERVICE);
    }
}

static void note_runtime(const char *name, struct guess *g)
{
    static const struct {
        const char *metric;
        const char *runtime;
    } signs[] = {
        {"go_goroutines", "go"},
        {"jvm_memory_used_bytes", "jvm"},
        {"jvm_memory_bytes_used", "jvm"},
        {"jvm_threads_live_threads", "jvm"},
        {"jvm_threads_current", "jvm"},
        {"nodejs_version_info", "node"},
        {"nodejs_eventloop_lag_seconds", "node"},
        {"python_info", "python"},
    };
    for (size_t i = 0; g->runtime == NULL && i < ARRAY_LEN(signs); i++) {
        if (strcmp(signs[i].metric, name) == 0) {
            g->runtime = signs[i].runtime;
            g->runtime_from = signs[i].metric;
        }
    }
}

static void note_sample(struct search *s, const struct exposition_sample *sample, struct guess *g)
{
    struct labels labels;
    char name[GUESS_NAME_BYTES];
    size_t len = 0;
    while (len < sample->series_len && sample->series[len] != '{') {
        len++;
    }
    if (len >= sizeof(name)) {
        return;
    }
    memcpy(name, sample->series, len);
    name[len] = '\0';
    note_runtime(name, g);
    size_t rank = rank_of(name);
    struct candidate *c = rank == SIZE_MAX ? NULL : candidate_of(s, name, rank);
    if (c == NULL ||
        exposition_labels(sample->series, sample->series_len, &labels, s->scratch, NULL) < 0) {
        return;
    }
    c->series++;
    c->events += sample->value > 0 ? sample->value : 0;
    note_labels(c, &labels);
}

static bool is_better(const struct candidate *a, const struct candidate *b)
{
    if ((a->code != CODE_NONE) != (b->code != CODE_NONE)) {
        return a->code != CODE_NONE;
    }
    return a->rank != b->rank ? a->rank < b->rank : a->events > b->events;
}

/* The matcher that leaves the failures out. */
static const char *good_values(enum code_kind kind)
{
    switch (kind) {
    case CODE_CLASS:
        return "5";
    case CODE_GRPC:
        return "Unknown|DeadlineExceeded|Unimplemented|Internal|Unavailable|DataLoss";
    case CODE_GRPC_UPPER:
        return "UNKNOWN|DEADLINE_EXCEEDED|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS";
    case CODE_GRPC_NUMBER:
        return "2|4|12|13|14|15";
    case CODE_NONE:
    case CODE_HTTP:
        break;
    }
    return "5..";
}

static void write_selectors(const struct candidate *c, struct guess *g)
{
    char quiet[256] = "";
    if (c->path_label != NULL) {
        (void)snprintf(quiet, sizeof(quiet), "%s!~\"%s\"", c->path_label, QUIET_PATHS);
    } else if (c->service_label != NULL) {
        (void)snprintf(quiet, sizeof(quiet), "%s!=\"%s\"", c->service_label, QUIET_SERVICE);
    }
    (void)snprintf(g->total, sizeof(g->total), quiet[0] == '\0' ? "%s%s" : "%s{%s}", c->name,
                   quiet);
    (void)snprintf(g->good, sizeof(g->good), "%s{%s%s%s!~\"%s\"}", c->name, quiet,
                   quiet[0] == '\0' ? "" : ",", c->code_label, good_values(c->code));
}

static void conclude(const struct search *s, struct guess *g)
{
    const struct candidate *best = NULL;
    for (size_t i = 0; i < s->count; i++) {
        const struct candidate *c = &s->found[i];
        best = best == NULL || is_better(c, best) ? c : best;
        size_t used = strlen(g->other);
        if (c->code == CODE_NONE && used + strlen(c->name) + 3 < sizeof(g->other)) {
            (void)snprintf(g->other + used, sizeof(g->other) - used, "%s%s", used == 0 ? "" : ", ",
                           c->name);
        }
    }
    if (best == NULL || best->code == CODE_NONE) {
        return;
    }
    (void)snprintf(g->metric, sizeof(g->metric), "%s", best->name);
    (void)snprintf(g->code_label, sizeof(g->code_label), "%s", best->code_label);
    const char *path = best->path_label != NULL ? best->path_label : best->service_label;
    (void)snprintf(g->path_label, sizeof(g->path_label), "%s", path == NULL ? "" : path);
    (void)snprintf(g->left_out, sizeof(g->left_out), "%s", best->left_out);
    g->series = best->series;
    write_selectors(best, g);
}

int guess_page(const char *page, size_t len, bool openmetrics, struct guess *ret, struct error *err)
{
    AUTO_FREE struct search *s = xcalloc(1, sizeof(*s));
    struct guess g = {.runtime = NULL};
    struct exposition e;
    struct exposition_sample sample;
    int rc = 0;
    exposition_init(&e, page, len, openmetrics, NULL, 0);
    while ((rc = exposition_next(&e, &sample, err)) == 1) {
        note_sample(s, &sample, &g);
    }
    if (rc < 0) {
        return rc;
    }
    conclude(s, &g);
    *ret = g;
    return 0;
}
