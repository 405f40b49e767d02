/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>

#include "base/fs.h"
#include "watchdog/publish.h"
#include "watchdog/store.h"

struct place {
    char path[64];
    int fd;
    struct store store;
};

/* SHA-256 of "bundle" */
static const char sum[] = "1e6ed65d77d6364eeaed5a745ba5c4985ae2b700dd85d7cf7f027bdf294a33fc";

static int open_place(void **state)
{
    struct place *p = xcalloc(1, sizeof(*p));
    (void)snprintf(p->path, sizeof(p->path), "/tmp/incidentd-store-XXXXXX");
    assert_non_null(mkdtemp(p->path));
    p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(store_open(p->fd, &p->store, NULL), 0);
    *state = p;
    return 0;
}

static int close_place(void **state)
{
    struct place *p = *state;
    store_close(&p->store);
    (void)close(p->fd);
    assert_int_equal(fs_remove_tree(AT_FDCWD, p->path, NULL), 0);
    free(p);
    return 0;
}

static void put_file(const struct place *p, const char *name, const char *text)
{
    assert_int_equal(fs_replace_at(p->store.bundles_fd, name, text, strlen(text), 0600, NULL), 0);
}

static void put_bundle(const struct place *p, const char *id, int trigger_ms)
{
    char name[128];
    char text[1024];
    (void)snprintf(text, sizeof(text),
                   "{\"id\":\"%s\",\"incident\":\"i\",\"reason\":\"onset\",\"grade\":\"full\","
                   "\"partial\":true,\"trigger\":{\"wall_ms\":%d},\"rule\":{\"name\":\"r\","
                   "\"summary\":\"s\"},\"target\":{\"name\":\"t\"},"
                   "\"artifacts\":[{\"size\":5},{\"size\":7}]}",
                   id, trigger_ms);
    (void)snprintf(name, sizeof(name), "%s.manifest.json", id);
    put_file(p, name, text);
    (void)snprintf(name, sizeof(name), "%s.sha256", id);
    (void)snprintf(text, sizeof(text), "%s  %s.tar.zst\n", sum, id);
    put_file(p, name, text);
    (void)snprintf(name, sizeof(name), "%s.tar.zst", id);
    put_file(p, name, "bundle");
}

static void scan(struct place *p, struct store_index *ret)
{
    assert_int_equal(store_scan(p->store.bundles_fd, ret, NULL), 0);
}

static void sound_bundles_are_listed_newest_first(void **state)
{
    struct place *p = *state;
    struct store_index index;
    put_bundle(p, "b", 1000);
    put_bundle(p, "a", 3000);
    put_bundle(p, "c", 2000);
    put_file(p, "c.pin", "");
    scan(p, &index);
    assert_int_equal(index.count, 3);
    assert_int_equal(index.ignored, 0);
    assert_string_equal(index.entries[0].id, "a");
    assert_string_equal(index.entries[1].id, "c");
    assert_string_equal(index.entries[2].id, "b");
    assert_true(index.entries[1].pinned);
    assert_true(index.entries[0].partial);
    assert_int_equal(index.entries[0].grade, WATCH_FULL);
    assert_int_equal(index.entries[0].size_bytes, 6);
    assert_int_equal(index.entries[0].raw_bytes, 12);
    assert_string_equal(index.entries[0].sha256, sum);
    assert_string_equal(index.entries[0].target, "t");
    store_index_release(&index);
}

static void broken_and_foreign_files_are_left_alone(void **state)
{
    struct place *p = *state;
    struct store_index index;
    put_file(p, "no-manifest.tar.zst", "x");
    put_file(p, "notes.txt", "mine");
    put_bundle(p, "swapped", 1);
    put_file(p, "swapped.manifest.json", "{\"id\":\"another\"}");
    put_bundle(p, "deep", 1);
    put_file(p, "deep.manifest.json", "{\"id\":\"deep\"");
    assert_int_equal(symlinkat("/etc/passwd", p->store.bundles_fd, "link.tar.zst"), 0);
    scan(p, &index);
    assert_int_equal(index.count, 0);
    assert_int_equal(index.ignored, 5);
    assert_int_equal(faccessat(p->store.bundles_fd, "notes.txt", F_OK, 0), 0);
    assert_int_equal(faccessat(p->store.bundles_fd, "no-manifest.tar.zst", F_OK, 0), 0);
    store_index_release(&index);
}

static void temporary_files_of_a_crash_go(void **state)
{
    struct place *p = *state;
    struct store_index index;
    assert_int_equal(close(publish_open(p->store.bundles_fd, "x", NULL)), 0);
    scan(p, &index);
    assert_int_equal(index.temporary, 1);
    assert_int_equal(faccessat(p->store.bundles_fd, ".x.tmp", F_OK, 0), -1);
    store_index_release(&index);
}

