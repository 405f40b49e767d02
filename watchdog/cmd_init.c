/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `incidentctl init URL`: a first configuration on stdout, made from what the service shows.
 *
 * Every guess stands with its reason in a comment and is marked GUESS. What is printed has been
 * loaded and checked before, so that `incidentctl check` accepts it.
 */
#include "watchdog/cmd.h"

#include "base/fs.h"
#include "base/limits.h"
#include "watchdog/config.h"
#include "watchdog/guess.h"

#include <curl/curl.h>
#include <errno.h>

enum { FETCH_MS = 5000, PROBE_MS = 2000, ARENA_BYTES = 16 << 20, OUTPUT_BYTES = 64 << 10 };

struct page {
    struct buf body;
    bool openmetrics;
    bool overflow;
};

static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
    struct page *p = arg;
    size_t len = size * count;
    if (buf_add(&p->body, data, len) < 0) {
        p->overflow = true;
        return 0;
    }
    return len;
}

static void set_options(CURL *curl, const char *url, long timeout_ms, struct page *page)
{
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 3L);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    (void)curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, "");
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, page);
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "incidentctl/" INCIDENTD_VERSION);
}

/* Why the fetch failed, in `err`. */
static int fetch_error(CURLcode rc, long status, const struct page *page, const char *url,
                       struct error *err)
{
    if (page->overflow) {
        (void)error_set(err, -EMSGSIZE, "the page has more than %zu MiB", page->body.max >> 20);
    } else if (rc == CURLE_COULDNT_CONNECT) {
        (void)error_set(err, -ECONNREFUSED, "nobody answers: %s", curl_easy_strerror(rc));
        (void)error_remedy(err, "is the service running, and is this the port of its metrics?");
    } else if (rc == CURLE_OPERATION_TIMEDOUT) {
        (void)error_set(err, -ETIMEDOUT, "no answer within %d s", FETCH_MS / 1000);
    } else if (rc != CURLE_OK) {
        (void)error_set(err, -EIO, "%s", curl_easy_strerror(rc));
    } else {
        (void)error_set(err, -EIO, "the service answers HTTP %ld", status);
        if (status == 404) {
            (void)error_remedy(err, "the page often is at /metrics or /actuator/prometheus");
        }
    }
    return error_at(err, url, 0, 0);
}

/* Fetches `url` into `page`, whose buffer has its maximum already. */
static int fetch(const char *url, long timeout_ms, struct page *page, struct error *err)
{
    CURL *curl = curl_easy_init();
    if (curl == NULL) {
        return error_set(err, -ENOMEM, "cannot start libcurl");
    }
    struct curl_slist *accept =
        curl_slist_append(NULL, "Accept: text/plain;version=0.0.4;q=1,*/*;q=0.1");
    long status = 0;
    char *type = NULL;
    set_options(curl, url, timeout_ms, page);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, accept);
    CURLcode rc = curl_easy_perform(curl);
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
    page->openmetrics = type != NULL && strncmp(type, "application/openmetrics-text", 28) == 0;
    int result = rc == CURLE_OK && status == 200 ? 0 : fetch_error(rc, status, page, url, err);
    curl_slist_free_all(accept);
    curl_easy_cleanup(curl);
    return result;
}

/* The parts of the URL that the configuration needs. */
struct place {
    char scheme[16];
    char host[256];
    unsigned port;
    bool local;
};

