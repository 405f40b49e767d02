/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>

#include "base/fs.h"
#include "watchdog/state.h"

struct place {
    char path[64];
    int fd;
    unsigned written;
};

static int open_place(void **state)
{
    struct place *p = xcalloc(1, sizeof(*p));
    (void)snprintf(p->path, sizeof(p->path), "/tmp/incidentd-state-XXXXXX");
    assert_non_null(mkdtemp(p->path));
    p->fd = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = p;
    return 0;
}

static int close_place(void **state)
{
    struct place *p = *state;
    (void)close(p->fd);
    assert_int_equal(fs_remove_tree(AT_FDCWD, p->path, NULL), 0);
    free(p);
    return 0;
}

static void absent_is_a_fresh_start(void **state)
{
    struct place *p = *state;
    struct state_texts t;
    assert_int_equal(state_load(p->fd, &t, NULL), 0);
    assert_null(t.incidents);
    assert_null(t.judge);
}

static void what_is_stored_is_loaded(void **state)
{
    struct place *p = *state;
    char incidents[] = "{\"a\":1}";
    char judge[] = "{\"b\":[2]}";
    const struct state_texts out = {incidents, judge};
    struct state_texts in;
    assert_int_equal(state_store(p->fd, &out, NULL), 0);
    assert_int_equal(state_load(p->fd, &in, NULL), 0);
    assert_string_equal(in.incidents, incidents);
    assert_string_equal(in.judge, judge);
    state_release(&in);
}

static void garbage_is_said_and_survived(void **state)
{
    struct place *p = *state;
    struct state_texts t;
    struct error err = ERROR_INIT;
    assert_int_equal(fs_replace_at(p->fd, "state.json", "{\"inc", 5, 0600, NULL), 0);
    assert_int_equal(state_load(p->fd, &t, &err), -EINVAL);
    assert_null(t.incidents);
    assert_string_equal(err.message, "'state.json' is not JSON, starting without it");
}

static void collect(struct state_texts *ret, void *arg)
{
    (void)arg;
    ret->incidents = xstrdup("{\"n\":1}");
}

static void done(int status, const struct error *err, void *arg)
{
    struct place *p = arg;
    (void)err;
    assert_int_equal(status, 0);
    p->written++;
}

static void changes_are_written_together(void **state)
{
    struct place *p = *state;
    uv_loop_t loop;
    struct state_texts t;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct state_writer *w = state_writer_new(&loop, p->fd, collect, done, p);
    for (int i = 0; i < 100; i++) {
        state_writer_touch(w);
    }
    assert_true(state_writer_busy(w));
    while (state_writer_busy(w)) {
        (void)uv_run(&loop, UV_RUN_ONCE);
    }
    assert_int_equal(p->written, 1);
    state_writer_touch(w);
    state_writer_stop(w); /* writes what is pending at once */
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(state_load(p->fd, &t, NULL), 0);
    assert_string_equal(t.incidents, "{\"n\":1}");
    state_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(absent_is_a_fresh_start, open_place, close_place),
        cmocka_unit_test_setup_teardown(what_is_stored_is_loaded, open_place, close_place),
        cmocka_unit_test_setup_teardown(garbage_is_said_and_survived, open_place, close_place),
        cmocka_unit_test_setup_teardown(changes_are_written_together, open_place, close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
