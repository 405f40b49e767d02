/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture_seal.c: explain and pack are two executions of the sealer with the same shape: an output
 * and a status pipe go over the link, the answer says that the sealer has ended, the pipe what it
 * did. Explain may fail; pack is tried twice.
 */
#include "watchdog/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "watchdog/publish.h"

enum { PACK_ATTEMPTS = 2 };

static void pack(struct capture *c);

static void poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void close_pipe(struct capture_seal *s)
{
    if (s->poll != NULL) {
        (void)uv_poll_stop(s->poll);
        uv_close((uv_handle_t *)take_ptr(s->poll), poll_closed);
    }
    if (s->pipe_fd >= 0) {
        (void)close(take_fd(&s->pipe_fd));
    }
}

static void close_out(struct capture_seal *s)
{
    if (s->out_fd >= 0) {
        (void)close(take_fd(&s->out_fd));
    }
}

static void explained(struct capture *c);
static void packed(struct capture *c);

/* Reads what the pipe holds; false at its end. */
static bool drain(struct capture_seal *s)
{
    char chunk[16384];
    ssize_t n = 0;
    do {
        n = read(s->pipe_fd, chunk, sizeof(chunk));
        if (n > 0) {
            (void)buf_add(&s->said, chunk, (size_t)n); /* past its maximum it is no JSON */
        }
    } while (n > 0 || (n < 0 && errno == EINTR));
    return n < 0 && errno == EAGAIN;
}

static void on_said(uv_poll_t *poll, int status, int events)
{
    struct capture *c = poll->data;
    (void)status;
    (void)events;
    if (!drain(&c->seal)) {
        (void)uv_poll_stop(poll);
    }
}

/* The sealer has ended, so all it said is in the pipe. */
static void on_sealer(const struct wire_message *reply, int *fds, size_t count, void *arg)
{
    struct capture *c = arg;
    for (size_t i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
    c->seal.status = reply->status;
    memcpy(c->seal.text, reply->text, sizeof(c->seal.text));
    (void)drain(&c->seal);
    close_pipe(&c->seal);
    if (c->seal.packs == 0) {
        explained(c);
    } else {
        packed(c);
    }
    capture_release(c);
}

/* Starts the sealer with s->out_fd as its output. */
static int run_sealer(struct capture *c, enum wire_type type, struct error *err)
{
    struct capture_seal *s = &c->seal;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot make the sealer's status pipe");
    }
    AUTO_CLOSE int theirs = ends[1];
    s->pipe_fd = ends[0];
    (void)fcntl(s->pipe_fd, F_SETFL, O_NONBLOCK);
    buf_clear(&s->said);
    s->poll = xcalloc(1, sizeof(*s->poll));
    (void)uv_poll_init(c->env->loop, s->poll, s->pipe_fd);
    s->poll->data = c;
    (void)uv_poll_start(s->poll, UV_READABLE, on_said);
    struct wire_message m = {.type = type};
    const int fds[2] = {s->out_fd, theirs};
    (void)capture_send(c, &m, fds, 2, on_sealer, c);
    return 0;
}

/* Takes what explain wrote, when it is a report. */
static int take_report(struct capture_seal *s, struct error *err)
{
    struct stat st = {0};
    if (s->status < 0) {
        return error_set(err, s->status, "%.400s", s->text);
    }
    if (fstat(s->out_fd, &st) < 0 || st.st_size == 0 || st.st_size > LIMIT_REPORT_BYTES) {
        return error_set(err, -EINVAL, "the report is empty or longer than its limit");
    }
    AUTO_BUF struct buf text = BUF_INIT(LIMIT_REPORT_BYTES);
    int rc = lseek(s->out_fd, 0, SEEK_SET) < 0 ? -errno : fs_read_fd(s->out_fd, &text, err);
    if (rc < 0) {
        return rc;
    }
    bool bomb = json_values(buf_text(&text), text.len) > JSON_VALUES_MAX;
    cJSON *report = bomb ? NULL : cJSON_ParseWithLength(buf_text(&text), text.len);
    bool fine = cJSON_IsObject(report);
    cJSON_Delete(report);
    if (!fine) {
        return error_set(err, -EINVAL, "the report is not JSON");
    }
    s->report_len = text.len;
    s->report = buf_take(&text);
    return 0;
}

