/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changes something goes to the loop and back.
 *
 * The HTTP thread suspends the connection, queues the call and wakes the loop; the loop takes the
 * calls, and answers each one when it is done, perhaps seconds later. A call has two references,
 * the request's and the loop's: when the server is stopped while the loop still works on a call,
 * the client gets 503 and the loop's later answer only frees the call. api_answer() therefore
 * touches nothing but the call, once that is no longer held.
 */
#include "watchdog/api_http.h"

#include <cjson/cJSON.h>

#include "base/fs.h"

struct api_call *api_command_new(enum api_command_kind kind)
{
    struct api_call *call = xcalloc(1, sizeof(*call));
    call->command.kind = kind;
    call->command.output_fd = -1;
    call->references = 1;
    return call;
}

void api_command_release(struct api_call *call)
{
    if (__atomic_sub_fetch(&call->references, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    if (call->command.output_fd >= 0) {
        (void)close(call->command.output_fd);
    }
    free(call);
}

static void hold(struct api *api, struct api_call *call)
{
    call->next_held = api->held;
    if (api->held != NULL) {
        api->held->previous_held = call;
    }
    api->held = call;
    api->waiting++;
    api->calls++;
    if (api->last != NULL) {
        api->last->next = &call->command;
    } else {
        api->first = &call->command;
    }
    api->last = &call->command;
}

static void unhold(struct api *api, struct api_call *call)
{
    if (call->previous_held != NULL) {
        call->previous_held->next_held = call->next_held;
    } else {
        api->held = call->next_held;
    }
    if (call->next_held != NULL) {
        call->next_held->previous_held = call->previous_held;
    }
    call->next_held = NULL;
    call->previous_held = NULL;
    api->waiting--;
}

enum MHD_Result api_command_queue(struct api_request *r, struct api_call *call,
                                  enum MHD_Result (*finish)(struct api_request *r))
{
    struct api *api = r->api;
    (void)pthread_mutex_lock(&api->lock);
    bool accepted = !api->stopping && api->waiting < API_COMMANDS_WAITING;
    if (accepted) {
        call->references = 2;
        call->connection = r->connection;
        call->command.connection = api;
        r->call = call;
        r->finish = finish;
        MHD_suspend_connection(r->connection);
        hold(api, call);
    }
    (void)pthread_mutex_unlock(&api->lock);
    if (!accepted) {
        api_command_release(call);
        return api_request_problem_with(r, MHD_HTTP_SERVICE_UNAVAILABLE, "Retry-After", "2",
                                        "too many requests are waiting to be carried out");
    }
    api->wake(api->wake_arg);
    return MHD_YES;
}

struct api_command *api_next(struct api *api)
{
    (void)pthread_mutex_lock(&api->lock);
    struct api_command *command = api->first;
    if (command != NULL) {
        api->first = command->next;
        api->last = api->first == NULL ? NULL : api->last;
        command->next = NULL;
    }
    (void)pthread_mutex_unlock(&api->lock);
    return command;
}

void api_answer(struct api *api, struct api_command *command)
{
    struct api_call *call = (struct api_call *)command;
    if (api != NULL && command->connection == api) {
        (void)pthread_mutex_lock(&api->lock);
        unhold(api, call);
        MHD_resume_connection(call->connection);
        (void)pthread_mutex_unlock(&api->lock);
    }
    api_command_release(call);
}

void api_command_abandon_all(struct api *api)
{
    (void)pthread_mutex_lock(&api->lock);
    api->stopping = true;
    struct api_command *queued = api->first;
    api->first = NULL;
    api->last = NULL;
    while (api->held != NULL) {
        struct api_call *call = api->held;
        unhold(api, call);
        call->command.connection = NULL;
        call->command.http_status = MHD_HTTP_SERVICE_UNAVAILABLE;
        call->command.retry_after_s = 2;
        (void)snprintf(call->command.detail, sizeof(call->command.detail),
                       "the server is being stopped or reconfigured");
        MHD_resume_connection(call->connection);
    }
    (void)pthread_mutex_unlock(&api->lock);
    while (queued != NULL) { /* those the loop never saw */
        struct api_command *next = queued->next;
        api_command_release((struct api_call *)queued);
        queued = next;
    }
}

enum MHD_Result api_command_problem(struct api_request *r)
{
    const struct api_command *c = &r->call->command;
    unsigned status = c->http_status >= 400 ? (unsigned)c->http_status : 500;
    if (c->retry_after_s > 0) {
        char seconds[24];
        (void)snprintf(seconds, sizeof(seconds), "%lld", (long long)c->retry_after_s);
        return api_request_problem_with(r, status, "Retry-After", seconds, c->detail);
    }
    return api_request_problem(r, status, "%s", c->detail);
}

static enum MHD_Result empty(struct api_request *r, unsigned status, const char *location)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (response != NULL && location != NULL) {
        (void)MHD_add_response_header(response, "Location", location);
    }
    return api_request_send(r, status, response);
}

static enum MHD_Result created(struct api_request *r)
{
    const struct api_command *c = &r->call->command;
    if (c->http_status < 200 || c->http_status > 299) {
        return api_command_problem(r);
    }
    char location[LIMIT_ID_BYTES + 24];
    (void)snprintf(location, sizeof(location), "/api/v1/captures/%s", c->created);
    struct buf b = BUF_INIT(1024);
    (void)buf_addf(&b, "{\"id\":\"%s\",\"location\":\"%s\"}\n", c->created, location);
    size_t len = b.len;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, buf_take(&b), MHD_RESPMEM_MUST_FREE);
    if (response != NULL) {
        (void)MHD_add_response_header(response, "Content-Type", "application/json");
        (void)MHD_add_response_header(response, "Location", location);
    }
    return api_request_send(r, MHD_HTTP_ACCEPTED, response);
}

