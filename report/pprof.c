/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pprof.c: a streaming protobuf decoder for the one schema we need.
 *
 * The format: https://github.com/google/pprof/blob/main/proto/profile.proto, usually in gzip. Only
 * varints and length-delimited fields occur, so a generated decoder and its library would be more
 * code than this file, and would build the whole tree in memory before anything could be refused.
 *
 * Way of the data: bytes -> source (inflate, 16 KiB at a time, counted against
 * PPROF_INFLATED_BYTES) -> top-level fields -> one message at a time in a scratch buffer -> flat
 * arrays. Strings may come last (Go writes them so), hence everything is kept by index until the
 * end and then resolved: function -> string, location -> lines. Labels, mappings and comments are
 * passed over.
 *
 * Limits: those of pprof.h, each checked before memory is taken. Arrays grow by doubling through
 * realloc, whose failure is an error like any other, since the input chooses the size.
 *
 * drop_frames and keep_frames are not applied: Go's runtime does not set them for heap profiles.
 */
#include "report/pprof.h"

#include <errno.h>
#define ZLIB_CONST
#include <zlib.h>

enum { CHUNK_BYTES = 16384 };

struct source {
    z_stream z;
    bool deflated;
    bool ended;
    const unsigned char *at; /* in chunk, or in the input when it is not deflated */
    size_t left;
    size_t total;
    unsigned char chunk[CHUNK_BYTES];
};

struct u64s {
    uint64_t *items;
    size_t count;
    size_t capacity;
};

struct span {
    uint32_t first;
    uint32_t count;
};

struct sample {
    struct span frames; /* location ids, leaf first */
    struct span values;
};

struct location {
    uint64_t id;
    struct span lines; /* function ids, innermost first */
};

struct function {
    uint64_t id;
    uint64_t name; /* index into strings */
};

struct pprof {
    struct sample *samples;
    size_t sample_count;
    size_t sample_capacity;
    struct location *locations;
    size_t location_count;
    size_t location_capacity;
    struct function *functions;
    size_t function_count;
    size_t function_capacity;
    char **strings;
    size_t string_count;
    size_t string_capacity;
    struct u64s frames;
    struct u64s values;
    struct u64s lines;
    uint64_t types[PPROF_TYPES]; /* index of the name */
    size_t type_count;
    int64_t time_ns;
};

/* The message being read: a window on the scratch buffer. */
struct message {
    const unsigned char *at;
    const unsigned char *end;
};

/* Makes room for one more in `*items`. */
static int grow(void **items, size_t count, size_t *capacity, size_t size, size_t max)
{
    if (count < *capacity) {
        return 0;
    }
    if (count >= max) {
        return -EMSGSIZE;
    }
    size_t wanted = *capacity < 64 ? 64 : *capacity * 2;
    wanted = wanted > max ? max : wanted;
    void *grown = realloc(*items, wanted * size);
    if (grown == NULL) {
        return -ENOMEM;
    }
    *items = grown;
    *capacity = wanted;
    return 0;
}

static int u64s_add(struct u64s *list, uint64_t value)
{
    void *items = list->items;
    int rc = grow(&items, list->count, &list->capacity, sizeof(uint64_t), PPROF_POOL);
    list->items = items;
    if (rc == 0) {
        list->items[list->count++] = value;
    }
    return rc;
}

/* Starts the source on `bytes`; anything but gzip or zlib is taken as it is. */
static int source_init(struct source *s, const unsigned char *bytes, size_t len)
{
    *s = (struct source){.at = bytes, .left = len};
    if (len > PPROF_INFLATED_BYTES) {
        s->ended = true;
        return -EMSGSIZE;
    }
    s->deflated = len >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
    if (!s->deflated) {
        s->total = len;
        s->ended = true;
        return 0;
    }
    s->z.next_in = bytes;
    s->z.avail_in = (uInt)len;
    s->left = 0;
    return inflateInit2(&s->z, 15 + 16) == Z_OK ? 0 : -ENOMEM;
}

static void source_release(struct source *s)
{
    if (s->deflated) {
        (void)inflateEnd(&s->z);
    }
}

