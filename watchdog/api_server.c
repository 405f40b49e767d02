/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two listeners, each a libmicrohttpd daemon with one epoll thread of its own: whatever keeps
 * the main one busy or full, a health check is answered. We open the sockets ourselves, since MHD
 * says only that a start failed and we want to say why.
 *
 * MHD uses sendfile(2) only when it is told that SIGPIPE is handled (0.9.75; a page of 50 MB is
 * 12,211 pread+sendto of 4 KiB otherwise), so the signal is ignored here, once and for good.
 */
#include "watchdog/api_http.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <time.h>

#include <fcntl.h>

static void say_nothing(void *cls, const char *fmt, va_list args)
{
    (void)cls;
    (void)fmt;
    (void)args;
}

/* Splits "host:port", "[v6]:port" or ":port". */
static int split(const char *listen, char *host, size_t host_size, char *port, size_t port_size,
                 struct error *err)
{
    const char *colon = strrchr(listen, ':');
    if (colon == NULL || colon[1] == '\0') {
        return error_set(err, -EINVAL, "'%s' is not host:port", listen);
    }
    size_t len = (size_t)(colon - listen);
    const char *start = listen;
    if (len >= 2 && listen[0] == '[' && listen[len - 1] == ']') {
        start++;
        len -= 2;
    }
    if (len >= host_size || strlen(colon + 1) >= port_size) {
        return error_set(err, -EINVAL, "'%s' is too long for host:port", listen);
    }
    (void)snprintf(host, host_size, "%.*s", (int)len, start);
    (void)snprintf(port, port_size, "%s", colon + 1);
    return 0;
}

static int open_socket(const struct addrinfo *a, unsigned *port)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    const int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } bound = {.v6 = {0}};
    socklen_t len = sizeof(bound);
    if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, 128) != 0 ||
        getsockname(fd, &bound.any, &len) != 0) {
        int rc = -errno;
        (void)close(fd);
        return rc;
    }
    *port = ntohs(bound.any.sa_family == AF_INET6 ? bound.v6.sin6_port : bound.v4.sin_port);
    return fd;
}

static int listen_on(const char *host, const char *port, unsigned *ret_port, struct error *err)
{
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &list);
    if (rc != 0) {
        return error_set(err, -EINVAL, "cannot resolve '%s': %s", host, gai_strerror(rc));
    }
    int fd = -EADDRNOTAVAIL;
    for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
        fd = open_socket(a, ret_port);
    }
    freeaddrinfo(list);
    if (fd < 0) {
        (void)error_errno(err, fd, "cannot listen on '%s:%s'", host, port);
        return fd == -EADDRINUSE
                   ? error_remedy(err, "another program holds the port: choose another "
                                       "in 'server'")
                   : fd;
    }
    return fd;
}

static struct MHD_Daemon *start_daemon(int fd, bool health, struct api *api)
{
    const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG |
                           (health ? 0U : MHD_ALLOW_SUSPEND_RESUME);
    const struct MHD_OptionItem main_only[] = {
        {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)api_request_completed, api},
        {MHD_OPTION_END, 0, NULL}};
    const struct MHD_OptionItem nothing[] = {{MHD_OPTION_END, 0, NULL}};
    return MHD_start_daemon(flags, 0, NULL, NULL, health ? api_route_health : api_request_access,
                            api, MHD_OPTION_EXTERNAL_LOGGER, say_nothing, NULL,
                            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)(health ? 64 : API_CONNECTIONS),
                            MHD_OPTION_PER_IP_CONNECTION_LIMIT,
                            (unsigned)(health ? 48 : API_CONNECTIONS_PER_IP),
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(health ? 5 : API_TIMEOUT_S),
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)API_CONNECTION_BYTES,
                            MHD_OPTION_ARRAY, health ? nothing : main_only, MHD_OPTION_END);
}

