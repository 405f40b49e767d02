/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog/verb.h"

#include <getopt.h>

enum { COMMON = 5 };

static void print_option(const struct verb_option *o)
{
    char name[64];
    (void)snprintf(name, sizeof(name), "--%s%s%s", o->name, o->value == NULL ? "" : " ",
                   o->value == NULL ? "" : o->value);
    char letter[8] = "    ";
    if (o->letter != 0) {
        (void)snprintf(letter, sizeof(letter), "-%c, ", o->letter);
    }
    (void)printf("  %s%-22s %s\n", letter, name, o->help);
}

static void print_help(const struct verb *verb, const struct verb_option *options)
{
    (void)printf("usage: incidentctl %s %s\n\n%s.\n\noptions:\n", verb->name, verb->usage,
                 verb->summary);
    for (const struct verb_option *o = options; o->name != NULL; o++) {
        print_option(o);
    }
    (void)printf("\nexample:\n  %s\n", verb->example);
}

/* getopt's tables off ours: the index of an option is its code. */
static void build(const struct verb_option *options, struct option *longs, char *shorts)
{
    size_t at = 0;
    shorts[at++] = ':';
    for (int i = 0; options[i].name != NULL; i++) {
        const struct verb_option *o = &options[i];
        longs[i] = (struct option){.name = o->name,
                                   .has_arg = o->value == NULL ? no_argument : required_argument,
                                   .val = o->letter != 0 ? o->letter : 256 + i};
        if (o->letter != 0) {
            shorts[at++] = o->letter;
            if (o->value != NULL) {
                shorts[at++] = ':';
            }
        }
    }
    shorts[at] = '\0';
}

static const struct verb_option *option_of(const struct verb_option *options, int code)
{
    for (int i = 0; options[i].name != NULL; i++) {
        if (code == (options[i].letter != 0 ? options[i].letter : 256 + i)) {
            return &options[i];
        }
    }
    return NULL;
}

static int wrong(const struct verb *verb, const char *what, const char *subject)
{
    (void)fprintf(stderr, "incidentctl %s: %s%s%s%s\nusage: incidentctl %s %s\n", verb->name, what,
                  subject == NULL ? "" : " '", subject == NULL ? "" : subject,
                  subject == NULL ? "" : "'", verb->name, verb->usage);
    return VERB_USAGE;
}

/* The one positional argument. */
static int take_argument(int argc, char **argv, const struct verb *verb, struct verb_common *ret)
{
    int left = argc - optind;
    ret->argument = left > 0 ? argv[optind] : verb->fallback;
    if (left > (verb->bare ? 0 : 1)) {
        return wrong(verb, "unexpected argument", argv[optind + (verb->bare ? 0 : 1)]);
    }
    if (ret->argument == NULL && !verb->bare) {
        return wrong(verb, "an argument is missing", NULL);
    }
    return -1;
}

int verb_parse(int argc, char **argv, const struct verb *verb, const struct verb_option *own,
               struct verb_common *ret)
{
    *ret = (struct verb_common){.server = NULL};
    bool help = false;
    struct verb_option options[VERB_OPTIONS_MAX + COMMON + 1] = {
        {"server", 's', "URL", "the daemon (else $INCIDENTD_SERVER, else http://127.0.0.1:9911)",
         &ret->server, NULL},
        {"token-file", 't', "FILE", "file with the API token (else $INCIDENTD_TOKEN_FILE)",
         &ret->token_file, NULL},
        {"json", 'j', NULL, "print the daemon's JSON", NULL, &ret->json},
        {"no-progress", 0, NULL, "no progress bar", NULL, &ret->no_progress},
        {"help", 'h', NULL, "this text", NULL, &help},
    };
    for (size_t i = 0; own != NULL && own[i].name != NULL && i < VERB_OPTIONS_MAX; i++) {
        options[COMMON + i] = own[i];
    }
    struct option longs[VERB_OPTIONS_MAX + COMMON + 1] = {0};
    char shorts[2 * (VERB_OPTIONS_MAX + COMMON) + 2];
    build(options, longs, shorts);
    optind = 1;
    for (;;) {
        int code = getopt_long(argc, argv, shorts, longs, NULL);
        if (code == -1) {
            break;
        }
        if (code == ':' || code == '?') {
            return wrong(verb, code == ':' ? "a value is missing after" : "unknown option",
                         argv[optind - 1]);
        }
        const struct verb_option *o = option_of(options, code);
        if (o != NULL && o->text != NULL) {
            *o->text = optarg;
        } else if (o != NULL && o->flag != NULL) {
            *o->flag = true;
        }
    }
    if (help) {
        print_help(verb, options);
        return VERB_DONE;
    }
    return take_argument(argc, argv, verb, ret);
}
