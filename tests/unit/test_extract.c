/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/limits.h"
#include "watchdog/extract.h"
#include "watchdog/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

/* A bundle with report.json, as a memfd at its start. */
static int bundle(size_t *ret_size)
{
    char folder[] = "/tmp/extract.XXXXXX";
    assert_non_null(mkdtemp(folder));
    AUTO_CLOSE int dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(fs_replace_at(dir_fd, "report.json", "{\"a\":1}\n", 8, 0600, NULL), 0);
    AUTO_CLOSE int fd = memfd_create("bundle", MFD_CLOEXEC);
    AUTO_BUF struct buf manifest = BUF_INIT(LIMIT_MANIFEST_BYTES);
    struct pack_result r;
    assert_int_equal(pack_bundle(dir_fd, "cap", fd, &manifest, &r, NULL), 0);
    assert_int_equal(fs_remove_tree(AT_FDCWD, folder, NULL), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    *ret_size = (size_t)r.size;
    return take_fd(&fd);
}

static void gives_the_member_or_says_there_is_none(void **state)
{
    (void)state;
    size_t size = 0;
    AUTO_CLOSE int fd = bundle(&size);
    AUTO_CLOSE int out = memfd_create("out", MFD_CLOEXEC);
    AUTO_BUF struct buf text = BUF_INIT(100);
    assert_int_equal(extract_member(fd, "report.json", out, NULL), 0);
    assert_int_equal(lseek(out, 0, SEEK_SET), 0);
    assert_int_equal(fs_read_fd(out, &text, NULL), 0);
    assert_string_equal(buf_text(&text), "{\"a\":1}\n");
    static const char *const none[] = {"report.jso", "cap/report.json", "../report.json", ""};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(extract_member(fd, none[i], out, NULL), -ENOENT);
    }
}

static void a_bundle_cut_anywhere_is_broken(void **state)
{
    (void)state;
    size_t size = 0;
    AUTO_CLOSE int fd = bundle(&size);
    AUTO_CLOSE int out = memfd_create("out", MFD_CLOEXEC);
    for (size_t len = size - 8; len > 8; len = len * 2 / 3) {
        assert_int_equal(ftruncate(fd, (off_t)len), 0);
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        assert_int_equal(extract_member(fd, "no such member", out, NULL), -EBADMSG);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_member_or_says_there_is_none),
        cmocka_unit_test(a_bundle_cut_anywhere_is_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