static void explained(struct capture *c)
{
    struct error err = ERROR_INIT;
    if (take_report(&c->seal, &err) < 0) {
        char what[640];
        (void)snprintf(what, sizeof(what), "no report: %s", err.message);
        c->env->trouble(c, what, c->env->arg);
    } else {
        capture_add(c, "report.json", c->seal.report, c->seal.report_len);
    }
    close_out(&c->seal);
    pack(c);
}

static void discarded(const struct wire_message *reply, int *fds, size_t count, void *arg)
{
    struct capture *c = arg;
    (void)reply;
    for (size_t i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
    capture_release(c);
}

static void discard(struct capture *c)
{
    struct wire_message m = {.type = WIRE_DISCARD};
    (void)capture_send(c, &m, NULL, 0, discarded, c);
    capture_release(c); /* the owner's reference */
}

static void journal_removed(int status, const struct error *err, void *arg)
{
    struct capture *c = arg;
    if (status < 0) {
        c->env->trouble(c, err->message, c->env->arg); /* the next start sees that it is listed */
    }
    c->journal = NULL;
    discard(c);
}

/* Kept in staging and in the journal: the next start tries again. */
static void lost(struct capture *c, const struct error *err)
{
    c->stage = CAPTURE_LOST;
    publish_drop(c->env->bundles_fd, c->id);
    capture_journal(c, "lost-pending", err->message);
    c->env->sealed(c, NULL, err, c->env->arg);
    if (c->journal != NULL) {
        journal_writer_end(take_ptr(c->journal), false, NULL, NULL);
    }
    capture_release(c);
}

static void publish_in_pool(uv_work_t *work)
{
    struct capture *c = work->data;
    struct capture_seal *s = &c->seal;
    struct publish_request request = {.bundles_fd = c->env->bundles_fd,
                                      .packed_fd = s->out_fd,
                                      .id = c->id,
                                      .status = buf_text(&s->said),
                                      .status_len = s->said.len,
                                      .report = s->report,
                                      .report_len = s->report_len};
    s->published = publish_bundle(&request, &s->entry, &s->err);
}

static void pack_failed(struct capture *c, const struct error *err)
{
    close_out(&c->seal);
    if (c->seal.packs < PACK_ATTEMPTS) {
        c->env->trouble(c, err->message, c->env->arg);
        pack(c);
    } else {
        lost(c, err);
    }
}

static void published(uv_work_t *work, int status)
{
    struct capture *c = work->data;
    (void)status;
    if (c->seal.published < 0) {
        pack_failed(c, &c->seal.err);
        capture_release(c);
        return;
    }
    close_out(&c->seal);
    c->stage = CAPTURE_LISTED;
    c->seal.entry.sealed_ms = clock_wall_ms();
    c->env->sealed(c, &c->seal.entry, NULL, c->env->arg);
    if (c->journal != NULL) {
        journal_writer_step(c->journal, "packed", clock_wall_ms(), NULL);
        journal_writer_end(c->journal, true, journal_removed, c);
    } else {
        discard(c);
    }
    capture_release(c);
}

static void packed(struct capture *c)
{
    struct capture_seal *s = &c->seal;
    s->err = (struct error)ERROR_INIT;
    if (s->status < 0 && s->said.len == 0) {
        (void)error_set(&s->err, s->status, "%.400s", s->text);
        pack_failed(c, &s->err);
        return;
    }
    s->work.data = c;
    capture_hold(c);
    (void)uv_queue_work(c->env->loop, &s->work, publish_in_pool, published);
}

static void pack(struct capture *c)
{
    struct error err = ERROR_INIT;
    c->seal.packs++;
    c->seal.out_fd = publish_open(c->env->bundles_fd, c->id, &err);
    if (c->seal.out_fd < 0 || run_sealer(c, WIRE_PACK, &err) < 0) {
        close_out(&c->seal);
        lost(c, &err);
    }
}

void capture_seal_start(struct capture *c)
{
    struct error err = ERROR_INIT;
    capture_add(c, c->orphan ? "orphan.json" : "base.json", c->base, strlen(c->base));
    c->seal.out_fd = memfd_create("report.json", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (c->seal.out_fd < 0 || run_sealer(c, WIRE_EXPLAIN, &err) < 0) {
        close_out(&c->seal);
        pack(c);
    }
}