static enum MHD_Result done(struct api_request *r)
{
    int status = r->call->command.http_status;
    if (status < 200 || status > 299) {
        return api_command_problem(r);
    }
    return empty(r, r->call->command.kind == API_RELOAD ? MHD_HTTP_ACCEPTED : MHD_HTTP_NO_CONTENT,
                 NULL);
}

/* Copies member `key` of `json` into `out`; false with `*why` when it is no usable name. */
static bool name_member(const cJSON *json, const char *key, bool required, char *out,
                        const char **why)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    out[0] = '\0';
    if (item == NULL) {
        *why = "is missing";
        return !required;
    }
    if (!cJSON_IsString(item)) {
        *why = "is not a string";
        return false;
    }
    if (item->valuestring[0] == '\0' && !required) {
        return true;
    }
    if (!fs_name_ok(item->valuestring, LIMIT_NAME_BYTES)) {
        *why = "is not a name of 1 to 48 bytes of [A-Za-z0-9._-]";
        return false;
    }
    (void)snprintf(out, LIMIT_NAME_BYTES + 1, "%s", item->valuestring);
    return true;
}

/* The first member that is neither target nor rule, or NULL. */
static const char *unknown_member(const cJSON *json)
{
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, json)
    {
        if (strcmp(item->string, "target") != 0 && strcmp(item->string, "rule") != 0) {
            return item->string;
        }
    }
    return NULL;
}

bool api_command_capture_parse(const char *text, size_t len, struct api_command *ret, char *why,
                               size_t why_size)
{
    const char *reason = "";
    cJSON *json = cJSON_ParseWithLength(text, len);
    bool ok = false;
    if (!cJSON_IsObject(json)) {
        (void)snprintf(why, why_size, "the body is not a JSON object like {\"target\":\"name\"}");
    } else if (unknown_member(json) != NULL) {
        (void)snprintf(why, why_size, "'%.60s' is unknown; 'target' and 'rule' are allowed",
                       unknown_member(json));
    } else if (!name_member(json, "target", true, ret->target, &reason)) {
        (void)snprintf(why, why_size, "'target' %s", reason);
    } else if (!name_member(json, "rule", false, ret->rule, &reason)) {
        (void)snprintf(why, why_size, "'rule' %s", reason);
    } else {
        ok = true;
    }
    cJSON_Delete(json);
    return ok;
}

bool api_command_known_target(const struct view *v, const char *name)
{
    for (size_t i = 0; v != NULL && i < v->target_count; i++) {
        if (strcmp(v->targets[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

enum MHD_Result api_command_capture(struct api_request *r)
{
    struct api_command parsed = {.kind = API_CAPTURE};
    char why[256];
    if (!api_command_capture_parse(buf_text(&r->body), r->body.len, &parsed, why, sizeof(why))) {
        return api_request_problem(r, MHD_HTTP_BAD_REQUEST, "%s", why);
    }
    if (!api_command_known_target(r->view, parsed.target)) {
        return api_request_problem(r, MHD_HTTP_NOT_FOUND, "there is no target '%s'", parsed.target);
    }
    struct api_call *call = api_command_new(API_CAPTURE);
    memcpy(call->command.target, parsed.target, sizeof(parsed.target));
    memcpy(call->command.rule, parsed.rule, sizeof(parsed.rule));
    return api_command_queue(r, call, created);
}

struct api_call *api_command_for_capture(struct api_request *r, enum api_command_kind kind)
{
    const struct view_capture *c = view_capture_find(r->view, r->id);
    if (c == NULL || !fs_name_ok(c->id, LIMIT_ID_BYTES)) {
        return NULL;
    }
    struct api_call *call = api_command_new(kind);
    memcpy(call->command.capture, c->id, sizeof(c->id));
    return call;
}

enum MHD_Result api_command_delete(struct api_request *r)
{
    struct api_call *call = api_command_for_capture(r, API_DELETE);
    if (call == NULL) {
        return api_request_problem(r, MHD_HTTP_NOT_FOUND, "there is no capture '%s'", r->id);
    }
    return api_command_queue(r, call, done);
}

enum MHD_Result api_command_pin(struct api_request *r)
{
    struct api_call *call = api_command_for_capture(r, API_PIN);
    if (call == NULL) {
        return api_request_problem(r, MHD_HTTP_NOT_FOUND, "there is no capture '%s'", r->id);
    }
    call->command.pin = r->method == API_PUT;
    return api_command_queue(r, call, done);
}

enum MHD_Result api_command_reload(struct api_request *r)
{
    return api_command_queue(r, api_command_new(API_RELOAD), done);
}
