/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a loaded file to a complete configuration: what depends on more than one value, on libcurl's
 * idea of a URL or on the host is checked and filled in here, in the process that parses the YAML.
 *
 * It runs after a load with errors too, so that one run shows everything; what the load refused is
 * NULL or at its default and is not spoken of again.
 */
#include "base/fs.h"
#include "base/limits.h"
#include "watchdog/config.h"
#include "watchdog/config_rules.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>

enum { TIMEOUT_MAX_MS = 5000, DEADLINE_MS = 30000 };

static const struct {
    const char *name;
    size_t offset;
    bool number;
} process_keys[] = {
    {"pid", offsetof(struct config_process, pid), true},
    {"pidfile", offsetof(struct config_process, pidfile), false},
    {"exe", offsetof(struct config_process, exe), false},
    {"comm", offsetof(struct config_process, comm), false},
    {"cmdline", offsetof(struct config_process, cmdline), false},
    {"port", offsetof(struct config_process, port), true},
};

static void check_process(struct config_target *t, struct schema_doc *doc)
{
    const char *first = NULL;
    for (size_t i = 0; i < ARRAY_LEN(process_keys); i++) {
        const char *field = (const char *)&t->process + process_keys[i].offset;
        if (!schema_given(doc, field)) {
            continue;
        }
        if (first != NULL) {
            schema_complain(doc, field, false, "leave one of them",
                            "'process' of target '%s' has both '%s' and '%s'", t->name, first,
                            process_keys[i].name);
        }
        first = first == NULL ? process_keys[i].name : first;
    }
    if (t->process.present && first == NULL && !schema_puzzled(doc, &t->process)) {
        schema_complain(doc, &t->process, false,
                        "write one of pid, pidfile, exe, comm, cmdline, port",
                        "'process' of target '%s' does not say how to find it", t->name);
    }
}

/* What libcurl says against a URL, or NULL. */
static const char *url_fault(const char *url, char *hint, size_t size)
{
    const char *fault = NULL;
    char *scheme = NULL;
    char *host = NULL;
    CURLU *u = curl_url();
    CURLUcode rc = u == NULL ? CURLUE_OUT_OF_MEMORY : curl_url_set(u, CURLUPART_URL, url, 0);
    if (rc == CURLUE_BAD_SCHEME || strstr(url, "://") == NULL) {
        fault = "has no scheme";
        (void)snprintf(hint, size, "write 'http://%s'", url);
    } else if (rc != CURLUE_OK) {
        fault = curl_url_strerror(rc);
    } else if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
               (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
        fault = "must begin with 'http://' or 'https://'";
    } else if (curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK || *host == '\0') {
        fault = "names no host";
    }
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return fault;
}

static void check_url(const char *const *field, const char *name, struct schema_doc *doc)
{
    char hint[256] = "";
    const char *fault = *field == NULL ? NULL : url_fault(*field, hint, sizeof(hint));
    if (fault != NULL) {
        schema_complain(doc, field, false, hint, "'%s' is no URL that can be fetched: %s", name,
                        fault);
    }
}

/* Handlers' paths are appended to the base: it ends without a slash. */
static int cut_slashes(const char **url, struct arena *a)
{
    size_t len = *url == NULL ? 0 : strlen(*url);
    size_t keep = len;
    while (keep > 0 && (*url)[keep - 1] == '/') {
        keep--;
    }
    if (keep == len) {
        return 0;
    }
    *url = arena_strndup(a, *url, keep);
    return *url == NULL ? -ENOMEM : 0;
}

static void complete_timeout(struct config_target *t, struct schema_doc *doc)
{
    char timeout[64];
    char interval[64];
    if (t->timeout_ms == 0) {
        t->timeout_ms = t->interval_ms < TIMEOUT_MAX_MS ? t->interval_ms : TIMEOUT_MAX_MS;
    } else if (t->timeout_ms > t->interval_ms) {
        schema_complain(doc, &t->timeout_ms, false, "make it at most the interval",
                        "'timeout' (%s) is longer than 'interval' (%s)",
                        schema_duration_text(t->timeout_ms, timeout, sizeof(timeout)),
                        schema_duration_text(t->interval_ms, interval, sizeof(interval)));
    }
}

/* The host's name as a part of bundle names. */
static const char *host_instance(struct arena *a)
{
    char name[LIMIT_NAME_BYTES + 1] = "";
    (void)gethostname(name, sizeof(name) - 1);
    for (char *p = name; *p != '\0'; p++) {
        char one[] = {*p, '\0'};
        if (!fs_name_ok(one, 1) && (p == name || (*p != '.' && *p != '-'))) {
            *p = '_';
        }
    }
    return name[0] == '\0' ? "host" : arena_strndup(a, name, strlen(name));
}

