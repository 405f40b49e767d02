/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api_http.h: what the files of the API share: the server, one request, and how it is answered.
 * Everything here runs on the HTTP thread unless it says otherwise.
 *
 *   api_server.c  listeners, counters, stop      api_request.c  one request's life, the answer
 *   api_route.c   the table of routes            api_auth.c     token, cookie, Host, Origin
 *   api_json.c    view -> JSON                   api_files.c    bundles, manifests, artifacts
 *   api_command.c what changes something         api_html.c     what the pages are made of
 *   api_page*.c   the plain web pages            api_form.c     what their forms send
 */
#ifndef WATCHDOG_API_HTTP_H
#define WATCHDOG_API_HTTP_H

#include <sys/types.h>

#include <microhttpd.h>

#include <pthread.h>

#include "base/buf.h"
#include "watchdog/api.h"
#include "watchdog/view.h"

enum {
    API_COMMANDS_WAITING = 32, /* more are refused with 503: the loop is stuck or flooded */
    API_CONNECTIONS = 512,
    API_CONNECTIONS_PER_IP = 256,
    API_CONNECTION_BYTES = 16 << 10, /* request head; answers do not count */
    API_TIMEOUT_S = 30,
    API_SESSION_S = 12 * 3600,
    API_LOGINS_FAILED = 10, /* in a minute from one address; then 429 */
    API_LOGIN_ADDRESSES = 64,
    API_DIGEST_BYTES = 32,
    API_HEX_SIZE = 2 * API_DIGEST_BYTES + 1,
};

enum api_method {
    API_GET = 1,
    API_HEAD = 2,
    API_POST = 4,
    API_PUT = 8,
    API_DELETE_METHOD = 16,
    API_OTHER = 32,
};

/* Who the requester proved to be. */
enum api_identity { API_NOBODY, API_COOKIE, API_BEARER, API_OPEN };

struct api_auth {
    bool required;
    unsigned char token[API_DIGEST_BYTES]; /* SHA-256 of the token */
    unsigned char key[API_DIGEST_BYTES];   /* random per process: signs sessions and forms */
    char host[256];                        /* the host of `listen` */
};

/* Failed logins of one address; only the HTTP thread touches them. */
struct api_login {
    unsigned char address[16];
    int64_t since_ms; /* monotonic; 0: free */
    unsigned failed;
};

/* One queued command with the connection that waits for it. Freed when both sides let go. */
struct api_call {
    struct api_command command;        /* first: the loop's pointer is ours */
    int references;                    /* atomic */
    struct MHD_Connection *connection; /* suspended until answered */
    struct api_call *next_held;
    struct api_call *previous_held;
};

struct api {
    struct MHD_Daemon *daemon;
    struct MHD_Daemon *health;
    unsigned port;
    unsigned health_port;
    int bundles_fd;
    struct api_auth auth;
    struct api_login logins[API_LOGIN_ADDRESSES];
    void (*wake)(void *arg);
    void *wake_arg;
    pthread_mutex_t lock;      /* of all below */
    pthread_cond_t idle;       /* `calls` became 0 */
    struct api_command *first; /* queued, not yet taken by the loop */
    struct api_command *last;
    struct api_call *held; /* every unanswered call */
    unsigned waiting;      /* length of `held` */
    unsigned calls;        /* requests that have a call and are not complete */
    bool stopping;
    uint64_t responses[6]; /* by status class; atomic */
    uint64_t bytes;        /* of bodies queued; atomic */
};

struct api_request {
    struct api *api;
    struct MHD_Connection *connection;
    enum api_method method;
    const char *url; /* decoded, the connection's */
    enum api_identity identity;
    char session[128];           /* the cookie's value, "" when none is valid */
    char id[LIMIT_ID_BYTES + 1]; /* {id} of the route */
    char path[512];              /* {path} of the route */
    bool too_large;
    bool refused;      /* answered before its body was read */
    struct view *view; /* of this request, may be NULL before the first one is published */
    struct buf body;
    struct api_call *call; /* NULL until the handler has queued a command */
    /* Builds the answer once `call` is answered. */
    enum MHD_Result (*finish)(struct api_request *r);
    bool page; /* a person's browser asks: problems are told as a page */
};

typedef enum MHD_Result api_handler(struct api_request *r);

/* MHD's access handler, request log hook and completion hook; `cls` is the struct api. */
enum MHD_Result api_request_access(void *cls, struct MHD_Connection *connection, const char *url,
                                   const char *method, const char *version, const char *data,
                                   size_t *data_size, void **state);
void api_request_completed(void *cls, struct MHD_Connection *connection, void **state,
                           enum MHD_RequestTerminationCode why);
/* The value of a request header or NULL. */
const char *api_request_header(const struct api_request *r, const char *name);