/* Inflates the next chunk: 1 when there is some, 0 at the end. */
static int source_fill(struct source *s)
{
    while (!s->ended && s->left == 0) {
        s->z.next_out = s->chunk;
        s->z.avail_out = CHUNK_BYTES;
        int rc = inflate(&s->z, Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_STREAM_END) {
            return rc == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
        }
        s->at = s->chunk;
        s->left = CHUNK_BYTES - s->z.avail_out;
        s->total += s->left;
        if (s->total > PPROF_INFLATED_BYTES) {
            return -EMSGSIZE;
        }
        /* A gzip file may hold several members in a row. */
        if (rc == Z_STREAM_END && (s->z.avail_in == 0 || inflateReset(&s->z) != Z_OK)) {
            s->ended = true;
        }
    }
    return s->left > 0 ? 1 : 0;
}

/* One byte, or -ENODATA at the end, or a failure of the source. */
static int source_byte(struct source *s)
{
    if (s->left == 0) {
        int rc = source_fill(s);
        if (rc <= 0) {
            return rc == 0 ? -ENODATA : rc;
        }
    }
    s->left--;
    return *s->at++;
}

/* Copies `len` bytes to `out`, or passes over them when it is NULL. */
static int source_take(struct source *s, unsigned char *out, uint64_t len)
{
    while (len > 0) {
        if (s->left == 0) {
            int rc = source_fill(s);
            if (rc <= 0) {
                return rc == 0 ? -EBADMSG : rc;
            }
        }
        size_t n = len < s->left ? (size_t)len : s->left;
        if (out != NULL) {
            memcpy(out, s->at, n);
            out += n;
        }
        s->at += n;
        s->left -= n;
        len -= n;
    }
    return 0;
}

/* A varint of the stream; -ENODATA when the stream ends before its first byte. */
static int source_varint(struct source *s, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        int byte = source_byte(s);
        if (byte < 0) {
            return byte == -ENODATA && shift > 0 ? -EBADMSG : byte;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *ret = value;
            return 0;
        }
    }
    return -EBADMSG;
}

static int message_varint(struct message *m, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && m->at < m->end; shift += 7) {
        unsigned byte = *m->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *ret = value;
            return 0;
        }
    }
    return -EBADMSG;
}

/* A field of a message: its value when it is a varint, its inside when it is length-delimited. */
struct field {
    unsigned number;
    bool packed;
    uint64_t value;
    struct message inside;
};

/* The next field: 1, or 0 at the end of the message. */
static int message_next(struct message *m, struct field *ret)
{
    uint64_t tag = 0;
    if (m->at == m->end) {
        return 0;
    }
    int rc = message_varint(m, &tag);
    if (rc < 0) {
        return rc;
    }
    *ret = (struct field){.number = (unsigned)(tag >> 3 & 0xffff)};
    uint64_t len = 0;
    switch (tag & 7) {
    case 0:
        rc = message_varint(m, &ret->value);
        return rc < 0 ? rc : 1;
    case 1:
        len = 8;
        break;
    case 2:
        rc = message_varint(m, &len);
        ret->packed = true;
        break;
    case 5:
        len = 4;
        break;
    default:
        return -EBADMSG;
    }
    if (rc < 0 || len > (uint64_t)(m->end - m->at)) {
        return -EBADMSG;
    }
    ret->inside = (struct message){.at = m->at, .end = m->at + len};
    m->at += len;
    return 1;
}

/* Appends the numbers of a repeated field, packed or not. */
static int add_numbers(struct u64s *list, struct field *f, struct span *span)
{
    int rc = 0;
    if (!f->packed) {
        rc = u64s_add(list, f->value);
        span->count += rc == 0 ? 1 : 0;
        return rc;
    }
    while (rc == 0 && f->inside.at < f->inside.end) {
        uint64_t value = 0;
        rc = message_varint(&f->inside, &value);
        rc = rc < 0 ? rc : u64s_add(list, value);
        span->count += rc == 0 ? 1 : 0;
    }
    return rc;
}

static int read_sample(struct pprof *p, struct message m)
{
    struct sample s = {.frames = {.first = (uint32_t)p->frames.count},
                       .values = {.first = (uint32_t)p->values.count}};
    struct field f;
    int rc = 1;
    while (rc > 0 && (rc = message_next(&m, &f)) > 0) {
        int added = f.number == 1   ? add_numbers(&p->frames, &f, &s.frames)
                    : f.number == 2 ? add_numbers(&p->values, &f, &s.values)
                                    : 0;
        rc = added < 0 ? added : 1;
    }
    void *items = p->samples;
    rc = rc < 0 ? rc : grow(&items, p->sample_count, &p->sample_capacity, sizeof(s), PPROF_ENTRIES);
    p->samples = items;
    if (rc == 0) {
        p->samples[p->sample_count++] = s;
    }
    return rc;
}

