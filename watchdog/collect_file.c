/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/collect_file.h"

#include "base/fs.h"
#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

enum { DEPTH_MAX = 1 };

int collect_file_create(int dir_fd, const char *name, struct error *err)
{
    const char *slash = strchr(name, '/');
    AUTO_CLOSE int folder_fd = -1;
    const char *last = name;
    if (slash != NULL) {
        char folder[COLLECT_FILE_NAME_MAX + 1];
        (void)snprintf(folder, sizeof(folder), "%.*s", (int)(slash - name), name);
        if (!fs_name_ok(folder, COLLECT_FILE_NAME_MAX)) {
            return error_set(err, -EINVAL, "'%s' is not a safe name", name);
        }
        folder_fd = fs_make_dir(dir_fd, folder, 0700, err);
        if (folder_fd < 0) {
            return folder_fd;
        }
        last = slash + 1;
    }
    if (!fs_name_ok(last, COLLECT_FILE_NAME_MAX)) {
        return error_set(err, -EINVAL, "'%s' is not a safe name", name);
    }
    int fd = openat(folder_fd >= 0 ? folder_fd : dir_fd, last,
                    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        int code = -errno;
        return error_errno(err, code, "cannot create '%s'", name);
    }
    return fd;
}

int64_t collect_file_size(int dir_fd, const char *name)
{
    struct stat st = {0};
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return -errno;
    }
    return S_ISREG(st.st_mode) ? (int64_t)st.st_size : -EINVAL;
}

void collect_file_set_release(struct collect_file_set *s)
{
    for (size_t i = 0; i < s->count; i++) {
        free(s->names[i]);
    }
    free(s->names);
    *s = (struct collect_file_set){.names = NULL};
}

bool collect_file_set_add(struct collect_file_set *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->names[i], name) == 0) {
            return false;
        }
    }
    if (s->count == LIMIT_ARTIFACTS) {
        s->dropped++;
        return false;
    }
    s->names = xrealloc(s->names, s->count + 1, sizeof(*s->names));
    s->names[s->count++] = xstrdup(name);
    return true;
}

struct scan {
    struct collect_file_set *set;
    void (*found)(void *arg, const char *name);
    void *arg;
};

static void scan_folder(int dir_fd, const char *prefix, const struct scan *scan, int depth);

static void scan_entry(int dir_fd, const char *entry, const char *prefix, const struct scan *scan,
                       int depth)
{
    struct stat st = {0};
    char name[2 * COLLECT_FILE_NAME_MAX + 2];
    bool known = fs_name_ok(entry, COLLECT_FILE_NAME_MAX) &&
                 fstatat(dir_fd, entry, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (known && S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
        (void)snprintf(name, sizeof(name), "%s/", entry);
        scan_folder(openat(dir_fd, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), name,
                    scan, depth + 1);
        return;
    }
    if (!known || !S_ISREG(st.st_mode) || st.st_nlink != 1) {
        scan->set->dropped++;
        return;
    }
    (void)snprintf(name, sizeof(name), "%s%s", prefix, entry);
    if (collect_file_set_add(scan->set, name) && scan->found != NULL) {
        scan->found(scan->arg, name);
    }
}

/* Takes the descriptor. */
static void scan_folder(int dir_fd, const char *prefix, const struct scan *scan, int depth)
{
    AUTO_DIR DIR *dir = dir_fd < 0 ? NULL : fdopendir(dir_fd);
    if (dir == NULL && dir_fd >= 0) {
        (void)close(dir_fd);
    }
    for (const struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir)) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            scan_entry(dirfd(dir), e->d_name, prefix, scan, depth);
        }
    }
}

void collect_file_scan(int dir_fd, struct collect_file_set *s,
                       void (*found)(void *arg, const char *name), void *arg)
{
    struct scan scan = {.set = s, .found = found, .arg = arg};
    s->dropped = 0;
    scan_folder(openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "", &scan, 0);
}
