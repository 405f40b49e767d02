/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cjson/cJSON.h>

#include "base/fs.h"

static const char bundle_suffix[] = ".tar.zst";

int store_open(int root_fd, struct store *ret, struct error *err)
{
    struct store s = {.root_fd = root_fd, .bundles_fd = -1, .journal_fd = -1};
    s.bundles_fd = fs_make_dir(root_fd, "bundles", 0700, err);
    s.journal_fd = s.bundles_fd < 0 ? -1 : fs_make_dir(root_fd, "journal", 0700, err);
    if (s.journal_fd < 0) {
        int rc = s.bundles_fd < 0 ? s.bundles_fd : s.journal_fd;
        store_close(&s);
        return rc;
    }
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    if (s->bundles_fd >= 0) {
        (void)close(take_fd(&s->bundles_fd));
    }
    if (s->journal_fd >= 0) {
        (void)close(take_fd(&s->journal_fd));
    }
    store_index_release(&s->index);
}

void store_index_release(struct store_index *index)
{
    free(index->entries);
    *index = (struct store_index){.entries = NULL};
}

static void copy_text(const cJSON *o, const char *name, char *out, size_t size)
{
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(o, name);
    (void)snprintf(out, size, "%s", cJSON_IsString(text) ? text->valuestring : "");
}

static int64_t number(const cJSON *o, const char *name)
{
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(o, name);
    bool sane = cJSON_IsNumber(n) && n->valuedouble > -9e15 && n->valuedouble < 9e15;
    return sane ? (int64_t)n->valuedouble : 0;
}

static void fill(const cJSON *root, struct store_entry *e)
{
    const cJSON *rule = cJSON_GetObjectItemCaseSensitive(root, "rule");
    const cJSON *target = cJSON_GetObjectItemCaseSensitive(root, "target");
    const cJSON *onset = cJSON_GetObjectItemCaseSensitive(root, "onset");
    const cJSON *trigger = cJSON_GetObjectItemCaseSensitive(root, "trigger");
    char grade[16];
    copy_text(root, "incident", e->incident, sizeof(e->incident));
    copy_text(root, "reason", e->reason, sizeof(e->reason));
    copy_text(root, "grade", grade, sizeof(grade));
    e->grade = strcmp(grade, "full") == 0 ? WATCH_FULL : WATCH_LIGHT;
    e->partial = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(root, "partial"));
    copy_text(target, "name", e->target, sizeof(e->target));
    copy_text(rule, "name", e->rule, sizeof(e->rule));
    copy_text(rule, "summary", e->summary, sizeof(e->summary));
    e->onset_ms = number(onset, "wall_ms");
    e->trigger_ms = number(trigger, "wall_ms");
    const cJSON *artifact = NULL;
    cJSON_ArrayForEach(artifact, cJSON_GetObjectItemCaseSensitive(root, "artifacts"))
    {
        e->raw_bytes += number(artifact, "size");
    }
}

int store_manifest(const char *json, size_t len, const char *id, struct store_entry *ret,
                   struct error *err)
{
    struct store_entry e = {.grade = WATCH_NONE};
    cJSON *root = len > LIMIT_MANIFEST_BYTES ? NULL : cJSON_ParseWithLength(json, len);
    copy_text(root, "id", e.id, sizeof(e.id));
    int rc = 0;
    if (!cJSON_IsObject(root)) {
        rc = error_set(err, -EINVAL, "the manifest is not JSON");
    } else if (strcmp(e.id, id) != 0) {
        rc = error_set(err, -EINVAL, "the manifest is that of another capture");
    } else {
        fill(root, &e);
        *ret = e;
    }
    cJSON_Delete(root);
    return rc;
}

static char *file_name(char *out, size_t size, const char *id, const char *suffix)
{
    (void)snprintf(out, size, "%s%s", id, suffix);
    return out;
}

bool store_listed(int bundles_fd, const char *id)
{
    char name[LIMIT_ID_BYTES + 24];
    return faccessat(bundles_fd, file_name(name, sizeof(name), id, bundle_suffix), F_OK,
                     AT_SYMLINK_NOFOLLOW) == 0;
}

