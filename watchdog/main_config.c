/* SPDX-License-Identifier: Apache-2.0 */
/*
 * incidentd-config: the one program that parses YAML. No network, no capability, one shot.
 *
 *     incidentd-config NAME    3: the file, open for reading   4: the plan goes here   2: problems
 *
 * NAME is how the problems call the file. Exit status 0: the plan is written (warnings may stand on
 * stderr); 1: in its place stands the first problem as one line of text, for the answer to whoever
 * asked for a reload.
 */
#include "base/fs.h"
#include "base/limits.h"
#include "watchdog/config.h"
#include "watchdog/plan_build.h"

#include <errno.h>

enum { FILE_FD = 3, PLAN_FD = 4, ARENA_BYTES = 16 << 20 };

static int complain(const char *name, const struct error *err)
{
    char text[1024];
    (void)fprintf(stderr, "%s: error: %s\n", name, error_text(err, text, sizeof(text)));
    return err->code;
}

static int write_plan(const char *name, const struct config *c)
{
    AUTO_BUF struct buf plan = BUF_INIT(LIMIT_PLAN_BYTES);
    struct error err = ERROR_INIT;
    int rc = plan_build(c, &plan, &err);
    rc = rc < 0 ? rc : fs_write_all(PLAN_FD, plan.data, plan.len, &err);
    return rc < 0 ? complain(name, &err) : 0;
}

/* "name:line:column: message (hint), and 2 more" */
static void leave_problem(const char *name, const struct schema_doc *doc)
{
    AUTO_BUF struct buf line = BUF_INIT(2048);
    const struct diagnostic *first = NULL;
    for (size_t i = 0; (first = schema_problem(doc, i)) != NULL && first->warning; i++) {
    }
    if (first == NULL) {
        return;
    }
    (void)buf_addf(&line, "%s:%u:%u: %s", name, first->line, first->column, first->message);
    if (first->hint[0] != '\0') {
        (void)buf_addf(&line, " (%s)", first->hint);
    }
    size_t count = schema_problem_count(doc, false);
    if (count > 1) {
        (void)buf_addf(&line, ", and %zu more", count - 1);
    }
    (void)fs_write_all(PLAN_FD, line.data, line.len, NULL);
}

static int translate(const char *name)
{
    AUTO_BUF struct buf text = BUF_INIT(LIMIT_CONFIG_BYTES);
    AUTO_BUF struct buf problems = BUF_INIT(LIMIT_RESPONSE_BYTES);
    struct arena arena = ARENA_INIT(ARENA_BYTES);
    struct error err = ERROR_INIT;
    struct config config;
    int rc = fs_read_fd(FILE_FD, &text, &err);
    if (rc < 0) {
        return complain(name, &err);
    }
    struct schema_doc *doc = schema_doc_new(name, buf_text(&text), text.len);
    rc = config_load(doc, &arena, &config);
    schema_render(doc, &problems);
    (void)fputs(buf_text(&problems), stderr);
    if (rc == -ENOMEM) {
        (void)error_set(&err, rc, "the configuration needs too much memory");
        (void)complain(name, &err);
    }
    if (rc < 0) {
        leave_problem(name, doc);
    }
    rc = rc < 0 ? rc : write_plan(name, &config);
    schema_doc_free(doc);
    arena_release(&arena);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fputs("usage: incidentd-config NAME 3<FILE 4>PLAN\n"
                    "started by incidentd; to check a file, run 'incidentctl check FILE'\n",
                    stderr);
        return 1;
    }
    return translate(argv[1]) < 0 ? 1 : 0;
}
