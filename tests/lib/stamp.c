/* SPDX-License-Identifier: Apache-2.0 */
/* stamp LABEL FILE: appends "LABEL NANOSECONDS" of CLOCK_REALTIME, taken first of all. What
 * benchmarks start as a collector. */
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct timespec t;
    char line[128];
    (void)clock_gettime(CLOCK_REALTIME, &t);
    if (argc != 3) {
        return 2;
    }
    int n = snprintf(line, sizeof(line), "%s %lld%09ld\n", argv[1], (long long)t.tv_sec, t.tv_nsec);
    int fd = open(argv[2], O_WRONLY | O_APPEND | O_CLOEXEC);
    return fd >= 0 && write(fd, line, (size_t)n) == n ? 0 : 1;
}
