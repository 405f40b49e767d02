/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "watchdog/staging.h"

struct place {
    char path[64];
    struct staging staging;
};

static const struct account same = {(uid_t)-1, (gid_t)-1};

static int open_place(void **state)
{
    struct place *p = xcalloc(1, sizeof(*p));
    (void)snprintf(p->path, sizeof(p->path), "/tmp/incidentd-staging-XXXXXX");
    assert_non_null(mkdtemp(p->path));
    assert_int_equal(staging_open(p->path, &same, &same, &p->staging, NULL), 0);
    *state = p;
    return 0;
}

static int close_place(void **state)
{
    struct place *p = *state;
    staging_close(&p->staging);
    assert_int_equal(fs_remove_tree(AT_FDCWD, p->path, NULL), 0);
    free(p);
    return 0;
}

static void a_second_daemon_is_told_who_holds_the_store(void **state)
{
    struct place *p = *state;
    struct staging other = STAGING_INIT;
    struct error err = ERROR_INIT;
    assert_int_equal(staging_open(p->path, &same, &same, &other, &err), -EBUSY);
    char pid[32];
    (void)snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
    assert_non_null(strstr(err.message, pid));
    assert_non_null(strstr(err.remedy, "store.path"));
}

static void adds_a_sealed_memfd_once(void **state)
{
    struct place *p = *state;
    AUTO_CLOSE int dir = staging_begin(&p->staging, "c1", NULL);
    AUTO_CLOSE int fd = fs_sealed_memfd("base", "{\"a\":1}", 7, NULL);
    assert_true(dir >= 0 && fd >= 0);
    assert_int_equal(staging_add(dir, "base.json", fd, NULL), 0);
    AUTO_BUF struct buf b = BUF_INIT(100);
    assert_int_equal(fs_read_at(dir, "base.json", &b, NULL), 0);
    assert_string_equal(buf_text(&b), "{\"a\":1}");
    assert_int_equal(staging_add(dir, "base.json", fd, NULL), -EEXIST);
}

static void a_half_written_one_of_an_interruption_is_replaced(void **state)
{
    struct place *p = *state;
    AUTO_CLOSE int dir = staging_begin(&p->staging, "c1", NULL);
    AUTO_CLOSE int fd = fs_sealed_memfd("base", "{\"a\":1}", 7, NULL);
    AUTO_CLOSE int half = openat(dir, ".base.json.tmp", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fs_write_all(half, "{\"a", 3, NULL), 0);
    assert_int_equal(staging_add(dir, "base.json", fd, NULL), 0);
    AUTO_BUF struct buf b = BUF_INIT(100);
    assert_int_equal(fs_read_at(dir, "base.json", &b, NULL), 0);
    assert_string_equal(buf_text(&b), "{\"a\":1}");
    assert_true(faccessat(dir, ".base.json.tmp", F_OK, 0) < 0);
}

