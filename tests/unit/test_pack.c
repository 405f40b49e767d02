/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/limits.h"
#include "watchdog/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

static char folder[32];

static int make_folder(void)
{
    memcpy(folder, "/tmp/pack.XXXXXX", 17);
    assert_non_null(mkdtemp(folder));
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fs_replace_at(fd, "base.json", "{}", 2, 0600, NULL), 0);
    assert_int_equal(fs_replace_at(fd, "report.json", "{}\n", 3, 0600, NULL), 0);
    return fd;
}

static void pack_to(int dir_fd, int out_fd, struct pack_result *ret)
{
    AUTO_BUF struct buf manifest = BUF_INIT(LIMIT_MANIFEST_BYTES);
    assert_int_equal(pack_bundle(dir_fd, "cap", out_fd, &manifest, ret, NULL), 0);
    assert_non_null(strstr(buf_text(&manifest), "report.json"));
}

static void the_same_folder_gives_the_same_bundle(void **state)
{
    (void)state;
    AUTO_CLOSE int dir_fd = make_folder();
    AUTO_CLOSE int a_fd = memfd_create("a", MFD_CLOEXEC);
    AUTO_CLOSE int b_fd = memfd_create("b", MFD_CLOEXEC);
    struct pack_result a;
    struct pack_result b;
    pack_to(dir_fd, a_fd, &a);
    pack_to(dir_fd, b_fd, &b);
    assert_string_equal(a.sha256, b.sha256);
    struct stat st;
    assert_int_equal(fstat(a_fd, &st), 0);
    assert_int_equal(st.st_size, a.size);
    assert_int_equal(fs_remove_tree(AT_FDCWD, folder, NULL), 0);
}

static void a_full_disk_is_told(void **state)
{
    (void)state;
    AUTO_CLOSE int full_fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full_fd < 0) {
        skip();
    }
    AUTO_CLOSE int dir_fd = make_folder();
    AUTO_BUF struct buf manifest = BUF_INIT(LIMIT_MANIFEST_BYTES);
    struct pack_result r;
    struct error err = ERROR_INIT;
    assert_int_equal(pack_bundle(dir_fd, "cap", full_fd, &manifest, &r, &err), -ENOSPC);
    assert_non_null(strstr(err.message, "No space left"));
    assert_int_equal(fs_remove_tree(AT_FDCWD, folder, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_folder_gives_the_same_bundle),
        cmocka_unit_test(a_full_disk_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