static void take_part(CURLU *u, CURLUPart part, char *out, size_t size)
{
    char *text = NULL;
    if (curl_url_get(u, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        (void)snprintf(out, size, "%s", text);
    }
    curl_free(text);
}

static int parse_url(const char *url, struct place *ret, struct error *err)
{
    char port[16] = "";
    CURLU *u = curl_url();
    CURLUcode rc = u == NULL ? CURLUE_OUT_OF_MEMORY : curl_url_set(u, CURLUPART_URL, url, 0);
    memset(ret, 0, sizeof(*ret));
    if (rc == CURLUE_OK) {
        take_part(u, CURLUPART_SCHEME, ret->scheme, sizeof(ret->scheme));
        take_part(u, CURLUPART_HOST, ret->host, sizeof(ret->host));
        take_part(u, CURLUPART_PORT, port, sizeof(port));
    }
    curl_url_cleanup(u);
    if (strncmp(ret->scheme, "http", 4) != 0 || ret->host[0] == '\0') {
        (void)error_set(err, -EINVAL, "'%.200s' is no URL of a metrics page", url);
        return error_remedy(err, "write it in full: http://localhost:8080/metrics");
    }
    ret->port = (unsigned)strtoul(port, NULL, 10);
    ret->local = strcmp(ret->host, "localhost") == 0 || strncmp(ret->host, "127.", 4) == 0 ||
                 strcmp(ret->host, "[::1]") == 0;
    return 0;
}

/* Finds Go's pprof handlers; `ret` gets the base URL, "" when there are none. */
static void probe_pprof(const struct place *place, char *ret, size_t size)
{
    const unsigned ports[] = {place->port, 6060};
    ret[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(ports) && (i == 0 || ports[i] != ports[0]); i++) {
        struct page page = {.body = BUF_INIT(1 << 20)};
        char url[512];
        (void)snprintf(url, sizeof(url), "%s://%s:%u/debug/pprof/", place->scheme, place->host,
                       ports[i]);
        int rc = fetch(url, PROBE_MS, &page, NULL);
        bool found = rc == 0 && strstr(buf_text(&page.body), "goroutine") != NULL;
        buf_release(&page.body);
        if (found) {
            (void)snprintf(ret, size, "%.*s", (int)strlen(url) - 1, url);
            return;
        }
    }
}

/* A name for the target: the host's, unless it is this one. */
static void choose_name(const struct place *place, char *out, size_t size)
{
    size_t len = strcspn(place->host, ".");
    len = len < size ? len : size - 1;
    (void)snprintf(out, size, "%.*s", (int)len, place->host);
    if (place->local || !fs_name_ok(out, LIMIT_NAME_BYTES) || (out[0] >= '0' && out[0] <= '9')) {
        (void)snprintf(out, size, "service");
    }
}

/* A text in single quotes. */
static void add_quoted(struct buf *out, const char *text)
{
    (void)buf_add_char(out, '\'');
    for (; *text != '\0'; text++) {
        (void)buf_addf(out, *text == '\'' ? "'%c" : "%c", *text);
    }
    (void)buf_add_char(out, '\'');
}

/* As a part of a comment: what the page says must not end the line. */
static void add_comment_text(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        bool control = (unsigned char)*text < 0x20 || *text == 0x7f;
        (void)buf_add(out, control ? "?" : text, 1);
    }
}

static void add_process(struct buf *out, const struct place *place)
{
    if (place->local) {
        (void)buf_addf(out,
                       "    # GUESS: the process that listens on this port. If that is a proxy, "
                       "write exe, comm,\n    # cmdline or pidfile instead.\n"
                       "    process: {port: %u}\n",
                       place->port);
        return;
    }
    (void)buf_addf(out,
                   "    # The service seems to be on another machine. incidentd must run beside it "
                   "to capture\n    # more than HTTP shows; there, name its process:\n"
                   "    # process: {port: %u}\n",
                   place->port);
}

static void add_target(struct buf *out, const char *url, const struct place *place,
                       const struct guess *g, const char *pprof)
{
    char name[LIMIT_NAME_BYTES + 1];
    choose_name(place, name, sizeof(name));
    (void)buf_addf(out,
                   "targets:\n  %s:                                  # call it what you like\n"
                   "    metrics: ",
                   name);
    add_quoted(out, url);
    (void)buf_add_char(out, '\n');
    add_process(out, place);
    if (pprof[0] != '\0') {
        (void)buf_addf(out, "    pprof: %s   # it answers\n", pprof);
    } else if (g->runtime == NULL || strcmp(g->runtime, "go") == 0) {
        (void)buf_addf(out,
                       "    # No pprof on port %u or 6060. A Go service offers it by importing "
                       "net/http/pprof:\n    # pprof: %s://%s:6060/debug/pprof\n",
                       place->port, place->scheme, place->host);
    }
    if (g->runtime != NULL) {
        (void)buf_addf(out, "    runtime: %s   # GUESS: the page has %s\n", g->runtime,
                       g->runtime_from);
    }
    (void)buf_add_text(out,
                       "    interval: 1s\n"
                       "    # logs: [/var/log/service.log]       # their ends go into bundles\n");
}

static void add_no_rule(struct buf *out, const struct guess *g)
{
    (void)buf_add_text(out,
                       "\n# No counter of requests with a label for their outcome was found on "
                       "the page.\n");
    if (g->other[0] != '\0') {
        (void)buf_add_text(out, "# These sound like requests: ");
        add_comment_text(out, g->other);
        (void)buf_add_char(out, '\n');
    }
    (void)buf_add_text(out,
                       "# Without a rule of your own, incidentd still captures when the page stops "
                       "answering.\n"
                       "# rules:\n"
                       "#   - name: availability\n"
                       "#     slo:\n"
                       "#       objective: 0.999\n"
                       "#       good: 'http_requests_total{code!~\"5..\"}'\n"
                       "#       total: 'http_requests_total'\n");
}