static void does_not_add_what_could_still_change(void **state)
{
    struct place *p = *state;
    AUTO_CLOSE int dir = staging_begin(&p->staging, "c1", NULL);
    AUTO_CLOSE int file = openat(dir, "plain", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(staging_add(dir, "base.json", file, NULL), -EINVAL);
}

static void does_not_follow_a_link_or_a_path(void **state)
{
    struct place *p = *state;
    AUTO_CLOSE int dir = staging_begin(&p->staging, "c1", NULL);
    AUTO_CLOSE int fd = fs_sealed_memfd("base", "x", 1, NULL);
    AUTO_BUF struct buf lock = BUF_INIT(100);
    assert_int_equal(symlinkat("../../lock", dir, "base.json"), 0);
    assert_int_equal(staging_add(dir, "base.json", fd, NULL), 0);
    assert_int_equal(fs_read_at(p->staging.store_fd, "lock", &lock, NULL), 0);
    assert_int_equal(strtol(buf_text(&lock), NULL, 10), getpid());
    assert_int_equal(staging_add(dir, "../x", fd, NULL), -EINVAL);
    assert_int_equal(staging_begin(&p->staging, "../x", NULL), -EINVAL);
    assert_int_equal(staging_begin(&p->staging, "", NULL), -EINVAL);
    assert_int_equal(staging_discard(&p->staging, "..", NULL), -EINVAL);
}

static void lists_what_a_crash_left_and_discards_it(void **state)
{
    struct place *p = *state;
    static const char *const names[] = {"b", "a", "c"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_CLOSE int dir = staging_begin(&p->staging, names[i], NULL);
        assert_true(dir >= 0);
        assert_int_equal(fs_replace_at(dir, "file", "x", 1, 0600, NULL), 0);
    }
    char name[256];
    assert_int_equal(staging_at(&p->staging, 0, name, sizeof(name)), 0);
    assert_string_equal(name, "a");
    assert_int_equal(staging_at(&p->staging, 2, name, sizeof(name)), 0);
    assert_string_equal(name, "c");
    assert_int_equal(staging_discard(&p->staging, "c", NULL), 0);
    assert_int_equal(staging_at(&p->staging, 2, name, sizeof(name)), -ENOENT);
}

static void a_folder_is_for_its_owner_alone(void **state)
{
    struct place *p = *state;
    AUTO_CLOSE int dir = staging_begin(&p->staging, "c1", NULL);
    struct stat st = {0};
    assert_int_equal(fstat(dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(fstat(p->staging.fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

/* The folder of the store is the brain's: a hard link called "lock" must not be written through. */
static void a_lock_that_is_somebodys_file_is_left_alone(void **state)
{
    struct place *p = *state;
    char victim[96];
    (void)snprintf(victim, sizeof(victim), "%s/victim", p->path);
    assert_int_equal(fs_replace_at(p->staging.store_fd, "victim", "precious", 8, 0600, NULL), 0);
    assert_int_equal(unlinkat(p->staging.store_fd, "lock", 0), 0);
    assert_int_equal(linkat(p->staging.store_fd, "victim", p->staging.store_fd, "lock", 0), 0);
    struct staging other = STAGING_INIT;
    assert_int_equal(staging_open(p->path, &same, &same, &other, NULL), -EINVAL);
    AUTO_BUF struct buf b = BUF_INIT(100);
    assert_int_equal(fs_read_at(AT_FDCWD, victim, &b, NULL), 0);
    assert_string_equal(buf_text(&b), "precious");
}

/* A collector may have put something there first. */
static void what_is_added_takes_the_place_of_a_forgery(void **state)
{
    struct place *p = *state;
    AUTO_CLOSE int dir = staging_begin(&p->staging, "c1", NULL);
    AUTO_CLOSE int fd = fs_sealed_memfd("base", "ours", 4, NULL);
    assert_int_equal(mkdirat(dir, "folder.json", 0700), 0);
    assert_int_equal(mkdirat(dir, ".folder.json.tmp", 0700), 0);
    assert_int_equal(symlinkat("/etc/passwd", dir, "link.json"), 0);
    assert_int_equal(mkfifoat(dir, "fifo.json", 0600), 0);
    const char *names[] = {"folder.json", "link.json", "fifo.json", "other.json"};
    size_t count = ARRAY_LEN(names) - 1;
    if (geteuid() == 0) { /* a file of the work account */
        AUTO_CLOSE int out = openat(dir, "other.json", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(fchown(out, 65534, 65534), 0);
        count++;
    }
    for (size_t i = 0; i < count; i++) {
        AUTO_BUF struct buf b = BUF_INIT(100);
        assert_int_equal(staging_add(dir, names[i], fd, NULL), 0);
        assert_int_equal(fs_read_at(dir, names[i], &b, NULL), 0);
        assert_string_equal(buf_text(&b), "ours");
        assert_int_equal(staging_add(dir, names[i], fd, NULL), -EEXIST);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_second_daemon_is_told_who_holds_the_store, open_place,
                                        close_place),
        cmocka_unit_test_setup_teardown(adds_a_sealed_memfd_once, open_place, close_place),
        cmocka_unit_test_setup_teardown(a_half_written_one_of_an_interruption_is_replaced,
                                        open_place, close_place),
        cmocka_unit_test_setup_teardown(does_not_add_what_could_still_change, open_place,
                                        close_place),
        cmocka_unit_test_setup_teardown(does_not_follow_a_link_or_a_path, open_place, close_place),
        cmocka_unit_test_setup_teardown(lists_what_a_crash_left_and_discards_it, open_place,
                                        close_place),
        cmocka_unit_test_setup_teardown(a_folder_is_for_its_owner_alone, open_place, close_place),
        cmocka_unit_test_setup_teardown(a_lock_that_is_somebodys_file_is_left_alone, open_place,
                                        close_place),
        cmocka_unit_test_setup_teardown(what_is_added_takes_the_place_of_a_forgery, open_place,
                                        close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
