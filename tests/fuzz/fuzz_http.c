/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Raw bytes to the real server on loopback, and the same bytes to the parsers behind it. The server
 * answers or hangs up; a health check after each input shows that it lives. Commands are answered
 * on the HTTP thread itself, in wake.
 */
#include "watchdog/api_http.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct api *api;

static void wake(void *arg)
{
    (void)arg;
    for (struct api_command *c = api_next(api); c != NULL; c = api_next(api)) {
        c->http_status = c->kind == API_EXTRACT ? 200 : 202;
        api_answer(api, c);
    }
}

static void start(void)
{
    struct view *v = view_new();
    v->captures = xcalloc(1, sizeof(*v->captures));
    v->capture_count = 1;
    v->captures[0] = (struct view_capture){.id = "a_b_1", .state = VIEW_SEALED, .sha256 = "ab"};
    v->targets = xcalloc(1, sizeof(*v->targets));
    v->target_count = 1;
    v->targets[0] = (struct view_target){.name = "shop"};
    view_publish(v);
    int folder = open("/tmp", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    const struct api_options options = {
        .listen = "127.0.0.1:0", .bundles_fd = folder, .wake = wake};
    if (api_start(&options, &api, NULL) != 0) {
        abort();
    }
}

static void exchange(const void *data, size_t len, bool wait, char *out, size_t size)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)api_port(api)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const struct timeval patience = {.tv_usec = 20000}; /* half a request is never answered */
    const struct linger reset = {.l_onoff = 1, .l_linger = 0}; /* leaves no TIME_WAIT behind */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    if (!wait) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    }
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0) {
        (void)send(fd, data, len, MSG_NOSIGNAL);
        size_t got = 0;
        ssize_t n = 0;
        while (got + 1 < size && (n = recv(fd, out + got, size - got - 1, 0)) > 0) {
            got += (size_t)n;
        }
        out[got] = '\0';
    }
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (api == NULL) {
        start();
    }
    char *text = xcalloc(1, len + 1);
    memcpy(text, data, len);
    struct api_command command = {.kind = API_CAPTURE};
    char why[256];
    char value[32];
    struct api_request request = {.api = api};
    (void)api_command_capture_parse(text, len, &command, why, sizeof(why));
    (void)api_form_value(text, "token", value, sizeof(value));
    (void)api_auth_loopback(text);
    (void)api_route_match("/api/v1/captures/{id}/files/{path}", text, &request);
    free(text);
    char answer[4096] = "";
    exchange(data, len, false, answer, sizeof(answer));
    static const char health[] = "GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    exchange(health, sizeof(health) - 1, true, answer, sizeof(answer));
    if (strncmp(answer, "HTTP/1.1 200", 12) != 0) {
        abort();
    }
    return 0;
}
