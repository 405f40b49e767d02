/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/seal_files.h"

#include "base/buf.h"
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* Adds an entry; past the maxima it is only counted. Takes `path`. */
static int add(struct seal_files *files, char *path, const char *skip)
{
    size_t packed = files->count - files->skipped;
    if (skip == NULL ? packed >= LIMIT_ARTIFACTS : files->skipped >= SEAL_FILES_SKIPPED) {
        files->left_off++;
        free(path);
        return 0;
    }
    if (files->count == files->capacity) {
        files->capacity = files->capacity == 0 ? 64 : files->capacity * 2;
        files->items = xrealloc(files->items, files->capacity, sizeof(*files->items));
    }
    files->items[files->count++] = (struct seal_file){.path = path, .skip = skip};
    files->skipped += skip != NULL;
    return 0;
}

/* A path that can be printed and stand in JSON: everything odd becomes '?'. */
static char *printable(const char *prefix, const char *name)
{
    char *path = xasprintf("%s%.255s", prefix, name);
    for (char *c = path + strlen(prefix); *c != '\0'; c++) {
        if (*c < 0x21 || *c > 0x7e || *c == '"' || *c == '\\') {
            *c = '?';
        }
    }
    return path;
}

static const char *kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFLNK:
        return "a symbolic link is not followed";
    case S_IFIFO:
        return "a FIFO is not read";
    case S_IFSOCK:
        return "a socket is not read";
    default:
        return "not a regular file";
    }
}

static int list_below(int dir_fd, const char *prefix, unsigned depth, struct seal_files *files,
                      struct error *err);

/* What the manifest is made of, its own name, and what an interruption left half written are no
 * members. */
static bool is_own(const char *name)
{
    static const char *const own[] = {"meta", "base.json", "trigger.json", "orphan.json",
                                      "manifest.json"};
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        if (strcmp(name, own[i]) == 0) {
            return true;
        }
    }
    return name[0] == '.';
}

/* One entry of a directory: descends, adds, or notes why it stays out. */
static int list_entry(int dir_fd, const char *prefix, const char *name, unsigned depth,
                      struct seal_files *files, struct error *err)
{
    struct stat st = {0};
    if (prefix[0] == '\0' && is_own(name)) {
        return 0;
    }
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return add(files, printable(prefix, name), "it vanished");
    }
    if (!fs_name_ok(name, 255)) {
        return add(files, printable(prefix, name), "its name is not safe to carry on");
    }
    if (strlen(prefix) + strlen(name) + 2 > SEAL_FILES_PATH_BYTES) {
        return add(files, printable(prefix, name), "its path is too long");
    }
    if (S_ISREG(st.st_mode)) {
        return add(files, xasprintf("%s%s", prefix, name), NULL);
    }
    if (!S_ISDIR(st.st_mode)) {
        return add(files, printable(prefix, name), kind_of(st.st_mode));
    }
    if (depth >= SEAL_FILES_DEPTH) {
        return add(files, printable(prefix, name), "it lies too deep");
    }
    AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return add(files, printable(prefix, name), "the folder cannot be opened");
    }
    AUTO_FREE char *below = xasprintf("%s%s/", prefix, name);
    return list_below(fd, below, depth + 1, files, err);
}

/* Lists a directory in the order of its names, so that what is left off is the same each time. */
static int list_below(int dir_fd, const char *prefix, unsigned depth, struct seal_files *files,
                      struct error *err)
{
    struct dirent **entries = NULL;
    int count = scandirat(dir_fd, ".", &entries, NULL, alphasort);
    if (count < 0 && depth > 0) { /* a million names: that folder's loss, not the bundle's */
        return add(files, printable("", prefix), "the folder cannot be listed");
    }
    if (count < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot list '%s' in staging", prefix);
    }
    int rc = 0;
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        if (rc == 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
            rc = list_entry(dir_fd, prefix, name, depth, files, err);
        }
        free(entries[i]);
    }
    free(entries);
    return rc;
}

static int by_path(const void *a, const void *b)
{
    const struct seal_file *x = a;
    const struct seal_file *y = b;
    return strcmp(x->path, y->path);
}

int seal_files_list(int dir_fd, struct seal_files *ret, struct error *err)
{
    *ret = (struct seal_files){.items = NULL};
    int rc = list_below(dir_fd, "", 0, ret, err);
    if (rc == 0 && ret->count > 0) {
        qsort(ret->items, ret->count, sizeof(*ret->items), by_path);
    }
    if (rc < 0) {
        seal_files_release(ret);
    }
    return rc;
}

void seal_files_release(struct seal_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->items[i].path);
    }
    free(files->items);
    *files = (struct seal_files){.items = NULL};
}

int seal_files_open(int dir_fd, const char *path, struct error *err)
{
    AUTO_CLOSE int at = -1;
    const char *rest = path;
    for (;;) {
        char name[256];
        size_t len = strcspn(rest, "/");
        bool last = rest[len] == '\0';
        if (len >= sizeof(name)) {
            return error_set(err, -ENAMETOOLONG, "'%.60s...' is too long", path);
        }
        memcpy(name, rest, len);
        name[len] = '\0';
        if (!fs_name_ok(name, 255)) {
            return error_set(err, -EINVAL, "'%.200s' is not a safe path", path);
        }
        int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
        int next = openat(at >= 0 ? at : dir_fd, name, flags | (last ? 0 : O_DIRECTORY));
        if (next < 0) {
            int code = -errno;
            return error_errno(err, code, "cannot open '%.200s'", path);
        }
        if (at >= 0) {
            (void)close(at);
        }
        at = next;
        if (last) {
            break;
        }
        rest += len + 1;
    }
    struct stat st = {0};
    if (fstat(at, &st) < 0 || !S_ISREG(st.st_mode)) {
        return error_set(err, -EINVAL, "'%.200s' is not a regular file", path);
    }
    return take_fd(&at);
}
