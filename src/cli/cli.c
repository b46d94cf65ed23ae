/* cli.c -- see cli.h. */
#include "cli/cli.h"
#include "base/atomic.h"
#include "base/error.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic(int) stop_flag;
static bool log_as_json; /* set before threads start, by tribus_cli_platform() */

/* Commands are called "tribus up"; tribusd is called tribusd. */
static const char *program(const char *command)
{
    return strncmp(command, "tribus", 6) == 0 ? "" : "tribus ";
}

static void print_usage(FILE *to, const tribus_cli_usage *usage,
                        const tribus_cli_option *options, size_t count)
{
    fprintf(to, "usage: %s%s %s\n\n%s\n", program(usage->command), usage->command,
            usage->synopsis, usage->text);
    if (count > 0)
        fprintf(to, "\noptions:\n");
    for (size_t i = 0; i < count; i++) {
        char left[64];

        (void)snprintf(left, sizeof(left), "%s%s%s", options[i].name,
                       options[i].value != NULL ? " " : "",
                       options[i].value != NULL ? options[i].value : "");
        fprintf(to, "  %-26s %s\n", left, options[i].text);
    }
    fprintf(to, "  %-26s %s\n", "-h, --help", "this text");
    if (usage->examples != NULL)
        fprintf(to, "\nexamples:\n%s\n", usage->examples);
}

static bool store(const tribus_cli_usage *usage, const tribus_cli_option *o,
                  const char *value)
{
    char *end = NULL;

    errno = 0;
    switch (o->kind) {
    case TRIBUS_CLI_FLAG:
        *(bool *)o->target = true;
        return true;
    case TRIBUS_CLI_INT:
        *(int64_t *)o->target = strtoll(value, &end, 10);
        if (end != value && *end == '\0' && errno == 0)
            return true;
        break;
    case TRIBUS_CLI_REAL:
        *(double *)o->target = strtod(value, &end);
        if (end != value && *end == '\0')
            return true;
        break;
    case TRIBUS_CLI_TEXT:
        *(const char **)o->target = value;
        return true;
    case TRIBUS_CLI_LIST: {
        tribus_cli_list *list = o->target;

        if (list->count < TRIBUS_CLI_LIST_MAX) {
            list->items[list->count++] = value;
            return true;
        }
        fprintf(stderr, "%s%s: %s: given more than %u times\n", program(usage->command),
                usage->command, o->name, TRIBUS_CLI_LIST_MAX);
        return false;
    }
    }
    fprintf(stderr, "%s%s: %s: '%s' is not a number\n", program(usage->command),
            usage->command, o->name, value);
    return false;
}

static const tribus_cli_option *find(const tribus_cli_option *options, size_t count,
                                     const char *arg, size_t name_bytes)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(options[i].name) == name_bytes &&
            strncmp(options[i].name, arg, name_bytes) == 0)
            return &options[i];
    return NULL;
}

/* The n-th option whose name has no dashes; a list takes all that follow. */
static const tribus_cli_option *positional(const tribus_cli_option *options, size_t count,
                                           size_t n)
{
    for (size_t i = 0; i < count; i++) {
        if (options[i].name[0] == '-')
            continue;
        if (n == 0 || options[i].kind == TRIBUS_CLI_LIST)
            return &options[i];
        n--;
    }
    return NULL;
}

bool tribus_cli_parse(const tribus_cli_usage *usage, const tribus_cli_option *options,
                      size_t count, int argc, char **argv, int *exit_code)
{
    size_t places = 0;

    *exit_code = TRIBUS_EXIT_USAGE;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *value = NULL;
        const bool dashed = arg[0] == '-' && arg[1] == '-';
        const char *equals = dashed ? strchr(arg, '=') : NULL;
        const tribus_cli_option *o;

        if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0) {
            print_usage(stdout, usage, options, count);
            *exit_code = TRIBUS_EXIT_DONE;
            return false;
        }
        if (dashed)
            o = find(options, count, arg,
                     equals != NULL ? (size_t)(equals - arg) : strlen(arg));
        else
            o = positional(options, count, places++);
        if (o == NULL) {
            fprintf(stderr, "%s%s: %s: unknown %s; see %s%s --help\n",
                    program(usage->command), usage->command, arg,
                    dashed ? "option" : "argument", program(usage->command),
                    usage->command);
            return false;
        }
        if (!dashed)
            value = arg;
        else if (equals != NULL)
            value = equals + 1;
        else if (o->value != NULL && i + 1 < argc)
            value = argv[++i];
        if (o->value != NULL && value == NULL) {
            fprintf(stderr, "%s%s: %s needs a value (%s)\n", program(usage->command),
                    usage->command, o->name, o->value);
            return false;
        }
        if (!store(usage, o, value))
            return false;
    }
    *exit_code = TRIBUS_EXIT_DONE;
    return true;
}

int tribus_cli_fail(const char *command)
{
    fprintf(stderr, "%s%s: %s\n", program(command), command, tribus_error_text());
    return TRIBUS_EXIT_FAILED;
}

int tribus_cli_complain(const char *command, const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "%s%s: ", program(command), command);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return TRIBUS_EXIT_FAILED;
}

static void print_escaped(FILE *to, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', to);
        if ((unsigned char)*text < ' ')
            fprintf(to, "\\u%04x", (unsigned)*text);
        else
            fputc(*text, to);
    }
}