/* Reads one bundle's side files into `ret`. */
static int read_entry(int bundles_fd, const char *id, struct store_entry *ret, struct error *err)
{
    char name[LIMIT_ID_BYTES + 24];
    struct stat st = {0};
    if (fstatat(bundles_fd, file_name(name, sizeof(name), id, bundle_suffix), &st,
                AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(st.st_mode)) {
        return error_set(err, -EINVAL, "not a regular file");
    }
    AUTO_BUF struct buf text = BUF_INIT(LIMIT_MANIFEST_BYTES);
    int rc =
        fs_read_at(bundles_fd, file_name(name, sizeof(name), id, ".manifest.json"), &text, err);
    if (rc == 0) {
        rc = store_manifest(buf_text(&text), text.len, id, ret, err);
    }
    if (rc < 0) {
        return rc;
    }
    ret->size_bytes = st.st_size;
    ret->sealed_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    ret->pinned = faccessat(bundles_fd, file_name(name, sizeof(name), id, ".pin"), F_OK, 0) == 0;
    AUTO_BUF struct buf sum = BUF_INIT(512);
    rc = fs_read_at(bundles_fd, file_name(name, sizeof(name), id, ".sha256"), &sum, err);
    if (rc < 0) {
        return rc;
    }
    if (sum.len < 64 || strspn(buf_text(&sum), "0123456789abcdef") != 64) {
        return error_set(err, -EINVAL, "its .sha256 is not a checksum");
    }
    memcpy(ret->sha256, buf_text(&sum), 64);
    ret->sha256[64] = '\0';
    return 0;
}

static void ignore(struct store_index *index, const char *name, const char *why)
{
    if (index->ignored++ == 0) {
        (void)snprintf(index->ignored_first, sizeof(index->ignored_first), "'%.200s': %.100s", name,
                       why);
    }
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t len = strlen(name);
    size_t tail = strlen(suffix);
    return len > tail && strcmp(name + len - tail, suffix) == 0;
}

static void scan_one(int bundles_fd, const char *name, struct store_index *index)
{
    static const char *const beside[] = {".manifest.json", ".report.json", ".sha256", ".pin"};
    if (name[0] == '.') {
        if (ends_with(name, ".tmp") && unlinkat(bundles_fd, name, 0) == 0) {
            index->temporary++;
        }
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(beside); i++) {
        if (ends_with(name, beside[i])) {
            return;
        }
    }
    char id[LIMIT_ID_BYTES + 1];
    struct store_entry e;
    struct error err = ERROR_INIT;
    size_t len = strlen(name);
    if (!ends_with(name, bundle_suffix) || len - strlen(bundle_suffix) > LIMIT_ID_BYTES) {
        ignore(index, name, "not a bundle");
        return;
    }
    (void)snprintf(id, sizeof(id), "%.*s", (int)(len - strlen(bundle_suffix)), name);
    if (!fs_name_ok(id, LIMIT_ID_BYTES)) {
        ignore(index, name, "not a bundle's name");
    } else if (read_entry(bundles_fd, id, &e, &err) < 0) {
        ignore(index, name, err.message);
    } else {
        index->entries = xrealloc(index->entries, index->count + 1, sizeof(e));
        index->entries[index->count++] = e;
    }
}

/* Newest trigger first, then by id, so that the order never depends on the folder's. */
static int by_trigger(const void *a, const void *b)
{
    const struct store_entry *x = a;
    const struct store_entry *y = b;
    if (x->trigger_ms != y->trigger_ms) {
        return x->trigger_ms > y->trigger_ms ? -1 : 1;
    }
    return strcmp(y->id, x->id);
}

static void sort(struct store_index *index)
{
    if (index->count > 1) {
        qsort(index->entries, index->count, sizeof(*index->entries), by_trigger);
    }
}

int store_scan(int bundles_fd, struct store_index *ret, struct error *err)
{
    *ret = (struct store_index){.entries = NULL};
    int copy = openat(bundles_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_DIR DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (dir == NULL) {
        int code = -errno;
        return error_errno(err, code, "cannot read the folder of bundles");
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        scan_one(bundles_fd, e->d_name, ret);
    }
    sort(ret);
    return 0;
}

static struct store_entry *find(const struct store *s, const char *id)
{
    for (size_t i = 0; i < s->index.count; i++) {
        if (strcmp(s->index.entries[i].id, id) == 0) {
            return &s->index.entries[i];
        }
    }
    return NULL;
}

const struct store_entry *store_find(const struct store *s, const char *id)
{
    return find(s, id);
}

void store_put(struct store *s, const struct store_entry *entry)
{
    struct store_entry *there = find(s, entry->id);
    if (there == NULL) {
        s->index.entries =
            xrealloc(s->index.entries, s->index.count + 1, sizeof(*s->index.entries));
        there = &s->index.entries[s->index.count++];
    }
    *there = *entry;
    sort(&s->index);
}

void store_adopt(struct store *s, struct store_index *scanned)
{
    for (size_t i = 0; i < scanned->count; i++) {
        if (find(s, scanned->entries[i].id) == NULL) {
            store_put(s, &scanned->entries[i]);
        }
    }
    store_index_release(scanned);
}

void store_forget(struct store *s, const char *id)
{
    struct store_entry *e = find(s, id);
    if (e != NULL) {
        size_t after = s->index.count - (size_t)(e - s->index.entries) - 1;
        memmove(e, e + 1, after * sizeof(*e));
        s->index.count--;
    }
}

int store_unlink(int bundles_fd, const char *id, struct error *err)
{
    static const char *const suffixes[] = {".tar.zst", ".manifest.json", ".report.json", ".sha256",
                                           ".pin"};
    char name[LIMIT_ID_BYTES + 24];
    if (!fs_name_ok(id, LIMIT_ID_BYTES)) {
        return error_set(err, -EINVAL, "not the name of a bundle");
    }
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (unlinkat(bundles_fd, file_name(name, sizeof(name), id, suffixes[i]), 0) < 0 &&
            errno != ENOENT) {
            int code = -errno;
            return error_errno(err, code, "cannot remove '%s'", name);
        }
        if (i == 0) {
            (void)fsync(bundles_fd); /* unlisted before its side files go */
        }
    }
    return 0;
}

int store_pin(struct store *s, const char *id, bool pin, struct error *err)
{
    char name[LIMIT_ID_BYTES + 24];
    struct store_entry *e = find(s, id);
    if (e == NULL) {
        return error_set(err, -ENOENT, "no bundle '%s'", id);
    }
    (void)file_name(name, sizeof(name), id, ".pin");
    int rc = 0;
    if (pin) {
        rc = fs_replace_at(s->bundles_fd, name, "", 0, 0600, err);
    } else if (unlinkat(s->bundles_fd, name, 0) < 0 && errno != ENOENT) {
        int code = -errno;
        rc = error_errno(err, code, "cannot unpin '%s'", id);
    }
    if (rc == 0) {
        e->pinned = pin;
    }
    return rc;
}

int64_t store_bytes(const struct store *s)
{
    int64_t sum = 0;
    for (size_t i = 0; i < s->index.count; i++) {
        sum += s->index.entries[i].size_bytes;
    }
    return sum;
}