/* The function of one Line message. */
static int read_line(struct pprof *p, struct message m, struct span *lines)
{
    struct field f;
    struct field function = {.number = 1};
    int rc = 1;
    while ((rc = message_next(&m, &f)) > 0) {
        if (f.number == 1 && !f.packed) {
            function.value = f.value;
        }
    }
    return rc < 0 ? rc : add_numbers(&p->lines, &function, lines);
}

static int read_location(struct pprof *p, struct message m)
{
    struct location l = {.lines = {.first = (uint32_t)p->lines.count}};
    struct field f;
    int rc = 1;
    while (rc > 0 && (rc = message_next(&m, &f)) > 0) {
        if (f.number == 1) {
            l.id = f.value;
        } else if (f.number == 4 && f.packed) {
            int added = read_line(p, f.inside, &l.lines);
            rc = added < 0 ? added : 1;
        }
    }
    void *items = p->locations;
    rc = rc < 0 ? rc
                : grow(&items, p->location_count, &p->location_capacity, sizeof(l), PPROF_ENTRIES);
    p->locations = items;
    if (rc == 0) {
        p->locations[p->location_count++] = l;
    }
    return rc;
}

static int read_function(struct pprof *p, struct message m)
{
    struct function fn = {0};
    struct field f;
    int rc = 1;
    while ((rc = message_next(&m, &f)) > 0) {
        if (f.number == 1) {
            fn.id = f.value;
        } else if (f.number == 2) {
            fn.name = f.value;
        }
    }
    void *items = p->functions;
    rc = rc < 0 ? rc
                : grow(&items, p->function_count, &p->function_capacity, sizeof(fn), PPROF_ENTRIES);
    p->functions = items;
    if (rc == 0) {
        p->functions[p->function_count++] = fn;
    }
    return rc;
}

static int read_type(struct pprof *p, struct message m)
{
    uint64_t name = 0;
    struct field f;
    int rc = 1;
    while ((rc = message_next(&m, &f)) > 0) {
        if (f.number == 1) {
            name = f.value;
        }
    }
    if (rc == 0 && p->type_count == PPROF_TYPES) {
        return -EMSGSIZE;
    }
    if (rc == 0) {
        p->types[p->type_count++] = name;
    }
    return rc;
}

static int read_string(struct pprof *p, struct source *s, uint64_t len)
{
    void *items = p->strings;
    int rc = grow(&items, p->string_count, &p->string_capacity, sizeof(char *), PPROF_ENTRIES);
    p->strings = items;
    if (rc < 0) {
        return rc;
    }
    size_t kept = len < PPROF_STRING_BYTES ? (size_t)len : PPROF_STRING_BYTES;
    char *text = malloc(kept + 1);
    if (text == NULL) {
        return -ENOMEM;
    }
    rc = source_take(s, (unsigned char *)text, kept);
    text[rc < 0 ? 0 : kept] = '\0';
    p->strings[p->string_count++] = text;
    return rc < 0 ? rc : source_take(s, NULL, len - kept);
}

/* A length-delimited top-level field; `scratch` has PPROF_MESSAGE_BYTES. */
static int read_message(struct pprof *p, struct source *s, unsigned number, unsigned char *scratch)
{
    static int (*const readers[])(struct pprof *, struct message) = {
        [1] = read_type, [2] = read_sample, [4] = read_location, [5] = read_function};
    uint64_t len = 0;
    int rc = source_varint(s, &len);
    if (rc < 0) {
        return rc == -ENODATA ? -EBADMSG : rc;
    }
    if (number == 6) {
        return read_string(p, s, len);
    }
    if (number >= ARRAY_LEN(readers) || readers[number] == NULL) {
        return source_take(s, NULL, len);
    }
    if (len > PPROF_MESSAGE_BYTES) {
        return -EMSGSIZE;
    }
    rc = source_take(s, scratch, len);
    return rc < 0 ? rc : readers[number](p, (struct message){scratch, scratch + len});
}

