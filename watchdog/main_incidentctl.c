/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main_incidentctl.c: the table of verbs. Adding one: cmd_<verb>.c, its line in cmd.h, its row
 * here.
 */
#include "base/schema.h"
#include "watchdog/cmd.h"

#include <curl/curl.h>
#include <signal.h>

static const struct cmd table[] = {
    {"init", cmd_init, "URL", "a first configuration, guessed from a metrics page"},
    {"check", cmd_check, "FILE", "every problem of a configuration"},
    {"collectors", cmd_collectors, "[NAME]", "what can be collected, and its options"},
    {"ls", cmd_ls, "", "the captures, newest first"},
    {"show", cmd_show, "[ID|latest]", "what happened, and how to open the evidence"},
    {"get", cmd_get, "[ID|latest]", "download a bundle and verify it"},
    {"capture", cmd_capture, "TARGET", "capture now"},
    {"pin", cmd_pin, "ID", "keep a capture from being forgotten"},
    {"unpin", cmd_unpin, "ID", "let it be forgotten again"},
    {"rm", cmd_rm, "ID", "delete a capture"},
    {"rules", cmd_rules, "", "the rules' live state: counts, what would fire, what is missing"},
};

static void print_help(FILE *to)
{
    (void)fprintf(to, "usage: incidentctl VERB [ARGUMENTS]\n\n");
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char left[64];
        (void)snprintf(left, sizeof(left), "%s %s", table[i].name, table[i].usage);
        (void)fprintf(to, "  %-22s %s\n", left, table[i].summary);
    }
    (void)fprintf(to, "\n`incidentctl VERB --help` tells more. The daemon is found by --server, "
                      "$INCIDENTD_SERVER,\nor at http://127.0.0.1:9911.\n");
}

static int unknown(const char *word)
{
    const char *names[ARRAY_LEN(table) + 1] = {NULL};
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        names[i] = table[i].name;
    }
    const char *near = schema_nearest(word, names);
    (void)fprintf(stderr, "incidentctl: unknown verb '%s'", word);
    if (near != NULL) {
        (void)fprintf(stderr, ": did you mean '%s'?\n", near);
    } else {
        (void)fprintf(stderr, " (`incidentctl help` lists them)\n");
    }
    return 2;
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    const char *word = argv[1];
    if (strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_help(stdout);
        return 0;
    }
    if (strcmp(word, "--version") == 0) {
        (void)puts("incidentctl " INCIDENTD_VERSION);
        return 0;
    }
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(table[i].name, word) == 0) {
            return table[i].run(argc - 1, argv + 1);
        }
    }
    return unknown(word);
}