void tribus_cli_json_text(FILE *to, const char *text)
{
    fputc('"', to);
    print_escaped(to, text);
    fputc('"', to);
}

static void to_stderr(void *context, tribus_log_level level, const char *text)
{
    const char *name = context;
    struct timespec t;
    struct tm tm;
    char stamp[32];

    (void)clock_gettime(CLOCK_REALTIME, &t);
    (void)gmtime_r(&t.tv_sec, &tm);
    (void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
    flockfile(stderr); /* threads log too: a line is a line */
    if (log_as_json) {
        fprintf(stderr,
                "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"program\":\"%s\","
                "\"pid\":%ld,\"text\":\"",
                stamp, t.tv_nsec / 1000000, tribus_log_level_name(level), name,
                (long)getpid());
        print_escaped(stderr, text);
        fprintf(stderr, "\"}\n");
    } else {
        fprintf(stderr, "%s.%03ldZ %s %s: %s\n", stamp, t.tv_nsec / 1000000,
                tribus_log_level_name(level), name, text);
    }
    funlockfile(stderr);
}

void tribus_cli_log_to_stderr(const char *command, tribus_log_level least)
{
    /* The hook only reads the name. */
    tribus_log_set(to_stderr, (void *)(uintptr_t)command, least);
}

/* Letters that differ, comparing place by place: enough to guess a typing slip. */
static size_t distance(const char *a, const char *b)
{
    const size_t na = strlen(a), nb = strlen(b), n = na < nb ? na : nb;
    size_t d = na > nb ? na - nb : nb - na;

    for (size_t i = 0; i < n; i++)
        d += a[i] != b[i];
    return d;
}

int tribus_cli_dispatch(const char *called, const char *text,
                        const tribus_cli_command *commands, size_t count, int argc,
                        char **argv)
{
    const tribus_cli_command *near = NULL;

    if (argc < 2 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "help") == 0) {
        FILE *to = argc < 2 ? stderr : stdout;

        fprintf(to, "usage: %s <command> [options]\n\n%s\n\ncommands:\n", called, text);
        for (size_t i = 0; i < count; i++)
            if (!commands[i].hidden)
                fprintf(to, "  %-12s %s\n", commands[i].name, commands[i].text);
        fprintf(to, "\n%s <command> --help tells more.\n", called);
        return argc < 2 ? TRIBUS_EXIT_USAGE : TRIBUS_EXIT_DONE;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(commands[i].name, argv[1]) == 0)
            return commands[i].fn(argc - 1, argv + 1);
        if (!commands[i].hidden && (near == NULL || distance(commands[i].name, argv[1]) <
                                                        distance(near->name, argv[1])))
            near = &commands[i];
    }
    fprintf(stderr, "%s: %s: unknown command", called, argv[1]);
    if (near != NULL && distance(near->name, argv[1]) <= 2)
        fprintf(stderr, "; did you mean %s?", near->name);
    fprintf(stderr, " (%s --help lists them)\n", called);
    return TRIBUS_EXIT_USAGE;
}

static void on_signal(int number)
{
    (void)number;
    tribus_store_rlx(&stop_flag, 1); /* a flag alone: nothing else is published by it */
}

void tribus_cli_catch_signals(void)
{
    struct sigaction a = {.sa_handler = on_signal};

    (void)sigemptyset(&a.sa_mask);
    (void)sigaction(SIGINT, &a, NULL);
    (void)sigaction(SIGTERM, &a, NULL);
    a.sa_handler = SIG_IGN;
    (void)sigaction(SIGPIPE, &a, NULL);
}

bool tribus_cli_stopped(void)
{
    return tribus_load_rlx(&stop_flag) != 0; /* as in on_signal */
}

_Atomic(int) *tribus_cli_stop_flag(void)
{
    return &stop_flag;
}

tribus_status tribus_cli_platform(tribus_platform *p, const char *config,
                                  const tribus_cli_list *set)
{
    tribus_status st = TRIBUS_OK;

    tribus_platform_init(p);
    if (config == NULL && access("/etc/tribus.yaml", R_OK) == 0)
        config = "/etc/tribus.yaml";
    if (config != NULL)
        st = tribus_platform_load(p, config);
    if (st == TRIBUS_OK)
        st = tribus_platform_environment(p);
    for (size_t i = 0; st == TRIBUS_OK && set != NULL && i < set->count; i++)
        st = tribus_platform_set(p, "--set", set->items[i]);
    if (st == TRIBUS_OK && strcmp(p->agent.log_format, "json") != 0 &&
        strcmp(p->agent.log_format, "text") != 0)
        st = tribus_error_set(TRIBUS_BAD_DATA,
                              "agent.log_format: \"%s\" is neither text nor json",
                              p->agent.log_format);
    log_as_json = st == TRIBUS_OK && strcmp(p->agent.log_format, "json") == 0;
    return st;
}

tribus_tls_cfg tribus_cli_tls(const tribus_platform *p)
{
    return (tribus_tls_cfg){.on = p->redis.tls,
                            .ca_file = p->redis.tls_ca,
                            .cert_file = p->redis.tls_cert,
                            .key_file = p->redis.tls_key,
                            .name = p->redis.tls_name,
                            .any_name = !p->redis.tls_check_name};
}