static int read_all(struct pprof *p, struct source *s, unsigned char *scratch)
{
    for (;;) {
        uint64_t tag = 0;
        uint64_t value = 0;
        int rc = source_varint(s, &tag);
        if (rc < 0) {
            return rc == -ENODATA ? 0 : rc;
        }
        switch (tag & 7) {
        case 0:
            rc = source_varint(s, &value);
            if (tag >> 3 == 9) {
                p->time_ns = (int64_t)value;
            }
            break;
        case 1:
            rc = source_take(s, NULL, 8);
            break;
        case 2:
            rc = read_message(p, s, (unsigned)(tag >> 3 & 0xffff), scratch);
            break;
        case 5:
            rc = source_take(s, NULL, 4);
            break;
        default:
            rc = -EBADMSG;
            break;
        }
        if (rc < 0) {
            return rc == -ENODATA ? -EBADMSG : rc;
        }
    }
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a; /* the id is the first member of both kinds */
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int complain(int rc, const struct source *s, struct error *err)
{
    switch (rc) {
    case -ENOMEM:
        return error_set(err, rc, "no memory to read the profile");
    case -EMSGSIZE:
        return error_set(err, rc, "the profile is larger than is read (%d MiB inflated)",
                         PPROF_INFLATED_BYTES >> 20);
    default:
        return error_set(err, -EINVAL,
                         "not a whole profile: it breaks off or is garbled %zu bytes in",
                         s->total - s->left);
    }
}

int pprof_parse(const void *bytes, size_t len, struct pprof **ret, struct error *err)
{
    struct source *s = malloc(sizeof(*s));
    unsigned char *scratch = malloc(PPROF_MESSAGE_BYTES);
    struct pprof *p = calloc(1, sizeof(*p));
    int rc = -ENOMEM;
    if (s == NULL || scratch == NULL || p == NULL) {
        (void)error_set(err, rc, "no memory to read the profile");
        goto out;
    }
    rc = source_init(s, bytes, len);
    rc = rc < 0 ? rc : read_all(p, s, scratch);
    source_release(s);
    if (rc == 0 && (p->type_count == 0 || p->string_count == 0)) {
        rc = -EBADMSG;
    }
    if (rc < 0) {
        rc = complain(rc, s, err);
        goto out;
    }
    if (p->location_count > 0) {
        qsort(p->locations, p->location_count, sizeof(*p->locations), by_id);
    }
    if (p->function_count > 0) {
        qsort(p->functions, p->function_count, sizeof(*p->functions), by_id);
    }
    *ret = p;
    p = NULL;
out:
    pprof_free(p);
    free(scratch);
    free(s);
    return rc;
}

void pprof_free(struct pprof *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < p->string_count; i++) {
        free(p->strings[i]);
    }
    free(p->strings);
    free(p->samples);
    free(p->locations);
    free(p->functions);
    free(p->frames.items);
    free(p->values.items);
    free(p->lines.items);
    free(p);
}

static const char *string_at(const struct pprof *p, uint64_t index)
{
    return index < p->string_count ? p->strings[index] : "";
}

int pprof_type(const struct pprof *p, const char *name)
{
    for (size_t i = 0; i < p->type_count; i++) {
        if (strcmp(string_at(p, p->types[i]), name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

size_t pprof_sample_count(const struct pprof *p)
{
    return p->sample_count;
}

int64_t pprof_value(const struct pprof *p, size_t sample, int type)
{
    const struct span *values = &p->samples[sample].values;
    if (type < 0 || (uint32_t)type >= values->count) {
        return 0;
    }
    return (int64_t)p->values.items[values->first + (uint32_t)type];
}

static const char *function_name(const struct pprof *p, uint64_t id)
{
    const struct function *f =
        p->function_count == 0
            ? NULL
            : bsearch(&id, p->functions, p->function_count, sizeof(*p->functions), by_id);
    const char *name = f == NULL ? "" : string_at(p, f->name);
    return name[0] == '\0' ? "<unknown>" : name;
}

size_t pprof_stack(const struct pprof *p, size_t sample, const char **names, size_t max)
{
    size_t count = 0;
    const struct span *frames = &p->samples[sample].frames;
    for (uint32_t i = 0; i < frames->count && count < max; i++) {
        const struct location *l = p->location_count == 0
                                       ? NULL
                                       : bsearch(&p->frames.items[frames->first + i], p->locations,
                                                 p->location_count, sizeof(*p->locations), by_id);
        if (l == NULL || l->lines.count == 0) {
            names[count++] = "<unknown>";
            continue;
        }
        for (uint32_t j = 0; j < l->lines.count && count < max; j++) {
            names[count++] = function_name(p, p->lines.items[l->lines.first + j]);
        }
    }
    return count;
}

int64_t pprof_time_ns(const struct pprof *p)
{
    return p->time_ns;
}
