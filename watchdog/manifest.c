/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest.c: three accounts of one capture, joined.
 *
 * base.json is the brain's and trusted, or without it trigger.json, which says the
 * same of the moment the rule fired; meta is the collectors' word about their runs; the files are
 * what really lies there. Where they disagree the files win and the manifest says so: a file
 * nobody reported is "partial" with "no record of its end", a reported file that is not there keeps
 * its record with size 0. Every member of the bundle but the manifest itself stands in "artifacts"
 * or, for what no collector wrote (report.json, metrics), in "files", with its SHA-256.
 */
#include "watchdog/manifest.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/limits.h"

#include <errno.h>

/* Marks the capture partial, keeping the reason the brain gave. */
static void mark_partial(cJSON *m, const char *why)
{
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(m, "partial"))) {
        return;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(m, "partial");
    cJSON_DeleteItemFromObjectCaseSensitive(m, "partial_why");
    (void)cJSON_AddTrueToObject(m, "partial");
    (void)cJSON_AddStringToObject(m, "partial_why", why);
}

/* With the records and LIMIT_ARTIFACTS files it stays below JSON_VALUES_MAX, which the brain asks
 * for. */
enum { BASE_VALUES_MAX = 20000 };

/* An object of that name in staging; `ret` is 0 or why there is none. */
static cJSON *read_object(int dir_fd, const char *name, int *ret)
{
    AUTO_BUF struct buf text = BUF_INIT(LIMIT_MANIFEST_BYTES);
    AUTO_CLOSE int fd = seal_files_open(dir_fd, name, NULL);
    *ret = fd < 0 ? fd : fs_read_fd(fd, &text, NULL);
    bool bomb = json_values(buf_text(&text), text.len) > BASE_VALUES_MAX;
    cJSON *o = *ret < 0 || bomb ? NULL : cJSON_ParseWithLength(buf_text(&text), text.len);
    if (cJSON_IsObject(o)) {
        return o;
    }
    cJSON_Delete(o);
    *ret = *ret < 0 ? *ret : -EINVAL;
    return NULL;
}

/* The same, when it is about `id`: a collector can write there as well. */
static cJSON *read_own(int dir_fd, const char *name, const char *id, int *ret)
{
    cJSON *o = read_object(dir_fd, name, ret);
    const cJSON *own = cJSON_GetObjectItemCaseSensitive(o, "id");
    if (o != NULL && (!cJSON_IsString(own) || strcmp(own->valuestring, id) != 0)) {
        cJSON_Delete(o);
        *ret = -EINVAL;
        return NULL;
    }
    return o;
}

/* The brain's part; without it, what was known when the rule fired, else what recovery could tell
 * from the name alone. */
static cJSON *read_base(int dir_fd, const char *id)
{
    static const char *const instead[] = {"trigger.json", "orphan.json"};
    int rc = 0;
    cJSON *base = read_own(dir_fd, "base.json", id, &rc);
    if (base != NULL) {
        return base;
    }
    const char *why = rc == -EINVAL ? "base.json is broken"
                                    : "base.json is missing: incidentd ended before it was written";
    for (size_t i = 0; i < ARRAY_LEN(instead) && base == NULL; i++) {
        base = read_own(dir_fd, instead[i], id, &rc);
    }
    if (base == NULL) {
        base = cJSON_CreateObject();
        (void)cJSON_AddNumberToObject(base, "schema_version", 1);
        (void)cJSON_AddStringToObject(base, "id", id);
    }
    mark_partial(base, why);
    return base;
}

static void set_text(cJSON *item, const char *name, const char *text)
{
    cJSON_DeleteItemFromObjectCaseSensitive(item, name);
    (void)cJSON_AddStringToObject(item, name, text);
}

/* The collector by the path: "perf" of "artifacts/perf/perf.data". */
static void name_by_path(const char *path, cJSON *item)
{
    char name[LIMIT_NAME_BYTES + 1];
    const char *start = path + strlen("artifacts/");
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(start, "/"), start);
    (void)cJSON_AddStringToObject(item, "collector", name);
}

/* An artifact's item: the record of its run, or a new one where there is none. */
static cJSON *item_of(const struct seal_file *f, const struct seal_meta *meta)
{
    cJSON *item =
        cJSON_DetachItemFromObjectCaseSensitive(meta->artifacts, f->path); /* each file once */
    if (item != NULL) {
        return item;
    }
    item = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(item, "path", f->path);
    name_by_path(f->path, item);
    (void)cJSON_AddStringToObject(item, "status", f->skip != NULL ? "skipped" : "partial");
    (void)cJSON_AddStringToObject(item, "error", "no record of its end");
    /* Nobody said how far it may go: the careful guess. */
    (void)cJSON_AddStringToObject(item, "sensitivity", "secret");
    return item;
}

