/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/seal_meta.h"

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"
#include "watchdog/seal_files.h"

#include <errno.h>
#include <fcntl.h>

/* All records together: what is longer than a manifest cannot stand in one, and each byte may
 * become a node of some eighty. A capture has some hundred runs. */
enum {
    META_FILE_BYTES = 1 << 20,
    META_BYTES = 2 << 20,
    META_FILES_MAX = 4096,
    RUNS_MAX = 2048,
    VALUES_MAX = 200000
};

static const char *text_of(const cJSON *object, const char *name, const char *fallback)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : fallback;
}

/* Copies `from.name`, when it has it, to `to.as`. */
static void copy(const cJSON *from, const char *name, cJSON *to, const char *as)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(from, name);
    if (item != NULL) {
        (void)cJSON_AddItemToObject(to, as, cJSON_Duplicate(item, 1));
    }
}

static cJSON *start_run(struct seal_meta *meta, const cJSON *line)
{
    if (cJSON_GetArraySize(meta->runs) >= RUNS_MAX) {
        meta->left_out = true;
        return NULL;
    }
    cJSON *run = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(run, "collector", text_of(line, "collector", "?"));
    (void)cJSON_AddStringToObject(run, "type", text_of(line, "type", ""));
    (void)cJSON_AddStringToObject(run, "phase", text_of(line, "phase", ""));
    (void)cJSON_AddStringToObject(run, "outcome", "interrupted");
    (void)cJSON_AddStringToObject(run, "text", "no record of its end");
    copy(line, "mono_ms", run, "started_mono_ms");
    (void)cJSON_AddItemToArray(meta->runs, run);
    return run;
}

static void end_run(const cJSON *line, cJSON *run)
{
    (void)cJSON_ReplaceItemInObjectCaseSensitive(
        run, "outcome", cJSON_CreateString(text_of(line, "outcome", "failed")));
    (void)cJSON_ReplaceItemInObjectCaseSensitive(run, "text",
                                                 cJSON_CreateString(text_of(line, "text", "")));
    copy(line, "mono_ms", run, "ended_mono_ms");
}

/* "artifacts/<name>/<name>...": readers of the manifest may make a path of it. */
static bool is_member(const char *path)
{
    char name[SEAL_FILES_PATH_BYTES];
    bool fine = strncmp(path, "artifacts/", 10) == 0 && strlen(path) < sizeof(name);
    for (const char *at = path; fine; at += strcspn(at, "/") + 1) {
        (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, "/"), at);
        fine = fs_name_ok(name, 255);
        if (at[strcspn(at, "/")] == '\0') {
            return fine;
        }
    }
    return false;
}

/* The last record of a path stands: a collector may report "partial" first and "ok" at the end. */
static void note_artifact(struct seal_meta *meta, const cJSON *line, const cJSON *run)
{
    static const char *const fields[] = {"status",    "started_mono_ms", "ended_mono_ms", "exit",
                                         "truncated", "error",           "sensitivity",   "argv"};
    const char *path = text_of(line, "path", "");
    if (!is_member(path) || cJSON_GetArraySize(meta->artifacts) >= LIMIT_ARTIFACTS) {
        meta->garbled++;
        return;
    }
    cJSON *item = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(item, "path", path);
    (void)cJSON_AddStringToObject(item, "collector", text_of(run, "collector", ""));
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        copy(line, fields[i], item, fields[i]);
    }
    cJSON_DeleteItemFromObjectCaseSensitive(meta->artifacts, path);
    (void)cJSON_AddItemToObject(meta->artifacts, path, item);
}

/* One line; `run` is the run its file has started so far. */
static void read_line(struct seal_meta *meta, const char *line, size_t len, cJSON **run)
{
    cJSON *json = cJSON_ParseWithLength(line, len);
    const char *event = text_of(json, "event", "");
    if (strcmp(event, "start") == 0) {
        *run = start_run(meta, json);
    } else if (strcmp(event, "artifact") == 0) {
        note_artifact(meta, json, *run);
    } else if (strcmp(event, "end") == 0 && *run != NULL) {
        end_run(json, *run);
    } else {
        meta->garbled++;
    }
    cJSON_Delete(json);
}

static void read_file(struct seal_meta *meta, int dir_fd, const char *name)
{
    AUTO_BUF struct buf text = BUF_INIT(META_FILE_BYTES);
    AUTO_CLOSE int fd = seal_files_open(dir_fd, name, NULL);
    int rc = fd < 0 ? fd : fs_read_fd(fd, &text, NULL);
    if (rc < 0) {
        meta->garbled++;
    }
    meta->bytes += text.len;
    meta->values += json_values(buf_text(&text), text.len);
    bool over = meta->bytes > META_BYTES || meta->values > VALUES_MAX;
    meta->left_out = meta->left_out || over || rc == -EMSGSIZE;
    if (over) {
        return;
    }
    cJSON *run = NULL;
    const char *at = buf_text(&text);
    const char *end = at + text.len;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = stop == NULL ? (size_t)(end - at) : (size_t)(stop - at);
        if (len > 0) {
            read_line(meta, at, len, &run);
        }
        at += len + 1;
    }
    if (run != NULL && strcmp(text_of(run, "outcome", ""), "interrupted") == 0) {
        meta->interrupted++;
    }
}

void seal_meta_none(struct seal_meta *ret)
{
    *ret = (struct seal_meta){
        .runs = cJSON_CreateArray(), .artifacts = cJSON_CreateObject(), .left_out = true};
}

void seal_meta_read(int dir_fd, struct seal_meta *ret)
{
    *ret = (struct seal_meta){.runs = cJSON_CreateArray(), .artifacts = cJSON_CreateObject()};
    AUTO_CLOSE int fd = openat(dir_fd, "meta", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct dirent **entries = NULL;
    int count = fd < 0 ? 0 : scandirat(fd, ".", &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        size_t len = strlen(name);
        if (i < META_FILES_MAX && len > 6 && strcmp(name + len - 6, ".jsonl") == 0) {
            read_file(ret, fd, name);
        }
        free(entries[i]);
    }
    free(entries);
}

void seal_meta_release(struct seal_meta *meta)
{
    cJSON_Delete(meta->runs);
    cJSON_Delete(meta->artifacts);
    *meta = (struct seal_meta){.runs = NULL};
}

int64_t seal_meta_started_ms(const struct seal_meta *meta, const char *path)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(meta->artifacts, path);
    const cJSON *started = cJSON_GetObjectItemCaseSensitive(item, "started_mono_ms");
    return cJSON_IsNumber(started) ? (int64_t)started->valuedouble : -1;
}
