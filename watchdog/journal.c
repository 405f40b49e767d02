/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/journal.h"

#include <errno.h>
#include <fcntl.h>

#include <cjson/cJSON.h>

#include "base/fs.h"

static const char suffix[] = ".jsonl";

static char *file_name(const char *id, char *out, size_t size)
{
    (void)snprintf(out, size, "%s%s", id, suffix);
    return out;
}

int journal_create(int journal_fd, const char *id, const char *base, int64_t wall_ms,
                   struct error *err)
{
    char name[LIMIT_ID_BYTES + 16];
    AUTO_BUF struct buf line = BUF_INIT(JOURNAL_BYTES);
    (void)buf_addf(&line, "{\"step\":\"trigger\",\"wall_ms\":%lld,\"base\":", (long long)wall_ms);
    (void)buf_add_text(&line, base);
    (void)buf_add_text(&line, "}\n");
    if (buf_failed(&line)) {
        return error_set(err, -EMSGSIZE, "the trigger is longer than %d bytes", JOURNAL_BYTES);
    }
    return fs_replace_at(journal_fd, file_name(id, name, sizeof(name)), buf_text(&line), line.len,
                         0600, err);
}

int journal_append(int journal_fd, const char *id, const char *lines, size_t len, struct error *err)
{
    char name[LIMIT_ID_BYTES + 16];
    AUTO_CLOSE int fd = openat(journal_fd, file_name(id, name, sizeof(name)),
                               O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot open journal '%s'", name);
    }
    int rc = fs_write_all(fd, lines, len, err);
    if (rc == 0 && fdatasync(fd) < 0) {
        int code = -errno;
        rc = error_errno(err, code, "cannot sync journal '%s'", name);
    }
    return rc;
}

int journal_remove(int journal_fd, const char *id, struct error *err)
{
    char name[LIMIT_ID_BYTES + 16];
    if (unlinkat(journal_fd, file_name(id, name, sizeof(name)), 0) < 0 && errno != ENOENT) {
        int code = -errno;
        return error_errno(err, code, "cannot remove journal '%s'", name);
    }
    (void)fsync(journal_fd);
    return 0;
}

/* Takes `step` and `text` of one line; false when it is torn. */
static bool read_step(const char *line, size_t len, struct journal_record *r)
{
    cJSON *o = cJSON_ParseWithLength(line, len);
    const cJSON *step = cJSON_GetObjectItemCaseSensitive(o, "step");
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(o, "text");
    bool whole = cJSON_IsString(step);
    if (whole) {
        (void)snprintf(r->step, sizeof(r->step), "%s", step->valuestring);
        (void)snprintf(r->text, sizeof(r->text), "%s",
                       cJSON_IsString(text) ? text->valuestring : "");
        const cJSON *base = cJSON_GetObjectItemCaseSensitive(o, "base");
        if (r->base == NULL && cJSON_IsObject(base)) {
            r->base = cJSON_PrintUnformatted(base);
        }
    }
    cJSON_Delete(o);
    return whole;
}

int journal_read(int journal_fd, const char *id, struct journal_record *ret, struct error *err)
{
    char name[LIMIT_ID_BYTES + 16];
    AUTO_BUF struct buf text = BUF_INIT(2 * (size_t)JOURNAL_BYTES);
    struct journal_record r = {.base = NULL};
    int rc = fs_read_at(journal_fd, file_name(id, name, sizeof(name)), &text, err);
    if (rc < 0 && rc != -EMSGSIZE) {
        return rc;
    }
    const char *at = buf_text(&text);
    const char *end = at + text.len;
    while (at < end) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        if (feed == NULL || !read_step(at, (size_t)(feed - at), &r)) {
            break;
        }
        at = feed + 1;
    }
    if (r.base == NULL) {
        journal_record_release(&r);
        return error_set(err, -EINVAL, "journal '%s' does not begin with a trigger", name);
    }
    *ret = r;
    return 0;
}

void journal_record_release(struct journal_record *r)
{
    free(r->base);
    r->base = NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static DIR *open_folder(int journal_fd)
{
    int copy = openat(journal_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return copy < 0 ? NULL : fdopendir(copy);
}

void journal_clean(int journal_fd)
{
    AUTO_DIR DIR *dir = open_folder(journal_fd);
    for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        size_t len = strlen(e->d_name);
        if (e->d_name[0] == '.' && len > 4 && strcmp(e->d_name + len - 4, ".tmp") == 0) {
            (void)unlinkat(journal_fd, e->d_name, 0);
        }
    }
}

char **journal_list(int journal_fd, struct error *err)
{
    AUTO_DIR DIR *dir = open_folder(journal_fd);
    if (dir == NULL) {
        int code = -errno;
        (void)error_errno(err, code, "cannot read the journal folder");
        return NULL;
    }
    char **ids = xcalloc(1, sizeof(*ids));
    size_t count = 0;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        size_t len = strlen(e->d_name);
        if (len <= strlen(suffix) || strcmp(e->d_name + len - strlen(suffix), suffix) != 0) {
            continue;
        }
        char *id = xstrdup(e->d_name);
        id[len - strlen(suffix)] = '\0';
        if (!fs_name_ok(id, LIMIT_ID_BYTES)) {
            free(id);
            continue;
        }
        ids = xrealloc(ids, count + 2, sizeof(*ids));
        ids[count++] = id;
        ids[count] = NULL;
    }
    qsort(ids, count, sizeof(*ids), by_text);
    return ids;
}

