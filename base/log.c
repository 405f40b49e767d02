/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include "base/buf.h"
#include "base/clock.h"

#include <stdarg.h>
#include <time.h>

enum { LOG_BURST = 20, LOG_WINDOW_MS = 10000, LINE_MAX_BYTES = 4096 };

static const char *program_name = "incidentd";
static enum log_level least_level = LOG_LEVEL_INFO;
static enum log_format line_format = LOG_FORMAT_LOGFMT;

void log_open(const char *program, enum log_level least, enum log_format format)
{
    program_name = program;
    log_set(least, format);
}

void log_set(enum log_level least, enum log_format format)
{
    least_level = least;
    line_format = format;
}

static void write_line(enum log_level level, const char *message, unsigned dropped)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_REALTIME, &now);
    char when[CLOCK_TEXT_SIZE];
    (void)clock_rfc3339((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, when);
    AUTO_BUF struct buf line = BUF_INIT(LINE_MAX_BYTES);
    bool json = line_format == LOG_FORMAT_JSON;
    (void)buf_addf(
        &line, json ? "{\"ts\":\"%s\",\"level\":\"%s\",\"prog\":\"%s\"" : "ts=%s level=%s prog=%s",
        when, names[level], program_name);
    if (dropped > 0) {
        (void)buf_addf(&line, json ? ",\"dropped\":%u" : " dropped=%u", dropped);
    }
    (void)buf_add_text(&line, json ? ",\"msg\":\"" : " msg=\"");
    (void)buf_add_json(&line, message);
    (void)buf_add_text(&line, json ? "\"}\n" : "\"\n");
    ssize_t ignored = write(STDERR_FILENO, buf_text(&line), line.len);
    (void)ignored;
}

void log_emit(struct log_site *site, enum log_level level, const char *fmt, ...)
{
    if (level < least_level) {
        return;
    }
    int64_t now_ms = clock_mono_ms();
    unsigned dropped = 0;
    if (site->seen == 0 || now_ms - site->since_ms >= LOG_WINDOW_MS) {
        dropped = site->dropped;
        *site = (struct log_site){.since_ms = now_ms};
    }
    if (++site->seen > LOG_BURST) {
        site->dropped++;
        return;
    }
    char message[1536];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    write_line(level, message, dropped);
}

void log_err(enum log_level level, const struct error *err, const char *doing)
{
    char text[1100];
    (void)error_text(err, text, sizeof(text));
    static struct log_site site;
    log_emit(&site, level, "%s: %s", doing, text);
}