static void add_rule(struct buf *out, const struct guess *g)
{
    if (g->total[0] == '\0') {
        add_no_rule(out, g);
        return;
    }
    (void)buf_add_text(out,
                       "\nrules:\n"
                       "  - name: availability\n"
                       "    slo:\n"
                       "      objective: 0.999     # GUESS: what you promise; 0.999 is 99.9 %\n");
    (void)buf_addf(
        out,
        "      # GUESS: %s counts the requests (%zu series), and its label '%s' says how "
        "they ended.\n",
        g->metric, g->series, g->code_label);
    if (g->path_label[0] == '\0') {
        (void)buf_add_text(out, "      # No label says what was asked for, so health checks count "
                                "as requests.\n");
    } else {
        (void)buf_addf(out, "      # Health and metrics are left out by '%s'; on the page now: ",
                       g->path_label);
        add_comment_text(out, g->left_out[0] == '\0' ? "none" : g->left_out);
        (void)buf_add_char(out, '\n');
    }
    (void)buf_add_text(out, "      good: ");
    add_quoted(out, g->good);
    (void)buf_add_text(out, "\n      total: ");
    add_quoted(out, g->total);
    (void)buf_addf(out, "\n      by: [%s%s%s]   # who fails, in the headline\n", g->path_label,
                   g->path_label[0] == '\0' ? "" : ", ", g->code_label);
    (void)buf_add_text(out, "    capture: auto   # 'incidentctl check FILE' lists what that is\n");
}

/* Where an ordinary user may write. */
static void add_store(struct buf *out)
{
    const char *home = getenv("HOME");
    if (geteuid() != 0 && home != NULL && home[0] == '/' && strpbrk(home, "'\n") == NULL) {
        (void)buf_addf(out,
                       "\n# As root, leave this out: /var/lib/incidentd is the default.\n"
                       "store: {path: '%s/.local/state/incidentd'}\n",
                       home);
        return;
    }
    (void)buf_add_text(out,
                       "\n# store: {path: /var/lib/incidentd, max_bytes: 2GiB, max_age: 14d}\n");
}

/* The promise that what is printed passes the check. */
static int check_output(const struct buf *out, struct error *err)
{
    AUTO_BUF struct buf problems = BUF_INIT(OUTPUT_BYTES);
    struct arena arena = ARENA_INIT(ARENA_BYTES);
    struct config config;
    struct schema_doc *doc = schema_doc_new("the configuration", buf_text(out), out->len);
    int rc = buf_failed(out) ? -EMSGSIZE : config_load(doc, &arena, &config);
    if (rc < 0) {
        schema_render(doc, &problems);
        (void)fputs(buf_text(&problems), stderr);
        (void)error_set(err, rc, "what was found on the page makes no valid configuration");
    }
    schema_doc_free(doc);
    arena_release(&arena);
    return rc;
}

static int make(const char *url, struct buf *out, struct guess *g, struct error *err)
{
    struct page page = {.body = BUF_INIT(LIMIT_PAGE_BYTES)};
    struct place place;
    char pprof[512] = "";
    int rc = parse_url(url, &place, err);
    rc = rc < 0 ? rc : fetch(url, FETCH_MS, &page, err);
    if (rc == 0) {
        rc = guess_page(buf_text(&page.body), page.body.len, page.openmetrics, g, err);
        if (rc < 0) {
            (void)error_wrap(err, "the page is no Prometheus text or OpenMetrics");
            (void)error_at(err, url, err->line, err->column);
        }
    }
    buf_release(&page.body);
    if (rc < 0) {
        return rc;
    }
    if (g->runtime == NULL || strcmp(g->runtime, "go") == 0) {
        probe_pprof(&place, pprof, sizeof(pprof));
    }
    (void)buf_add_text(out, "# incidentd.yaml, a first version made from ");
    add_comment_text(out, url);
    (void)buf_add_text(out, "\n# Look at the lines with GUESS, then:  incidentctl check "
                            "incidentd.yaml  and  incidentd -c incidentd.yaml\n\n");
    add_target(out, url, &place, g, pprof);
    add_rule(out, g);
    add_store(out);
    return check_output(out, err);
}

/* Prints how to call it: on stdout and with status 0 where that was asked for. */
static int usage(int argc, char **argv)
{
    bool asked = argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    (void)fputs("usage: incidentctl init URL > incidentd.yaml\n\n"
                "Fetches the metrics page at URL and prints a first configuration: the counter of "
                "requests,\n"
                "the label that tells failures, the process by its port, pprof where it answers. "
                "Every guess\n"
                "is marked GUESS and stands with its reason.\n",
                asked ? stdout : stderr);
    return asked ? 0 : 2;
}

int cmd_init(int argc, char **argv)
{
    AUTO_BUF struct buf out = BUF_INIT(OUTPUT_BYTES);
    struct guess g = {.runtime = NULL};
    struct error err = ERROR_INIT;
    char text[1024];
    if (argc != 2 || argv[1][0] == '-') {
        return usage(argc, argv);
    }
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        (void)fputs("incidentctl init: cannot start libcurl\n", stderr);
        return 1;
    }
    int rc = make(argv[1], &out, &g, &err);
    curl_global_cleanup();
    if (rc < 0) {
        (void)fprintf(stderr, "incidentctl init: %s\n", error_text(&err, text, sizeof(text)));
        return 1;
    }
    (void)fputs(buf_text(&out), stdout);
    if (g.total[0] == '\0') {
        (void)fputs("incidentctl init: no counter of requests found: complete the rule by hand\n",
                    stderr);
    }
    return 0;
}