/* Queues `response` (taken) with the headers every answer has, and counts it. */
enum MHD_Result api_request_send(struct api_request *r, unsigned status,
                                 struct MHD_Response *response);
/* Sends the text of `body` (emptied) as `type`; a body that was refused room becomes a 500. */
enum MHD_Result api_request_text(struct api_request *r, unsigned status, const char *type,
                                 struct buf *body);
/* RFC 9457 problem details; `fmt` is the detail. */
enum MHD_Result api_request_problem(struct api_request *r, unsigned status, const char *fmt, ...)
    ATTR_FORMAT(3, 4);
/* As api_request_problem, with one more header. */
enum MHD_Result api_request_problem_with(struct api_request *r, unsigned status, const char *name,
                                         const char *value, const char *detail);
/* 303 to `where` with an optional Set-Cookie (NULL: none). */
enum MHD_Result api_request_redirect(struct api_request *r, const char *where, const char *cookie);

/* Finds the route, checks who asks, and runs its handler. */
enum MHD_Result api_route_dispatch(struct api_request *r);
/* Fills id and path and returns true when `url` matches `pattern` ("{id}" one segment, "{path}" the
 * rest). Pure. */
bool api_route_match(const char *pattern, const char *url, struct api_request *r);
/* /-/healthy and /-/ready; anything else is 404. For the health listener. */
enum MHD_Result api_route_health(void *cls, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *data_size, void **state);

/* Keeps the digest of `token` (NULL: open) and makes the key. */
int api_auth_init(struct api_auth *auth, const char *token, const char *host, struct error *err);
/* Sets r->identity; 0, or the HTTP status of the refusal (401, 403, 421) with `*why`. */
unsigned api_auth_check(struct api_request *r, const char **why);
/* True when `token` is the configured one; constant in time over the digests. */
bool api_auth_token_ok(const struct api_auth *auth, const char *token);
/* A new session's cookie value and the form token that belongs to session `session`. */
void api_auth_session(const struct api_auth *auth, char *out, size_t size);
void api_auth_form(const struct api_auth *auth, const char *session, char out[API_HEX_SIZE]);
/* Seconds until this client may try to log in again, 0: now. */
unsigned api_auth_login_wait_s(struct api_request *r);
/* Remembers a failed login of this client for a minute. */
void api_auth_login_failed(struct api_request *r);
bool api_auth_form_ok(const struct api_request *r, const char *given);
/* True for a Host header (or a bare host) that names this machine's loopback. */
bool api_auth_loopback(const char *host);

/* Handlers. */
api_handler api_json_incidents;
api_handler api_json_incident;
api_handler api_json_captures;
api_handler api_json_capture;
api_handler api_json_rules;
api_handler api_json_targets;
api_handler api_files_bundle;
api_handler api_files_manifest;
api_handler api_files_report;
api_handler api_files_member;
api_handler api_command_capture;
api_handler api_command_delete;
api_handler api_command_pin;
api_handler api_command_reload;
api_handler api_page_index;
api_handler api_page_capture;
api_handler api_page_style;
api_handler api_page_login;
api_handler api_form_login;
api_handler api_form_logout;
api_handler api_form_capture;
api_handler api_form_pin;
api_handler api_form_delete;

/* Appends the manifest or the report of `id` from the store; 0 or a negative errno. */
int api_files_read_manifest(const struct api *api, const char *id, struct buf *out);
int api_files_read_report(const struct api *api, const char *id, struct buf *out);

/* The decoded value of `name` in a form's body; false when absent, too long or with a NUL. Pure. */
bool api_form_value(const char *body, const char *name, char *out, size_t size);

/* A call for `kind` that the caller fills and hands to api_command_queue. */
struct api_call *api_command_new(enum api_command_kind kind);
/* Suspends the request until the loop has answered, then `finish` runs. Takes `call`. */
enum MHD_Result api_command_queue(struct api_request *r, struct api_call *call,
                                  enum MHD_Result (*finish)(struct api_request *r));
/* Drops one reference. */
void api_command_release(struct api_call *call);
/* Answers every held call 503 and refuses new ones: for api_stop. Any thread. */
void api_command_abandon_all(struct api *api);
/* Reads {"target": NAME, "rule": NAME} into ret->target and ret->rule; false with `why`. Pure. */
bool api_command_capture_parse(const char *text, size_t len, struct api_command *ret, char *why,
                               size_t why_size);
bool api_command_known_target(const struct view *v, const char *name);
/* A call for the capture that r->id names, or NULL when there is none. */
struct api_call *api_command_for_capture(struct api_request *r, enum api_command_kind kind);
/* The problem that the loop's answer amounts to. */
enum MHD_Result api_command_problem(struct api_request *r);

#endif
