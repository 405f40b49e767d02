/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api.h: REST, bundle downloads and the plain web page, on libmicrohttpd's own epoll thread.
 *
 * Reads are answered from the published view and from files in the store. Whatever changes
 * something is a command: the request is suspended, the command queued to the loop (uv_async), and
 * resumed with the loop's answer.
 */
#ifndef WATCHDOG_API_H
#define WATCHDOG_API_H

#include "base/error.h"
#include "base/limits.h"

enum api_command_kind {
    API_CAPTURE, /* target: capture now with the collectors of `rule` ("" : auto) */
    API_DELETE,  /* capture */
    API_PIN,     /* capture, pin */
    API_RELOAD,
    API_EXTRACT, /* capture, path: member into `output_fd` (an unlinked file of the store) */
};

/* Lives in the HTTP thread's connection; the loop fills the answer and calls api_answer exactly
 * once. */
struct api_command {
    enum api_command_kind kind;
    char target[LIMIT_NAME_BYTES + 1];
    char rule[LIMIT_NAME_BYTES + 1];
    char capture[LIMIT_ID_BYTES + 1];
    char path[512];
    bool pin;
    int output_fd;
    /* the answer */
    int http_status;
    int64_t retry_after_s;            /* with 429 and 503 */
    char created[LIMIT_ID_BYTES + 1]; /* id of the capture that was started, for Location */
    char detail[384];                 /* text of the problem+json */
    struct api_command *next;         /* queue */
    void *connection;                 /* the API's own */
};

struct api_options {
    const char *listen;        /* host:port */
    const char *health_listen; /* host:port or NULL */
    const char *token;         /* NULL: none; copied (only its digest is kept) */
    int bundles_fd;            /* directory of sealed bundles; duplicated */
    /* Called on the HTTP thread when commands are waiting: wakes the loop (uv_async_send). */
    void (*wake)(void *arg);
    void *wake_arg;
};

struct api;

/* Starts the server threads; 0 and *ret, or an error naming the address and the remedy. */
int api_start(const struct api_options *options, struct api **ret, struct error *err);
/* The ports that were bound: what the kernel chose where 0 was asked for; 0 without a listener. */
unsigned api_port(const struct api *api);
unsigned api_health_port(const struct api *api);
/* The next waiting command or NULL; called by the loop after wake. */
struct api_command *api_next(struct api *api);
/* Hands the answered command back; it is resumed and no longer the loop's. A command that outlived
 * its server (api_stop answered its client 503) is only freed: `api` may then be another one or
 * NULL. */
void api_answer(struct api *api, struct api_command *command);
/* Stops accepting, answers what waits for the loop 503, ends every connection, frees. Call it on
 * the loop's thread. NULL is a no-op. */
void api_stop(struct api *api);
/* Counters for the own metrics: requests by status class, bytes sent. Appends exposition text. */
struct buf;
void api_metrics(const struct api *api, struct buf *out);

#endif
