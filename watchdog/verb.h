/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verb.h: the arguments of one verb of incidentctl, off one table per verb.
 *
 * Every verb that asks the daemon knows --server, --token-file, --json, --no-progress and --help;
 * a verb adds its own options.
 */
#ifndef WATCHDOG_VERB_H
#define WATCHDOG_VERB_H

#include "base/base.h"

enum { VERB_OPTIONS_MAX = 16, VERB_DONE = 0, VERB_FAILED = 1, VERB_USAGE = 2 };

struct verb_option {
    const char *name;  /* long name; NULL ends the table */
    char letter;       /* short name, 0: none */
    const char *value; /* name of its value in the help, NULL: a switch */
    const char *help;
    const char **text; /* where the value goes, or */
    bool *flag;        /* which switch is set */
};

struct verb {
    const char *name;
    const char *usage; /* "[ID|latest] [-o PATH]" */
    const char *summary;
    const char *example;  /* one command line */
    const char *fallback; /* the one positional argument when it is absent; NULL: it is required */
    bool bare;            /* takes no positional argument */
};

struct verb_common {
    const char *server; /* NULL: not given */
    const char *token_file;
    bool json;
    bool no_progress;
    const char *argument; /* the positional argument */
};

/* Parses `argv` (argv[0] is the verb). -1: go on with *ret; otherwise the exit status to end with:
 * 0 after --help, 2 after a wrong usage, which has been told on stderr. */
int verb_parse(int argc, char **argv, const struct verb *verb, const struct verb_option *own,
               struct verb_common *ret);

#endif