static void adopt(struct place *p)
{
    struct store_index index;
    scan(p, &index);
    store_adopt(&p->store, &index);
}

static void pins_survive(void **state)
{
    struct place *p = *state;
    put_bundle(p, "a", 1);
    adopt(p);
    assert_int_equal(store_pin(&p->store, "a", true, NULL), 0);
    assert_true(store_find(&p->store, "a")->pinned);
    struct store_index index;
    scan(p, &index);
    assert_true(index.entries[0].pinned);
    store_index_release(&index);
    assert_int_equal(store_pin(&p->store, "a", false, NULL), 0);
    assert_int_equal(store_pin(&p->store, "../a", true, NULL), -ENOENT);
}

static void deleting_removes_all_its_files(void **state)
{
    struct place *p = *state;
    put_bundle(p, "a", 1);
    put_bundle(p, "b", 2);
    adopt(p);
    store_forget(&p->store, "a");
    assert_int_equal(store_unlink(p->store.bundles_fd, "a", NULL), 0);
    assert_int_equal(store_unlink(p->store.bundles_fd, "a", NULL), 0);
    assert_int_equal(store_unlink(p->store.bundles_fd, "../journal", NULL), -EINVAL);
    assert_null(store_find(&p->store, "a"));
    assert_non_null(store_find(&p->store, "b"));
    assert_false(store_listed(p->store.bundles_fd, "a"));
    assert_int_equal(faccessat(p->store.bundles_fd, "a.manifest.json", F_OK, 0), -1);
}

/* Publishes "bundle" as capture `id` with what the sealer says. */
static int publish(struct place *p, const char *id, const char *status, struct store_entry *e,
                   struct error *err)
{
    AUTO_CLOSE int fd = publish_open(p->store.bundles_fd, id, NULL);
    assert_int_equal(fs_write_all(fd, "bundle", 6, NULL), 0);
    const struct publish_request r = {.bundles_fd = p->store.bundles_fd,
                                      .packed_fd = fd,
                                      .id = id,
                                      .status = status,
                                      .status_len = strlen(status),
                                      .report = "{}",
                                      .report_len = 2,
                                      .now_ms = 5};
    return publish_bundle(&r, e, err);
}

static void only_what_the_sealer_wrote_is_listed(void **state)
{
    struct place *p = *state;
    struct store_entry e;
    struct error err = ERROR_INIT;
    assert_true(publish(p, "a", "", &e, &err) < 0);
    assert_true(publish(p, "a", "{\"ok\":false,\"error\":\"full\"}", &e, &err) < 0);
    assert_string_equal(err.message, "the sealer failed: full");
    assert_true(publish(p, "a",
                        "{\"ok\":true,\"sha256\":\"00\",\"size\":6,\"manifest\":{\"id\":\"a\"}}",
                        &e, &err) < 0);
    assert_string_equal(err.message, "the bundle is not what the sealer says it wrote");
    assert_false(store_listed(p->store.bundles_fd, "a"));
}

static void a_verified_bundle_is_listed_with_its_side_files(void **state)
{
    struct place *p = *state;
    struct store_entry e;
    struct error err = ERROR_INIT;
    const char good[] =
        "{\"ok\":true,\"sha256\":\"SUM\",\"size\":6,\"manifest\":{\"id\":\"a\",\"trigger\":{\"wall_"
        "ms\":9}}}";
    char status[512];
    (void)snprintf(status, sizeof(status), "%.*s%s%s", (int)(strstr(good, "SUM") - good), good, sum,
                   strstr(good, "SUM") + 3);
    assert_int_equal(publish(p, "a", status, &e, &err), 0);
    assert_true(store_listed(p->store.bundles_fd, "a"));
    assert_int_equal(e.trigger_ms, 9);
    assert_int_equal(e.size_bytes, 6);
    struct store_index index;
    scan(p, &index);
    assert_int_equal(index.count, 1);
    assert_string_equal(index.entries[0].sha256, e.sha256);
    store_index_release(&index);
    /* The manifest of another capture is refused. */
    assert_true(publish(p, "b", status, &e, &err) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sound_bundles_are_listed_newest_first, open_place,
                                        close_place),
        cmocka_unit_test_setup_teardown(broken_and_foreign_files_are_left_alone, open_place,
                                        close_place),
        cmocka_unit_test_setup_teardown(temporary_files_of_a_crash_go, open_place, close_place),
        cmocka_unit_test_setup_teardown(pins_survive, open_place, close_place),
        cmocka_unit_test_setup_teardown(deleting_removes_all_its_files, open_place, close_place),
        cmocka_unit_test_setup_teardown(only_what_the_sealer_wrote_is_listed, open_place,
                                        close_place),
        cmocka_unit_test_setup_teardown(a_verified_bundle_is_listed_with_its_side_files, open_place,
                                        close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