static int complete_target(struct config_target *t, struct schema_doc *doc, struct arena *a)
{
    if (t->name == NULL) {
        return 0;
    }
    check_process(t, doc);
    check_url(&t->metrics, "metrics", doc);
    check_url(&t->pprof, "pprof", doc);
    complete_timeout(t, doc);
    if (!schema_given(doc, &t->metrics) && !schema_given(doc, &t->process)) {
        if (!t->process.present && !schema_puzzled(doc, t)) {
            schema_complain(
                doc, &t->name, false, "add 'metrics: URL', or 'process: {...}' to notice its end",
                "target '%s' has neither 'metrics' nor 'process': nothing to watch", t->name);
        }
    }
    t->identity.service = t->identity.service == NULL ? t->name : t->identity.service;
    if (t->identity.instance == NULL) {
        t->identity.instance = host_instance(a);
    }
    return t->identity.instance == NULL ? -ENOMEM : cut_slashes(&t->pprof, a);
}

static int complete_targets(struct config *c, struct schema_doc *doc, struct arena *a)
{
    struct config_target *targets = c->targets.items;
    int rc = 0;
    if (c->targets.count == 0 && schema_given(doc, &c->targets)) {
        schema_complain(doc, &c->targets, false, "targets: {NAME: {metrics: URL}}",
                        "'targets' names nothing to watch");
    }
    if (c->targets.count > LIMIT_TARGETS) {
        schema_complain(doc, &c->targets, false, "split the file between two incidentd",
                        "%zu targets are more than %d", c->targets.count, LIMIT_TARGETS);
    }
    for (size_t i = 0; rc == 0 && i < c->targets.count; i++) {
        rc = complete_target(&targets[i], doc, a);
    }
    return rc;
}

/* The default instance of a kind, as if the file had "KIND: {}". Returns 1, or 0 when the kind has
 * an option without a default. */
static int default_collector(const struct collector *kind, struct arena *a,
                             struct collector_config *ret)
{
    static const struct schema_option only[] = {
        {.name = "collectors", .type = SCHEMA_MAP, .offset = 0, .of = &config_collector_table},
        {.name = NULL},
    };
    static const struct schema_table table = {
        .name = "defaults", .size = sizeof(struct schema_list), .options = only};
    char text[128];
    struct schema_list list;
    (void)snprintf(text, sizeof(text), "collectors: {%s: {}}\n", kind->name);
    struct schema_doc *doc = schema_doc_new("", text, strlen(text));
    int rc = schema_load(doc, &table, a, &list);
    schema_doc_free(doc);
    if (rc < 0 || list.count != 1) {
        return rc == -ENOMEM ? rc : 0;
    }
    *ret = *(const struct collector_config *)list.items;
    return 1;
}

/* Appends the default instance of each kind that the file does not set up under its own name. */
static int append_collectors(struct config *c, struct arena *a)
{
    size_t kinds = 0;
    while (collector_at(kinds) != NULL) {
        kinds++;
    }
    struct collector_config *all = arena_alloc(a, (c->collectors.count + kinds + 1) * sizeof(*all));
    if (all == NULL) {
        return -ENOMEM;
    }
    size_t count = c->collectors.count;
    if (count > 0) {
        memcpy(all, c->collectors.items, count * sizeof(*all));
    }
    for (size_t i = 0; i < kinds; i++) {
        if (config_collector_find(c, collector_at(i)->name) >= 0) {
            continue;
        }
        int rc = default_collector(collector_at(i), a, &all[count]);
        if (rc < 0) {
            return rc;
        }
        count += (size_t)rc;
    }
    c->collectors = (struct schema_list){.items = all, .count = count};
    return 0;
}

static void check_collector(struct collector_config *c, struct schema_doc *doc)
{
    const struct collector *kind = c->type == NULL ? NULL : collector_find(c->type);
    if (kind != NULL && c->options != NULL && kind->check != NULL) {
        kind->check(c, doc);
    }
    if (c->name != NULL && strcmp(c->name, "auto") == 0) {
        schema_complain(doc, &c->name, false, "choose another name",
                        "a collector cannot be called 'auto'");
    }
}

static int complete_collectors(struct config *c, struct schema_doc *doc, struct arena *a)
{
    struct collector_config *given = c->collectors.items;
    for (size_t i = 0; i < c->collectors.count; i++) {
        check_collector(&given[i], doc);
    }
    int rc = append_collectors(c, a);
    if (rc < 0) {
        return rc;
    }
    if (c->collectors.count > LIMIT_COLLECTORS) {
        schema_complain(doc, &c->collectors, false, NULL,
                        "%zu collectors with the kinds' own are more than %d", c->collectors.count,
                        LIMIT_COLLECTORS);
    }
    struct collector_config *all = c->collectors.items;
    for (size_t i = 0; i < c->collectors.count; i++) {
        const struct collector *kind = all[i].type == NULL ? NULL : collector_find(all[i].type);
        if (all[i].deadline_ms == 0 && kind != NULL) {
            all[i].deadline_ms = kind->deadline_ms > 0 ? kind->deadline_ms : DEADLINE_MS;
        }
    }
    return 0;
}