void journal_free_ids(char **ids)
{
    for (size_t i = 0; ids != NULL && ids[i] != NULL; i++) {
        free(ids[i]);
    }
    free(ids);
}

struct journal_writer {
    uv_work_t work;
    uv_loop_t *loop;
    int journal_fd;
    char id[LIMIT_ID_BYTES + 1];
    char *base; /* to be created with; NULL afterwards */
    int64_t wall_ms;
    struct buf pending; /* lines not handed to the pool yet */
    struct buf writing; /* lines the pool has */
    bool busy;
    bool removing; /* the pool removes */
    bool ending;
    bool remove;
    int status;
    struct error err;
    journal_done *created;
    void *created_arg;
    journal_done *ended;
    void *ended_arg;
};

static void write_in_pool(uv_work_t *work)
{
    struct journal_writer *w = work->data;
    if (w->base != NULL) {
        w->status = journal_create(w->journal_fd, w->id, w->base, w->wall_ms, &w->err);
    } else if (w->removing) {
        w->status = journal_remove(w->journal_fd, w->id, &w->err);
    } else {
        w->status =
            journal_append(w->journal_fd, w->id, buf_text(&w->writing), w->writing.len, &w->err);
    }
}

static void finish(struct journal_writer *w)
{
    if (w->ended != NULL) {
        w->ended(w->status, &w->err, w->ended_arg);
    }
    buf_release(&w->pending);
    buf_release(&w->writing);
    free(w->base);
    free(w);
}

static void written(uv_work_t *work, int status);

static void pump(struct journal_writer *w)
{
    if (w->busy) {
        return;
    }
    bool lines = w->pending.len > 0 && !w->removing;
    if (w->base == NULL && w->ending && (w->removing || (!lines && !w->remove))) {
        finish(w);
        return;
    }
    if (w->base == NULL && !lines && !w->ending) {
        return;
    }
    if (w->base == NULL && (w->ending && w->remove)) {
        w->removing = true; /* what is pending explains nothing any more */
    } else if (w->base == NULL) {
        struct buf swap = w->writing;
        w->writing = w->pending;
        w->pending = swap;
        buf_clear(&w->pending);
    }
    w->busy = true;
    w->err = (struct error)ERROR_INIT;
    (void)uv_queue_work(w->loop, &w->work, write_in_pool, written);
}

static void written(uv_work_t *work, int status)
{
    struct journal_writer *w = work->data;
    (void)status;
    buf_clear(&w->writing);
    if (w->base != NULL) {
        free(take_ptr(w->base));
        if (w->created != NULL) {
            w->created(w->status, &w->err, w->created_arg); /* busy: may end the writer */
        }
    }
    w->busy = false;
    pump(w);
}

struct journal_writer *journal_writer_new(uv_loop_t *loop, int journal_fd, const char *id)
{
    struct journal_writer *w = xcalloc(1, sizeof(*w));
    w->loop = loop;
    w->journal_fd = journal_fd;
    w->work.data = w;
    (void)snprintf(w->id, sizeof(w->id), "%s", id);
    buf_init(&w->pending, JOURNAL_BYTES);
    buf_init(&w->writing, JOURNAL_BYTES);
    return w;
}

void journal_writer_create(struct journal_writer *w, const char *base, int64_t wall_ms,
                           journal_done *created, void *arg)
{
    w->base = xstrdup(base);
    w->wall_ms = wall_ms;
    w->created = created;
    w->created_arg = arg;
    pump(w);
}

void journal_writer_step(struct journal_writer *w, const char *step, int64_t wall_ms,
                         const char *text)
{
    AUTO_BUF struct buf line = BUF_INIT(4096);
    (void)buf_addf(&line, "{\"step\":\"%s\",\"wall_ms\":%lld", step, (long long)wall_ms);
    if (text != NULL) {
        (void)buf_add_text(&line, ",\"text\":\"");
        (void)buf_add_json(&line, text);
        (void)buf_add_char(&line, '"');
    }
    (void)buf_add_text(&line, "}\n");
    if (!buf_failed(&line)) {
        (void)buf_add(&w->pending, buf_text(&line), line.len);
    }
    pump(w);
}

void journal_writer_end(struct journal_writer *w, bool remove, journal_done *ended, void *arg)
{
    w->ending = true;
    w->remove = remove;
    w->ended = ended;
    w->ended_arg = arg;
    pump(w);
}
