/* SPDX-License-Identifier: Apache-2.0 */
/*
 * incidentd-collect: one collector run, or one search for a process. Started by incidentd only;
 * docs/architecture.md has its descriptors.
 */
#include "watchdog/collect_copy.h"
#include "watchdog/collect_find.h"
#include "watchdog/collect_run.h"

#include <signal.h>

/* Where the fields of a wire message lie: the tests' own encoder checks itself against it. */
static int print_abi(void)
{
    (void)printf("find %d\nrun %d\nsize %zu\nstart_ticks %zu\nstarted_ms %zu\ncapture %zu\nname "
                 "%zu\ntext %zu\n",
                 WIRE_FIND, WIRE_RUN, sizeof(struct wire_message),
                 offsetof(struct wire_message, start_ticks),
                 offsetof(struct wire_message, started_ms), offsetof(struct wire_message, capture),
                 offsetof(struct wire_message, name), offsetof(struct wire_message, text));
    return 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    (void)signal(SIGPIPE, SIG_IGN);
    if (strcmp(mode, "run") == 0) {
        return collect_run_main();
    }
    if (strcmp(mode, "find") == 0) {
        return collect_find_main();
    }
    if (strcmp(mode, "copy") == 0) {
        return collect_copy_main(argc, argv);
    }
    if (strcmp(mode, "runtime") == 0) {
        return collect_find_runtime_main(argc, argv);
    }
    if (strcmp(mode, "--abi") == 0) {
        return print_abi();
    }
    (void)fputs("usage: incidentd-collect run|find, started by incidentd\n", stderr);
    return 2;
}
