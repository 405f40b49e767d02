/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/state.h"

#include <errno.h>
#include <fcntl.h>

#include <cjson/cJSON.h>

#include "base/fs.h"

enum { STATE_BYTES = 4 << 20, DEBOUNCE_MS = 500 };

static const char state_name[] = "state.json";

static char *object_text(const cJSON *root, const char *name)
{
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(root, name);
    return cJSON_IsObject(o) ? cJSON_PrintUnformatted(o) : NULL;
}

int state_load(int root_fd, struct state_texts *ret, struct error *err)
{
    *ret = (struct state_texts){NULL, NULL};
    AUTO_BUF struct buf text = BUF_INIT(STATE_BYTES);
    if (faccessat(root_fd, state_name, F_OK, 0) < 0 && errno == ENOENT) {
        return 0;
    }
    int rc = fs_read_at(root_fd, state_name, &text, err);
    if (rc < 0) {
        return rc;
    }
    cJSON *root = cJSON_ParseWithLength(buf_text(&text), text.len);
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return error_set(err, -EINVAL, "'%s' is not JSON, starting without it", state_name);
    }
    ret->incidents = object_text(root, "incidents");
    ret->judge = object_text(root, "judge");
    cJSON_Delete(root);
    return 0;
}

void state_release(struct state_texts *t)
{
    free(t->incidents);
    free(t->judge);
    *t = (struct state_texts){NULL, NULL};
}

int state_store(int root_fd, const struct state_texts *t, struct error *err)
{
    AUTO_BUF struct buf text = BUF_INIT(STATE_BYTES);
    (void)buf_add_text(&text, "{\"schema_version\":1");
    if (t->incidents != NULL) {
        (void)buf_add_text(&text, ",\"incidents\":");
        (void)buf_add_text(&text, t->incidents);
    }
    if (t->judge != NULL) {
        (void)buf_add_text(&text, ",\"judge\":");
        (void)buf_add_text(&text, t->judge);
    }
    (void)buf_add_text(&text, "}\n");
    if (buf_failed(&text)) {
        return error_set(err, -EMSGSIZE, "the state is longer than %d bytes", STATE_BYTES);
    }
    return fs_replace_at(root_fd, state_name, buf_text(&text), text.len, 0600, err);
}

struct state_writer {
    uv_timer_t timer;
    uv_work_t work;
    int root_fd;
    bool dirty;   /* a change is not collected yet */
    bool writing; /* the pool has `texts` */
    bool stopped;
    struct state_texts texts;
    int status;
    struct error err;
    void (*collect)(struct state_texts *ret, void *arg);
    void (*done)(int status, const struct error *err, void *arg);
    void *arg;
};

struct state_writer *state_writer_new(uv_loop_t *loop, int root_fd,
                                      void (*collect)(struct state_texts *ret, void *arg),
                                      void (*done)(int status, const struct error *err, void *arg),
                                      void *arg)
{
    struct state_writer *w = xcalloc(1, sizeof(*w));
    w->root_fd = root_fd;
    w->collect = collect;
    w->done = done;
    w->arg = arg;
    w->timer.data = w;
    w->work.data = w;
    (void)uv_timer_init(loop, &w->timer);
    return w;
}

static void write_in_pool(uv_work_t *work)
{
    struct state_writer *w = work->data;
    w->status = state_store(w->root_fd, &w->texts, &w->err);
}

static void free_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void start_write(uv_timer_t *timer);

static void written(uv_work_t *work, int status)
{
    struct state_writer *w = work->data;
    (void)status;
    w->writing = false;
    state_release(&w->texts);
    if (w->stopped) {
        uv_close((uv_handle_t *)&w->timer, free_closed);
        return;
    }
    w->done(w->status, &w->err, w->arg);
    if (w->dirty) {
        (void)uv_timer_start(&w->timer, start_write, DEBOUNCE_MS, 0);
    }
}

static void start_write(uv_timer_t *timer)
{
    struct state_writer *w = timer->data;
    if (w->writing) {
        return; /* `written` starts it again */
    }
    w->dirty = false;
    w->writing = true;
    w->err = (struct error)ERROR_INIT;
    w->collect(&w->texts, w->arg);
    (void)uv_queue_work(timer->loop, &w->work, write_in_pool, written);
}

void state_writer_touch(struct state_writer *w)
{
    if (w->dirty || w->stopped) {
        return;
    }
    w->dirty = true;
    if (!w->writing) {
        (void)uv_timer_start(&w->timer, start_write, DEBOUNCE_MS, 0);
    }
}

bool state_writer_busy(const struct state_writer *w)
{
    return w->dirty || w->writing;
}

void state_writer_stop(struct state_writer *w)
{
    if (w == NULL || w->stopped) {
        return;
    }
    w->stopped = true;
    (void)uv_timer_stop(&w->timer);
    if (w->writing) {
        return; /* closed when the pool is done: its texts are at most half a second old */
    }
    if (w->dirty) {
        w->collect(&w->texts, w->arg);
        (void)state_store(w->root_fd, &w->texts, &w->err);
        state_release(&w->texts);
    }
    uv_close((uv_handle_t *)&w->timer, free_closed);
}
