/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/collect_runtime.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>

enum { SECTIONS_MAX = 512, NAMES_MAX_BYTES = 64 << 10, MAPS_MAX_LINES = 20000 };

const char *collect_runtime_name(enum collector_runtime runtime)
{
    static const char *const names[] = {"unknown", "go", "jvm", "node", "python", "native"};
    return (unsigned)runtime < ARRAY_LEN(names) ? names[runtime] : "unknown";
}

static bool read_at(int fd, void *out, size_t len, uint64_t offset)
{
    return offset < INT64_MAX && pread(fd, out, len, (off_t)offset) == (ssize_t)len;
}

bool collect_runtime_is_go(int fd)
{
    Elf64_Ehdr head;
    if (!read_at(fd, &head, sizeof(head), 0) || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_shentsize != sizeof(Elf64_Shdr) ||
        head.e_shnum == 0 || head.e_shnum > SECTIONS_MAX || head.e_shstrndx >= head.e_shnum) {
        return false;
    }
    Elf64_Shdr strings;
    if (!read_at(fd, &strings, sizeof(strings),
                 head.e_shoff + (uint64_t)head.e_shstrndx * sizeof(strings)) ||
        strings.sh_size == 0 || strings.sh_size > NAMES_MAX_BYTES) {
        return false;
    }
    AUTO_FREE char *names = xcalloc(1, strings.sh_size + 1);
    if (!read_at(fd, names, strings.sh_size, strings.sh_offset)) {
        return false;
    }
    static const char *const marks[] = {".go.buildinfo", ".note.go.buildid"};
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        if (memmem(names, strings.sh_size, marks[i], strlen(marks[i]) + 1) != NULL) {
            return true;
        }
    }
    return false;
}

static enum collector_runtime by_name(const char *exe)
{
    const char *slash = strrchr(exe, '/');
    const char *name = slash == NULL ? exe : slash + 1;
    if (strcmp(name, "java") == 0) {
        return RUNTIME_JVM;
    }
    if (strcmp(name, "node") == 0 || strcmp(name, "nodejs") == 0) {
        return RUNTIME_NODE;
    }
    return strncmp(name, "python", 6) == 0 ? RUNTIME_PYTHON : RUNTIME_UNKNOWN;
}

/* A launcher of its own name may still hold a JVM or a Python. */
static enum collector_runtime by_maps(pid_t pid)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    AUTO_FILE FILE *maps = fopen(path, "re");
    char line[1024];
    for (int i = 0; maps != NULL && i < MAPS_MAX_LINES && fgets(line, sizeof(line), maps) != NULL;
         i++) {
        if (strstr(line, "/libjvm.so") != NULL) {
            return RUNTIME_JVM;
        }
        if (strstr(line, "/libpython") != NULL) {
            return RUNTIME_PYTHON;
        }
        if (strstr(line, "/libnode.so") != NULL) {
            return RUNTIME_NODE;
        }
    }
    return RUNTIME_UNKNOWN;
}

enum collector_runtime collect_runtime_detect(pid_t pid)
{
    char path[64];
    char exe[4096];
    (void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(path, exe, sizeof(exe) - 1);
    exe[n < 0 ? 0 : n] = '\0';
    enum collector_runtime runtime = by_name(exe);
    if (runtime != RUNTIME_UNKNOWN) {
        return runtime;
    }
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && collect_runtime_is_go(fd)) {
        return RUNTIME_GO;
    }
    runtime = by_maps(pid);
    return runtime != RUNTIME_UNKNOWN ? runtime : fd < 0 ? RUNTIME_UNKNOWN : RUNTIME_NATIVE;
}
