/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>

#include "base/fs.h"
#include "watchdog/journal.h"

struct place {
    char path[64];
    int fd;
    uv_loop_t loop;
    unsigned created;
    unsigned ended;
};

static const char id[] = "checkout_availability_20261124T083112.345Z_pod_a1b2";

static int open_place(void **state)
{
    struct place *p = xcalloc(1, sizeof(*p));
    (void)snprintf(p->path, sizeof(p->path), "/tmp/incidentd-journal-XXXXXX");
    assert_non_null(mkdtemp(p->path));
    p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(uv_loop_init(&p->loop), 0);
    *state = p;
    return 0;
}

static int close_place(void **state)
{
    struct place *p = *state;
    assert_int_equal(uv_loop_close(&p->loop), 0);
    (void)close(p->fd);
    assert_int_equal(fs_remove_tree(AT_FDCWD, p->path, NULL), 0);
    free(p);
    return 0;
}

static void the_trigger_is_read_back(void **state)
{
    struct place *p = *state;
    struct journal_record r;
    const char line[] = "{\"step\":\"phase\",\"wall_ms\":5,\"text\":\"dump\"}\n";
    assert_int_equal(journal_create(p->fd, id, "{\"id\":\"x\"}", 4, NULL), 0);
    assert_int_equal(journal_append(p->fd, id, line, strlen(line), NULL), 0);
    assert_int_equal(journal_read(p->fd, id, &r, NULL), 0);
    assert_string_equal(r.base, "{\"id\":\"x\"}");
    assert_string_equal(r.step, "phase");
    assert_string_equal(r.text, "dump");
    journal_record_release(&r);
}

static void a_torn_line_costs_itself_only(void **state)
{
    struct place *p = *state;
    struct journal_record r;
    const char torn[] = "{\"step\":\"run\",\"wal";
    assert_int_equal(journal_create(p->fd, id, "{\"id\":\"x\"}", 4, NULL), 0);
    assert_int_equal(journal_append(p->fd, id, torn, strlen(torn), NULL), 0);
    assert_int_equal(journal_read(p->fd, id, &r, NULL), 0);
    assert_string_equal(r.step, "trigger");
    journal_record_release(&r);
}

static void without_a_trigger_it_is_refused(void **state)
{
    struct place *p = *state;
    struct journal_record r;
    assert_int_equal(fs_replace_at(p->fd, "a.jsonl", "garbage\n", 8, 0600, NULL), 0);
    assert_int_equal(journal_read(p->fd, "a", &r, NULL), -EINVAL);
    assert_int_equal(journal_read(p->fd, "absent", &r, NULL), -ENOENT);
}

static void temporary_files_go_at_the_start_and_are_never_listed(void **state)
{
    struct place *p = *state;
    assert_int_equal(journal_create(p->fd, "b", "{}", 1, NULL), 0);
    assert_int_equal(journal_create(p->fd, "a", "{}", 1, NULL), 0);
    assert_int_equal(fs_replace_at(p->fd, "README", "x", 1, 0600, NULL), 0);
    assert_int_equal(close(openat(p->fd, ".c.jsonl.tmp", O_WRONLY | O_CREAT, 0600)), 0);
    assert_int_equal(close(openat(p->fd, ".d.jsonl", O_WRONLY | O_CREAT, 0600)), 0);
    char **ids = journal_list(p->fd, NULL);
    assert_non_null(ids);
    assert_string_equal(ids[0], "a");
    assert_string_equal(ids[1], "b");
    assert_null(ids[2]);
    journal_free_ids(ids);
    assert_int_equal(faccessat(p->fd, ".c.jsonl.tmp", F_OK, 0), 0);
    journal_clean(p->fd);
    assert_int_equal(faccessat(p->fd, ".c.jsonl.tmp", F_OK, 0), -1);
    assert_int_equal(faccessat(p->fd, "README", F_OK, 0), 0);
}

static void on_created(int status, const struct error *err, void *arg)
{
    struct place *p = arg;
    (void)err;
    assert_int_equal(status, 0);
    p->created++;
}

static void on_ended(int status, const struct error *err, void *arg)
{
    struct place *p = arg;
    (void)err;
    assert_int_equal(status, 0);
    assert_int_equal(p->created, 1);
    p->ended++;
}

static void the_writer_keeps_the_order(void **state)
{
    struct place *p = *state;
    struct journal_record r;
    struct journal_writer *w = journal_writer_new(&p->loop, p->fd, id);
    journal_writer_create(w, "{}", 1, on_created, p);
    for (int i = 0; i < 100; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "n%d", i);
        journal_writer_step(w, "run", i, text);
    }
    journal_writer_end(w, false, on_ended, p);
    (void)uv_run(&p->loop, UV_RUN_DEFAULT);
    assert_int_equal(p->ended, 1);
    assert_int_equal(journal_read(p->fd, id, &r, NULL), 0);
    assert_string_equal(r.text, "n99");
    journal_record_release(&r);
}

static void the_writer_removes_at_the_end(void **state)
{
    struct place *p = *state;
    struct journal_writer *w = journal_writer_new(&p->loop, p->fd, id);
    journal_writer_create(w, "{}", 1, on_created, p);
    journal_writer_step(w, "begun", 2, NULL);
    journal_writer_end(w, true, on_ended, p);
    (void)uv_run(&p->loop, UV_RUN_DEFAULT);
    assert_int_equal(p->ended, 1);
    struct journal_record r;
    assert_int_equal(journal_read(p->fd, id, &r, NULL), -ENOENT);
    w = journal_writer_new(&p->loop, p->fd, id); /* absent is fine */
    journal_writer_end(w, true, on_ended, p);
    (void)uv_run(&p->loop, UV_RUN_DEFAULT);
    assert_int_equal(p->ended, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_trigger_is_read_back, open_place, close_place),
        cmocka_unit_test_setup_teardown(a_torn_line_costs_itself_only, open_place, close_place),
        cmocka_unit_test_setup_teardown(without_a_trigger_it_is_refused, open_place, close_place),
        cmocka_unit_test_setup_teardown(temporary_files_go_at_the_start_and_are_never_listed,
                                        open_place, close_place),
        cmocka_unit_test_setup_teardown(the_writer_keeps_the_order, open_place, close_place),
        cmocka_unit_test_setup_teardown(the_writer_removes_at_the_end, open_place, close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
