/* SPDX-License-Identifier: Apache-2.0 */
/*
 * incidentd-fetch: one GET to standard output. Runs with network and without privileges.
 */
#include "watchdog/fetch.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>

static const char usage[] = "usage: incidentd-fetch [--timeout-ms N] [--max-bytes N] "
                            "[--retry-busy-ms N] URL\n"
                            "Ends 0 done, 2 busy, 3 HTTP status, 4 connection, 5 timed out, "
                            "6 too large, 1 usage.\n";

static bool number(const char *text, int64_t *ret)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 0) {
        return false;
    }
    *ret = value;
    return true;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {{"timeout-ms", required_argument, NULL, 't'},
                                          {"max-bytes", required_argument, NULL, 'b'},
                                          {"retry-busy-ms", required_argument, NULL, 'r'},
                                          {NULL, 0, NULL, 0}};
    struct fetch_options o = {.timeout_ms = 10000, .max_bytes = 64 << 20};
    bool fine = true;
    for (int c = getopt_long(argc, argv, "", names, NULL); c != -1;
         c = getopt_long(argc, argv, "", names, NULL)) {
        int64_t *field = c == 't'   ? &o.timeout_ms
                         : c == 'b' ? &o.max_bytes
                         : c == 'r' ? &o.retry_busy_ms
                                    : NULL;
        fine = fine && field != NULL && number(optarg, field);
    }
    if (!fine || optind + 1 != argc || o.timeout_ms == 0) {
        (void)fputs(usage, stderr);
        return FETCH_USAGE;
    }
    o.url = argv[optind];
    (void)signal(SIGPIPE, SIG_IGN);
    struct error err = ERROR_INIT;
    enum fetch_end end = fetch_run(&o, STDOUT_FILENO, &err);
    if (end != FETCH_DONE) {
        (void)fprintf(stderr, "%s\n", err.message);
    }
    return (int)end;
}