/* Opens one listener; 0 or an error. */
static int start_one(struct api *api, const char *listen, bool health, struct error *err)
{
    char host[256] = "";
    char port[16] = "";
    unsigned bound = 0;
    int rc = split(listen, host, sizeof(host), port, sizeof(port), err);
    if (rc != 0) {
        return rc;
    }
    if (!health) {
        (void)snprintf(api->auth.host, sizeof(api->auth.host), "%s", host);
        if (!api->auth.required && !api_auth_loopback(host)) {
            (void)error_set(err, -EACCES, "refusing to listen on '%s' without a token", listen);
            return error_remedy(err, "set server.token_file, or listen on 127.0.0.1");
        }
    }
    int fd = listen_on(host, port, &bound, err);
    if (fd < 0) {
        return fd;
    }
    struct MHD_Daemon *daemon = start_daemon(fd, health, api);
    if (daemon == NULL) {
        (void)close(fd);
        return error_set(err, -EIO, "the HTTP server on '%s' does not start", listen);
    }
    *(health ? &api->health : &api->daemon) = daemon;
    *(health ? &api->health_port : &api->port) = bound;
    return 0;
}

int api_start(const struct api_options *options, struct api **ret, struct error *err)
{
    (void)signal(SIGPIPE, SIG_IGN);
    struct api *api = xcalloc(1, sizeof(*api));
    (void)pthread_mutex_init(&api->lock, NULL);
    (void)pthread_cond_init(&api->idle, NULL);
    api->wake = options->wake;
    api->wake_arg = options->wake_arg;
    api->bundles_fd = fcntl(options->bundles_fd, F_DUPFD_CLOEXEC, 3);
    int rc = api->bundles_fd < 0 ? error_errno(err, -errno, "cannot keep the store's directory")
                                 : api_auth_init(&api->auth, options->token, "", err);
    if (rc == 0 && options->health_listen != NULL) {
        rc = start_one(api, options->health_listen, true, err);
    }
    if (rc == 0 && options->listen != NULL) {
        rc = start_one(api, options->listen, false, err);
    }
    if (rc != 0) {
        api_stop(api);
        return rc;
    }
    *ret = api;
    return 0;
}

/* Gives the answers of abandoned calls up to a second to leave. */
static void drain(struct api *api)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 1;
    (void)pthread_mutex_lock(&api->lock);
    while (api->calls > 0 && pthread_cond_timedwait(&api->idle, &api->lock, &until) == 0) {
    }
    (void)pthread_mutex_unlock(&api->lock);
}

void api_stop(struct api *api)
{
    if (api == NULL) {
        return;
    }
    if (api->daemon != NULL) {
        int listener = MHD_quiesce_daemon(api->daemon);
        if (listener >= 0) {
            (void)close(listener);
        }
        api_command_abandon_all(api);
        drain(api);
        MHD_stop_daemon(api->daemon);
    }
    if (api->health != NULL) {
        MHD_stop_daemon(api->health);
    }
    if (api->bundles_fd >= 0) {
        (void)close(api->bundles_fd);
    }
    (void)pthread_cond_destroy(&api->idle);
    (void)pthread_mutex_destroy(&api->lock);
    free(api);
}

unsigned api_port(const struct api *api)
{
    return api->port;
}

unsigned api_health_port(const struct api *api)
{
    return api->health_port;
}

void api_metrics(const struct api *api, struct buf *out)
{
    (void)buf_add_text(out, "# HELP incidentd_http_responses_total Answers of the API by class of "
                            "status.\n# TYPE incidentd_http_responses_total counter\n");
    for (unsigned class = 2; class < ARRAY_LEN(api->responses); class ++) {
        uint64_t n = __atomic_load_n(&api->responses[class], __ATOMIC_RELAXED);
        (void)buf_addf(out, "incidentd_http_responses_total{class=\"%uxx\"} %llu\n", class,
                       (unsigned long long)n);
    }
    (void)buf_addf(out,
                   "# HELP incidentd_http_body_bytes_total Bytes of bodies that the API began to "
                   "send.\n# TYPE incidentd_http_body_bytes_total counter\n"
                   "incidentd_http_body_bytes_total %llu\n",
                   (unsigned long long)__atomic_load_n(&api->bytes, __ATOMIC_RELAXED));
}
