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
#include "watchdog/collect_file.h"
#include "watchdog/collect_meta.h"

static char folder[] = "/tmp/test_collect_file.XXXXXX";
static int dir_fd = -1;

static int setup(void **state)
{
    (void)state;
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)close(dir_fd);
    return fs_remove_tree(AT_FDCWD, folder, NULL);
}

static void creates_new_files_only_and_never_through_a_link(void **state)
{
    (void)state;
    int fd = collect_file_create(dir_fd, "before/status", NULL);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(collect_file_create(dir_fd, "before/status", NULL), -EEXIST);
    assert_int_equal(symlinkat("/tmp", dir_fd, "out"), 0);
    assert_true(collect_file_create(dir_fd, "out/x", NULL) < 0);
    assert_int_equal(symlinkat("/tmp/elsewhere", dir_fd, "file"), 0);
    assert_int_equal(collect_file_create(dir_fd, "file", NULL), -EEXIST);
    static const char *const bad[] = {"../x", "/x", "a/b/c", "", ".hidden", "a/../b", "a/"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(collect_file_create(dir_fd, bad[i], NULL), -EINVAL);
    }
}

static void count_one(void *arg, const char *name)
{
    (void)name;
    ++*(size_t *)arg;
}

static void finds_what_is_new_and_counts_what_is_left_out(void **state)
{
    (void)state;
    struct collect_file_set seen = {.names = NULL};
    size_t found = 0;
    (void)close(collect_file_create(dir_fd, "one", NULL));
    collect_file_scan(dir_fd, &seen, count_one, &found);
    assert_int_equal(found, 1);
    (void)close(collect_file_create(dir_fd, "sub/two", NULL));
    assert_int_equal(symlinkat("/etc/passwd", dir_fd, "link"), 0);
    assert_int_equal(mkfifoat(dir_fd, "pipe", 0600), 0);
    assert_int_equal(linkat(dir_fd, "one", dir_fd, "hard", 0), 0);
    collect_file_scan(dir_fd, &seen, count_one, &found);
    assert_int_equal(found, 2);
    assert_int_equal(seen.dropped, 4); /* link, pipe, and both names of the hard link */
    assert_int_equal(collect_file_size(dir_fd, "link"), -EINVAL);
    assert_int_equal(collect_file_size(dir_fd, "sub/two"), 0);
    collect_file_set_release(&seen);
}

static void writes_each_line_at_once(void **state)
{
    (void)state;
    static const struct collector_config config = {.name = "perf", .type = "perf"};
    static const char *const argv[] = {"perf", "a\"b", NULL};
    struct collect_meta m = COLLECT_META_INIT;
    AUTO_BUF struct buf text = BUF_INIT(4096);
    assert_int_equal(collect_meta_open(dir_fd, 7, &config, COLLECTOR_SAMPLE, &m, NULL), 0);
    assert_int_equal(fs_read_at(dir_fd, "meta/007-perf-sample.jsonl", &text, NULL), 0);
    assert_non_null(strstr(buf_text(&text), "{\"event\":\"start\",\"collector\":\"perf\""));
    struct collect_artifact a = {.name = "x", .status = COLLECT_SKIPPED, .error = "skip"};
    collect_meta_artifact(&m, &a);
    a = (struct collect_artifact){
        .name = "y", .status = COLLECT_FAILED, .error = "bad \"thing\"", .argv = argv};
    collect_meta_artifact(&m, &a);
    assert_string_equal(m.problem, "y: bad \"thing\"");
    assert_int_equal(m.counts[COLLECT_SKIPPED], 1);
    collect_meta_end(&m, WIRE_PARTIAL, "why");
    assert_int_equal(m.fd, -1);
    buf_clear(&text);
    assert_int_equal(fs_read_at(dir_fd, "meta/007-perf-sample.jsonl", &text, NULL), 0);
    assert_non_null(strstr(buf_text(&text), "\"path\":\"artifacts/perf/y\",\"status\":\"failed\""));
    assert_non_null(strstr(buf_text(&text), "\"argv\":[\"perf\",\"a\\\"b\"]}\n"));
    assert_non_null(strstr(buf_text(&text), "{\"event\":\"end\",\"outcome\":\"partial\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(creates_new_files_only_and_never_through_a_link, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(finds_what_is_new_and_counts_what_is_left_out, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(writes_each_line_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
