/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd.h: the verbs of `incidentctl`, one file cmd_<verb>.c each, one row each in its table.
 *
 * A verb gets its own name as argv[0] and its arguments after it. It prints its result on stdout,
 * what went wrong on stderr, and returns the exit status: 0 done, 1 failed, 2 wrong usage.
 */
#ifndef WATCHDOG_CMD_H
#define WATCHDOG_CMD_H

struct cmd {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *usage;   /* arguments after the verb: "FILE" */
    const char *summary; /* one line for `incidentctl help` */
};

/* Preparing: no daemon needed. */
int cmd_check(int argc, char **argv);      /* FILE: every problem of a configuration */
int cmd_init(int argc, char **argv);       /* URL: a first configuration on stdout */
int cmd_collectors(int argc, char **argv); /* [NAME]: the reference of the collectors */

/* On call: ask the running daemon over HTTP. */
int cmd_ls(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_get(int argc, char **argv);
int cmd_capture(int argc, char **argv);
int cmd_pin(int argc, char **argv);
int cmd_unpin(int argc, char **argv);
int cmd_rm(int argc, char **argv);
int cmd_rules(int argc, char **argv);

#endif
