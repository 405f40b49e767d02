/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h: the daemon's REST API as the verbs of incidentctl use it.
 */
#ifndef WATCHDOG_CLIENT_H
#define WATCHDOG_CLIENT_H

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "watchdog/verb.h"

#include <cJSON.h>

/* Where the daemon listens by default. */
#define CLIENT_SERVER "http://127.0.0.1:9911"

struct client {
    void *curl;       /* CURL *; owned */
    void *headers;    /* struct curl_slist *; owned */
    char server[512]; /* without trailing slash */
    long status;      /* of the last answer */
    int64_t retry_s;  /* its Retry-After, 0: none */
    char location[512];
    char sha256[80]; /* its X-Checksum-SHA256 */
    char etag[96];
    int64_t length; /* its Content-Length, -1: unknown */
};

/* Opens a client by options and environment (INCIDENTD_SERVER, INCIDENTD_TOKEN_FILE). 0 or an error
 * with its remedy. */
int client_open(const struct verb_common *common, struct client *ret, struct error *err);
void client_close(struct client *c);
/* One request; `body` is JSON or NULL. 2xx: 0, and *ret (may be NULL) is the parsed answer, NULL
 * when it is empty, freed by cJSON_Delete. Otherwise -errno with the daemon's own words and what to
 * do: -ENOENT 404, -EACCES 401 and 403, -EBUSY 429, -ECONNREFUSED when nothing answers. */
int client_call(struct client *c, const char *method, const char *path, const char *body,
                cJSON **ret, struct error *err);
/* GET `path` from byte `offset` on into `fd`, If-Range `etag`. 0 (status 200: from the start; the
 * file was truncated; 206: appended). `on_bytes` hears of each piece with all bytes so far. */
struct client_download {
    const char *path;
    const char *etag;
    int fd;
    int64_t offset;
    void (*on_bytes)(int64_t done, void *arg);
    void *arg;
};
int client_download(struct client *c, const struct client_download *d, struct error *err);
/* HEAD: fills length, etag and sha256. */
int client_head(struct client *c, const char *path, struct error *err);
/* "<prefix><id, percent-encoded><suffix>" into `out`; returns `out`. */
char *client_path(const char *prefix, const char *id, const char *suffix, char *out, size_t size);

/* Reading answers: the member, or the fallback. */
const char *client_text(const cJSON *object, const char *name);   /* "" */
double client_number(const cJSON *object, const char *name);      /* 0 */
bool client_true(const cJSON *object, const char *name);          /* false */
const cJSON *client_array(const cJSON *object, const char *name); /* NULL */
/* Prints `json` indented on stdout. */
void client_print(const cJSON *json);
/* Prints a text of the evidence: control characters never reach the terminal. */
void client_put(const char *text);
/* Tells `err` on stderr as "incidentctl VERB: ..."; returns the exit status 1. */
int client_fail(const char *verb, const struct error *err);
/* Times and sizes as people read them; return `out`. */
char *client_ago(int64_t ms, char *out, size_t size); /* "4m12s", "3.4 s" */
char *client_size(int64_t bytes, char *out, size_t size);

#endif