static void add_file(const struct seal_file *f, const struct seal_meta *meta, cJSON *artifacts,
                     cJSON *others)
{
    bool artifact = strncmp(f->path, "artifacts/", 10) == 0;
    cJSON *item = artifact ? item_of(f, meta) : cJSON_CreateObject();
    if (!artifact) {
        (void)cJSON_AddStringToObject(item, "path", f->path);
    }
    (void)cJSON_AddNumberToObject(item, "size", (double)f->size);
    if (f->skip != NULL) {
        set_text(item, "status", "skipped");
        set_text(item, "error", f->skip);
    } else {
        (void)cJSON_AddStringToObject(item, "sha256", f->sha256);
    }
    if (f->note[0] != '\0') {
        set_text(item, "status", "partial");
        set_text(item, "error", f->note);
        cJSON_DeleteItemFromObjectCaseSensitive(item, "truncated");
        (void)cJSON_AddTrueToObject(item, "truncated");
    }
    (void)cJSON_AddItemToArray(artifact ? artifacts : others, item);
}

/* Records of what a run reported and that is not there. */
static void add_absent(const struct seal_meta *meta, cJSON *artifacts)
{
    for (cJSON *item = meta->artifacts->child; item != NULL; item = meta->artifacts->child) {
        item = cJSON_DetachItemViaPointer(meta->artifacts, item);
        const cJSON *status = cJSON_GetObjectItemCaseSensitive(item, "status");
        (void)cJSON_AddNumberToObject(item, "size", 0);
        if (cJSON_IsString(status) && strcmp(status->valuestring, "ok") == 0) {
            set_text(item, "status", "failed");
            set_text(item, "error", "reported as written, but not there");
        }
        (void)cJSON_AddItemToArray(artifacts, item);
    }
}

static int print(cJSON *m, struct buf *out, struct error *err)
{
    char *text = cJSON_PrintUnformatted(m);
    if (text == NULL) {
        return error_set(err, -ENOMEM, "no memory for the manifest");
    }
    int rc = buf_add_text(out, text);
    rc = rc < 0 ? rc : buf_add_char(out, '\n');
    free(text);
    return rc < 0 ? error_set(err, rc, "the manifest is larger than its limit") : 0;
}

/* Argument vectors are what grows: without them the manifest fits. */
static void drop_argv(cJSON *artifacts)
{
    for (cJSON *item = artifacts->child; item != NULL; item = item->next) {
        cJSON_DeleteItemFromObjectCaseSensitive(item, "argv");
    }
}

static int write_with(int dir_fd, const char *id, const struct seal_files *files,
                      const struct seal_meta *meta, struct buf *out, struct error *err)
{
    cJSON *m = read_base(dir_fd, id);
    if (meta->interrupted > 0) {
        mark_partial(m, "a collector was interrupted: there is no record of its end");
    }
    if (meta->left_out) {
        mark_partial(m, "the records of the collectors are longer than their limit");
    }
    static const char *const ours[] = {"runs", "artifacts", "files", "files_left_off"};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        cJSON_DeleteItemFromObjectCaseSensitive(m, ours[i]);
    }
    (void)cJSON_AddItemToObject(m, "runs", cJSON_Duplicate(meta->runs, 1));
    cJSON *artifacts = cJSON_AddArrayToObject(m, "artifacts");
    cJSON *others = cJSON_AddArrayToObject(m, "files");
    for (size_t i = 0; i < files->count; i++) {
        add_file(&files->items[i], meta, artifacts, others);
    }
    add_absent(meta, artifacts);
    if (files->left_off > 0) {
        (void)cJSON_AddNumberToObject(m, "files_left_off", (double)files->left_off);
    }
    int rc = print(m, out, err);
    if (rc == -EMSGSIZE) {
        buf_clear(out);
        drop_argv(artifacts);
        rc = print(m, out, err);
    }
    cJSON_Delete(m);
    return rc;
}

int manifest_write(int dir_fd, const char *id, const struct seal_files *files,
                   const struct seal_meta *meta, struct buf *out, struct error *err)
{
    int rc = write_with(dir_fd, id, files, meta, out, err);
    if (rc == 0) {
        return 0;
    }
    /* A collector's records may be made to burst the manifest; they must not cost the bundle. */
    struct seal_meta none;
    seal_meta_none(&none);
    buf_clear(out);
    rc = write_with(dir_fd, id, files, &none, out, err);
    seal_meta_release(&none);
    return rc;
}