/* What was set up and never runs: no rule lists it, and `auto` does not pick it. */
static void check_unused(const struct config *c, const struct collector_config *given,
                         size_t given_count, struct schema_doc *doc)
{
    for (size_t i = 0; i < given_count; i++) {
        const struct collector_config *k = &given[i];
        const struct collector *kind = k->type == NULL ? NULL : collector_find(k->type);
        bool used = kind == NULL || k->name == NULL;
        for (size_t r = 0; !used && r < c->rules.count; r++) {
            const struct schema_strings *list = &config_rule_at(c, r)->capture;
            for (size_t e = 0; !used && e < list->count; e++) {
                bool picked = strcmp(list->items[e], "auto") == 0 && kind->runtimes != 0 &&
                              strcmp(k->name, k->type) == 0;
                used = picked || strcmp(list->items[e], k->name) == 0;
            }
        }
        if (!used) {
            char hint[160];
            (void)snprintf(hint, sizeof(hint), "list it in a rule: 'capture: [auto, %s]'", k->name);
            schema_complain(doc, &k->name, true, hint,
                            "collector '%s' never runs: no rule lists it", k->name);
        }
    }
}

/* Splits "host:port" or "[v6]:port"; returns what is wrong, or NULL. */
static const char *split_listen(const char *text, char *host, size_t size)
{
    const char *colon = strrchr(text, ':');
    const char *from = text;
    size_t len = colon == NULL ? 0 : (size_t)(colon - text);
    char *end = NULL;
    if (colon == NULL || colon[1] < '0' || colon[1] > '9') {
        return "has no port";
    }
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port > 65535) {
        return "has no port between 0 and 65535";
    }
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        from++;
        len -= 2;
    } else if (memchr(text, ':', len) != NULL) {
        return "needs brackets around an IPv6 address";
    }
    if (len == 0 || len >= size) {
        return "names no address";
    }
    memcpy(host, from, len);
    host[len] = '\0';
    return NULL;
}

/* 1: loopback, 0: wider, -1: not an address. */
static int is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (strcmp(host, "localhost") == 0) {
        return 1;
    }
    if (inet_pton(AF_INET, host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127 ? 1 : 0;
    }
    if (inet_pton(AF_INET6, host, &v6) == 1) {
        return IN6_IS_ADDR_LOOPBACK(&v6) ? 1 : 0;
    }
    return -1;
}

static int check_listen(const char *const *field, const char *name, const char *example,
                        struct schema_doc *doc)
{
    char host[128] = "";
    char hint[160];
    if (*field == NULL) {
        return 1;
    }
    const char *fault = split_listen(*field, host, sizeof(host));
    int loopback = fault == NULL ? is_loopback(host) : -1;
    if (loopback < 0) {
        (void)snprintf(hint, sizeof(hint), "write an address and a port: '%s'", example);
        schema_complain(doc, field, false, hint, "'%s' %s, in '%s'", name,
                        fault == NULL ? "must be an IP address and a port" : fault, *field);
        return 1;
    }
    return loopback;
}

static void check_server(const struct config_server *s, struct schema_doc *doc)
{
    int loopback = check_listen(&s->listen, "listen", "127.0.0.1:9911", doc);
    (void)check_listen(&s->health_listen, "health_listen", "0.0.0.0:9912", doc);
    if (loopback == 0 && !schema_given(doc, &s->token_file)) {
        schema_complain(doc, &s->listen, false,
                        "add 'token_file: /run/secrets/incidentd-token' (openssl rand -hex 32 "
                        "makes one), or listen on 127.0.0.1",
                        "'%s' is reachable from other machines, and there is no 'token_file': "
                        "bundles hold memory and secrets of the target",
                        s->listen);
    }
    if (s->listen != NULL && s->health_listen != NULL && strcmp(s->listen, s->health_listen) == 0) {
        schema_complain(doc, &s->health_listen, false, "choose another port",
                        "'health_listen' and 'listen' are the same");
    }
}

static void check_limits(const struct config_limits *l, struct schema_doc *doc)
{
    if (l->per_day < l->per_hour) {
        schema_complain(doc, &l->per_day, true, NULL,
                        "'per_day' (%lld) is less than 'per_hour' (%lld), which then never counts",
                        (long long)l->per_day, (long long)l->per_hour);
    }
}

int config_complete(struct config *c, struct schema_doc *doc, struct arena *a)
{
    const struct collector_config *given = c->collectors.items;
    size_t given_count = c->collectors.count;
    int rc = complete_targets(c, doc, a);
    rc = rc < 0 ? rc : complete_collectors(c, doc, a);
    rc = rc < 0 ? rc : config_rules_complete(c, doc, a);
    if (rc < 0) {
        return rc;
    }
    check_unused(c, given, given_count, doc);
    check_server(&c->server, doc);
    check_limits(&c->limits, doc);
    return schema_problem_count(doc, false) == 0 ? 0 : -EINVAL;
}

int config_load(struct schema_doc *doc, struct arena *a, struct config *ret)
{
    int rc = schema_load(doc, &config_table, a, ret);
    if (rc == -ENOMEM || ret->store.path == NULL) {
        return rc; /* not even YAML */
    }
    int completed = config_complete(ret, doc, a);
    return rc < 0 ? rc : completed;
}
