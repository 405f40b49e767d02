/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main_sealer.c: incidentd-sealer, the only program that reads what collectors wrote.
 *
 *   explain ID       staging folder on 3 -> report.json on 4, status line on 5
 *   pack ID          staging folder on 3 -> bundle on 4, status line on 5
 *   extract MEMBER   bundle on 3 -> the member's bytes on 4
 *
 * One shot, no network, no capabilities, limited memory (its parent sets that). Explain and pack
 * are separate executions, so that an artifact made to break the first cannot touch the second.
 * Exit status: 0 done, 1 failed, 2 no such member. The status line is one JSON object; without it
 * the parent takes the run as failed.
 */
#include "base/buf.h"
#include "base/fs.h"
#include "base/limits.h"
#include "report/report.h"
#include "watchdog/extract.h"
#include "watchdog/pack.h"
#include "watchdog/seal_files.h"
#include "watchdog/seal_meta.h"

#include <errno.h>
#include <signal.h>

enum { IN_FD = 3, OUT_FD = 4, STATUS_FD = 5, PROFILE_BYTES = 16 << 20 };

#define HEAP_BEFORE "artifacts/pprof/heap.before.pb.gz"
#define HEAP_AFTER "artifacts/pprof/heap.after.pb.gz"

/* The status line for a failure; returns the exit status. */
static int failed(const struct error *err)
{
    AUTO_BUF struct buf line = BUF_INIT(4096);
    (void)buf_add_text(&line, "{\"ok\":false,\"error\":\"");
    (void)buf_add_json(&line, err->message);
    (void)buf_add_text(&line, "\"}\n");
    (void)fs_write_all(STATUS_FD, buf_text(&line), line.len, NULL);
    return 1;
}

/* A profile's bytes; absent or unreadable leaves `out` empty. */
static const void *read_profile(const char *path, struct buf *out)
{
    AUTO_CLOSE int fd = seal_files_open(IN_FD, path, NULL);
    if (fd < 0 || fs_read_fd(fd, out, NULL) < 0 || out->len == 0) {
        return NULL;
    }
    return out->data;
}

static int explain(void)
{
    AUTO_BUF struct buf from = BUF_INIT(PROFILE_BYTES);
    AUTO_BUF struct buf to = BUF_INIT(PROFILE_BYTES);
    AUTO_BUF struct buf report = BUF_INIT(LIMIT_REPORT_BYTES);
    struct error err = ERROR_INIT;
    struct seal_meta meta;
    seal_meta_read(IN_FD, &meta);
    int64_t before_ms = seal_meta_started_ms(&meta, HEAP_BEFORE);
    int64_t after_ms = seal_meta_started_ms(&meta, HEAP_AFTER);
    seal_meta_release(&meta);
    struct explain_input in = {.from_path = HEAP_BEFORE, .to_path = HEAP_AFTER};
    in.from = read_profile(HEAP_BEFORE, &from);
    in.from_len = from.len;
    in.to = read_profile(HEAP_AFTER, &to);
    in.to_len = to.len;
    if (before_ms >= 0 && after_ms > before_ms) {
        in.seconds = (double)(after_ms - before_ms) / 1000;
    }
    int rc = explain_report(&in, &report, &err);
    rc = rc < 0 ? rc : fs_write_all(OUT_FD, buf_text(&report), report.len, &err);
    rc = rc < 0 ? rc : fs_write_all(STATUS_FD, "{\"ok\":true}\n", 12, &err);
    return rc < 0 ? failed(&err) : 0;
}

static int pack(const char *id)
{
    AUTO_BUF struct buf manifest = BUF_INIT(LIMIT_MANIFEST_BYTES);
    AUTO_BUF struct buf line = BUF_INIT(LIMIT_MANIFEST_BYTES + 4096);
    struct pack_result result = {.size = 0};
    struct error err = ERROR_INIT;
    int rc = pack_bundle(IN_FD, id, OUT_FD, &manifest, &result, &err);
    if (rc < 0) {
        return failed(&err);
    }
    size_t len = manifest.len > 0 ? manifest.len - 1 : 0; /* without its line feed */
    (void)buf_addf(&line,
                   "{\"ok\":true,\"sha256\":\"%s\",\"size\":%lld,\"manifest\":", result.sha256,
                   (long long)result.size);
    (void)buf_add(&line, buf_text(&manifest), len);
    (void)buf_add_text(&line, "}\n");
    rc = buf_failed(&line) ? error_set(&err, -EMSGSIZE, "the status line is too long")
                           : fs_write_all(STATUS_FD, buf_text(&line), line.len, &err);
    return rc < 0 ? failed(&err) : 0;
}

static int extract(const char *member)
{
    struct error err = ERROR_INIT;
    int rc = extract_member(IN_FD, member, OUT_FD, &err);
    if (rc < 0) {
        (void)fprintf(stderr, "incidentd-sealer: %s\n", err.message);
    }
    return rc == 0 ? 0 : rc == -ENOENT ? 2 : 1;
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    bool is_extract = argc == 3 && strcmp(argv[1], "extract") == 0;
    if (is_extract) {
        return extract(argv[2]);
    }
    if (argc != 3 || !fs_name_ok(argv[2], LIMIT_ID_BYTES)) {
        (void)fprintf(stderr, "usage: incidentd-sealer explain ID | pack ID | extract MEMBER\n");
        return 1;
    }
    if (strcmp(argv[1], "explain") == 0) {
        return explain();
    }
    if (strcmp(argv[1], "pack") == 0) {
        return pack(argv[2]);
    }
    (void)fprintf(stderr, "incidentd-sealer: unknown verb '%.40s'\n", argv[1]);
    return 1;
}
