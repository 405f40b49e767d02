/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/limits.h"
#include "watchdog/client.h"
#include "watchdog/manifest.h"

#include <fcntl.h>
#include <sys/stat.h>

struct folder {
    char path[32];
    int fd;
};

static int setup(void **state)
{
    struct folder *f = xcalloc(1, sizeof(*f));
    memcpy(f->path, "/tmp/manifest.XXXXXX", 21);
    assert_non_null(mkdtemp(f->path));
    f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f->fd >= 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct folder *f = *state;
    assert_int_equal(fs_remove_tree(AT_FDCWD, f->path, NULL), 0);
    (void)close(f->fd);
    free(f);
    return 0;
}

static void put(const struct folder *f, const char *name, const char *text)
{
    AUTO_CLOSE int fd = openat(f->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(fs_write_all(fd, text, strlen(text), NULL), 0);
}

static cJSON *manifest_of(const struct folder *f)
{
    struct seal_files files;
    struct seal_meta meta;
    AUTO_BUF struct buf out = BUF_INIT(LIMIT_MANIFEST_BYTES);
    assert_int_equal(seal_files_list(f->fd, &files, NULL), 0);
    seal_meta_read(f->fd, &meta);
    assert_int_equal(manifest_write(f->fd, "cap", &files, &meta, &out, NULL), 0);
    seal_meta_release(&meta);
    seal_files_release(&files);
    cJSON *m = cJSON_Parse(buf_text(&out));
    assert_non_null(m);
    return m;
}

static void a_lost_base_still_gives_a_partial_manifest(void **state)
{
    static const char *const broken[] = {NULL, "", "[1]", "{\"id\":", "\xff"};
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        if (broken[i] != NULL) {
            put(*state, "base.json", broken[i]);
        }
        cJSON *m = manifest_of(*state);
        assert_true(client_true(m, "partial"));
        assert_string_equal(client_text(m, "id"), "cap");
        assert_non_null(client_array(m, "artifacts"));
        cJSON_Delete(m);
    }
}

static void without_a_base_the_trigger_keeps_its_facts(void **state)
{
    const struct folder *f = *state;
    put(f, "orphan.json", "{\"id\":\"cap\",\"partial\":true,\"partial_why\":\"no journal\"}");
    cJSON *m = manifest_of(f);
    assert_string_equal(client_text(m, "partial_why"), "no journal");
    cJSON_Delete(m);
    put(f, "trigger.json", "{\"id\":\"cap\",\"partial\":false,\"incident\":\"in\"}");
    put(f, ".base.json.tmp", "{\"id\":");
    m = manifest_of(f);
    assert_true(client_true(m, "partial"));
    assert_non_null(strstr(client_text(m, "partial_why"), "base.json is missing"));
    assert_string_equal(client_text(m, "incident"), "in");
    assert_int_equal(cJSON_GetArraySize(client_array(m, "files")), 0);
    cJSON_Delete(m);
    put(f, "base.json", "{\"id\":\"cap\",\"partial\":false}");
    m = manifest_of(f);
    assert_false(client_true(m, "partial"));
    cJSON_Delete(m);
}

static void joins_the_record_with_the_file(void **state)
{
    const struct folder *f = *state;
    (void)mkdirat(f->fd, "artifacts", 0700);
    (void)mkdirat(f->fd, "artifacts/perf", 0700);
    (void)mkdirat(f->fd, "meta", 0700);
    put(f, "base.json", "{\"id\":\"cap\",\"partial\":false}");
    put(f, "artifacts/perf/perf.data", "data");
    put(f, "artifacts/perf/stray", "?");
    put(f, "meta/000-perf-sample.jsonl",
        "{\"event\":\"start\",\"collector\":\"perf\",\"type\":\"perf\",\"phase\":\"sample\",\"mono_"
        "ms\":5}\n"
        "{\"event\":\"artifact\",\"path\":\"artifacts/perf/"
        "perf.data\",\"status\":\"ok\",\"sensitivity\":\"normal\"}\n"
        "{\"event\":\"artifact\",\"path\":\"artifacts/perf/gone\",\"status\":\"ok\"}\n"
        "{\"event\":\"end\",\"outcome\":\"done\",\"mono_ms\":9,\"text\":\"\"}\n");
    cJSON *m = manifest_of(f);
    const cJSON *artifacts = client_array(m, "artifacts");
    assert_int_equal(cJSON_GetArraySize(artifacts), 3);
    const cJSON *data = cJSON_GetArrayItem(artifacts, 0);
    assert_string_equal(client_text(data, "path"), "artifacts/perf/perf.data");
    assert_string_equal(client_text(data, "status"), "ok");
    assert_string_equal(client_text(data, "collector"), "perf");
    const cJSON *stray = cJSON_GetArrayItem(artifacts, 1);
    assert_string_equal(client_text(stray, "status"), "partial");
    assert_string_equal(client_text(stray, "error"), "no record of its end");
    const cJSON *gone = cJSON_GetArrayItem(artifacts, 2);
    assert_string_equal(client_text(gone, "status"), "failed");
    const cJSON *run = cJSON_GetArrayItem(client_array(m, "runs"), 0);
    assert_string_equal(client_text(run, "outcome"), "done");
    assert_false(client_true(m, "partial"));
    cJSON_Delete(m);
}

static void a_run_without_its_end_is_interrupted(void **state)
{
    const struct folder *f = *state;
    (void)mkdirat(f->fd, "meta", 0700);
    put(f, "base.json", "{\"id\":\"cap\",\"partial\":false}");
    put(f, "meta/000-perf-sample.jsonl",
        "{\"event\":\"start\",\"collector\":\"perf\",\"phase\":\"sample\",\"mono_ms\":5}\n"
        "{\"event\":\"artifact\",\"pa");
    cJSON *m = manifest_of(f);
    const cJSON *run = cJSON_GetArrayItem(client_array(m, "runs"), 0);
    assert_string_equal(client_text(run, "outcome"), "interrupted");
    assert_true(client_true(m, "partial"));
    cJSON_Delete(m);
}

static void nothing_odd_is_opened(void **state)
{
    const struct folder *f = *state;
    struct seal_files files;
    (void)mkdirat(f->fd, "artifacts", 0700);
    assert_int_equal(symlinkat("/etc/passwd", f->fd, "artifacts/link"), 0);
    assert_int_equal(mkfifoat(f->fd, "artifacts/fifo", 0600), 0);
    put(f, "artifacts/a\nb", "x");
    put(f, "artifacts/fine", "x");
    assert_int_equal(seal_files_list(f->fd, &files, NULL), 0);
    assert_int_equal(files.count, 4);
    assert_int_equal(files.skipped, 3);
    assert_string_equal(files.items[0].path, "artifacts/a?b");
    seal_files_release(&files);
    assert_true(seal_files_open(f->fd, "artifacts/link", NULL) < 0);
    assert_true(seal_files_open(f->fd, "artifacts/fifo", NULL) < 0);
    assert_true(seal_files_open(f->fd, "../etc/passwd", NULL) < 0);
    AUTO_CLOSE int fd = seal_files_open(f->fd, "artifacts/fine", NULL);
    assert_true(fd >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_lost_base_still_gives_a_partial_manifest, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(without_a_base_the_trigger_keeps_its_facts, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(joins_the_record_with_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_without_its_end_is_interrupted, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_odd_is_opened, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
