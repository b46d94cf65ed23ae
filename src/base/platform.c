/* platform.c -- see platform.h.
 *
 * libcyaml checks the file against a schema made from platform.def. Every key is a pointer
 * there, so that "absent" and "zero" differ and a file only overlays what it names. */
#include "base/platform.h"
#include "base/error.h"
#include "base/os.h"

#include <ctype.h>
#include <cyaml/cyaml.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLATFORM_FILE_MAX ((size_t)1 << 20)

/* ---- the raw form that libcyaml fills ---- */

#define BEGIN(section) typedef struct raw_##section {
#define END(section)                                                                       \
    }                                                                                      \
    raw_##section;
#define INT(section, key, def, least, most, text)  int64_t *key;
#define REAL(section, key, def, least, most, text) double *key;
#define FLAG(section, key, def, text)              bool *key;
#define TEXT(section, key, bytes, def, text)       char *key;
#include "base/platform.def"
#undef BEGIN
#undef END
#undef INT
#undef REAL
#undef FLAG
#undef TEXT

typedef struct raw_platform {
#define BEGIN(section) raw_##section *section;
#define END(section)
#define INT(section, key, def, least, most, text)
#define REAL(section, key, def, least, most, text)
#define FLAG(section, key, def, text)
#define TEXT(section, key, bytes, def, text)
#include "base/platform.def"
#undef BEGIN
#undef END
#undef INT
#undef REAL
#undef FLAG
#undef TEXT
} raw_platform;

#define POINTER_OPTIONAL ((cyaml_flag_e)(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL))
#define BEGIN(section)   static const cyaml_schema_field_t fields_##section[] = {
#define END(section)                                                                       \
    CYAML_FIELD_END                                                                        \
    }                                                                                      \
    ;
#define INT(section, key, def, least, most, text)                                          \
    CYAML_FIELD_INT_PTR(#key, POINTER_OPTIONAL, raw_##section, key),
#define REAL(section, key, def, least, most, text)                                         \
    CYAML_FIELD_FLOAT_PTR(#key, POINTER_OPTIONAL, raw_##section, key),
#define FLAG(section, key, def, text)                                                      \
    CYAML_FIELD_BOOL_PTR(#key, POINTER_OPTIONAL, raw_##section, key),
#define TEXT(section, key, bytes, def, text)                                               \
    CYAML_FIELD_STRING_PTR(#key, POINTER_OPTIONAL, raw_##section, key, 0, (bytes)-1),
#include "base/platform.def"
#undef BEGIN
#undef END
#undef INT
#undef REAL
#undef FLAG
#undef TEXT

static const cyaml_schema_field_t fields_platform[] = {
#define BEGIN(section)                                                                     \
    CYAML_FIELD_MAPPING_PTR(#section, POINTER_OPTIONAL, raw_platform, section,             \
                            fields_##section),
#define END(section)
#define INT(section, key, def, least, most, text)
#define REAL(section, key, def, least, most, text)
#define FLAG(section, key, def, text)
#define TEXT(section, key, bytes, def, text)
#include "base/platform.def"
#undef BEGIN
#undef END
#undef INT
#undef REAL
#undef FLAG
#undef TEXT
    CYAML_FIELD_END};

static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, raw_platform, fields_platform)};

/* ---- the table of settings ---- */

static const tribus_setting settings[] = {
#define BEGIN(section)
#define END(section)
#define ROW(section, key, kind, least, most, def, text)                                    \
    {#section,                                                                             \
     #key,                                                                                 \
     text,                                                                                 \
     kind,                                                                                 \
     offsetof(tribus_platform, section.key),                                               \
     sizeof(((tribus_platform *)0)->section.key),                                          \
     least,                                                                                \
     most,                                                                                 \
     def},
#define INT(section, key, def, least, most, text)                                          \
    ROW(section, key, TRIBUS_SETTING_INT, least, most, #def, text)
#define REAL(section, key, def, least, most, text)                                         \
    ROW(section, key, TRIBUS_SETTING_REAL, least, most, #def, text)
#define FLAG(section, key, def, text)                                                      \
    ROW(section, key, TRIBUS_SETTING_FLAG, 0, 1, (def) ? "true" : "false", text)
#define TEXT(section, key, bytes, def, text)                                               \
    ROW(section, key, TRIBUS_SETTING_TEXT, 0, 0, def, text)
#include "base/platform.def"
#undef BEGIN
#undef END
#undef INT
#undef REAL
#undef FLAG
#undef TEXT
#undef ROW
};

#define SETTING_COUNT (sizeof(settings) / sizeof(settings[0]))

const tribus_setting *tribus_platform_settings(size_t *count)
{
    *count = SETTING_COUNT;
    return settings;
}

static void *field_of(tribus_platform *p, const tribus_setting *s)
{
    return (char *)p + s->offset;
}

/* Set one field from text. why: at least 128 bytes, filled on failure. */
static bool set_from_text(tribus_platform *p, const tribus_setting *s, const char *value,
                          char *why, size_t why_bytes)
{
    char *end = NULL;

    errno = 0;
    switch (s->type) {
    case TRIBUS_SETTING_INT: {
        const long long n = strtoll(value, &end, 10);

        if (end == value || *end != '\0' || errno != 0) {
            (void)snprintf(why, why_bytes, "'%s' is not a whole number", value);
            return false;
        }
        if ((double)n < s->least || (double)n > s->most) {
            (void)snprintf(why, why_bytes, "%lld is not within %.0f..%.0f", n, s->least,
                           s->most);
            return false;
        }
        *(int64_t *)field_of(p, s) = n;
        return true;
    }
    case TRIBUS_SETTING_REAL: {
        const double x = strtod(value, &end);

        if (end == value || *end != '\0') {
            (void)snprintf(why, why_bytes, "'%s' is not a number", value);
            return false;
        }
        if (!(x >= s->least && x <= s->most)) {
            (void)snprintf(why, why_bytes, "%g is not within %g..%g", x, s->least, s->most);
            return false;
        }
        *(double *)field_of(p, s) = x;
        return true;
    }
    case TRIBUS_SETTING_FLAG: {
        const bool yes = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;

        if (!yes && strcmp(value, "false") != 0 && strcmp(value, "0") != 0) {
            (void)snprintf(why, why_bytes, "'%s' is neither true nor false", value);
            return false;
        }
        *(bool *)field_of(p, s) = yes;
        return true;
    }
    case TRIBUS_SETTING_TEXT:
        if (strlen(value) >= s->bytes) {
            (void)snprintf(why, why_bytes, "longer than %zu characters", s->bytes - 1);
            return false;
        }
        memset(field_of(p, s), 0, s->bytes);
        memcpy(field_of(p, s), value, strlen(value));
        return true;
    }
    return false;
}

void tribus_platform_init(tribus_platform *p)
{
    char why[160];

    memset(p, 0, sizeof(*p));
    for (size_t i = 0; i < SETTING_COUNT; i++)
        (void)set_from_text(p, &settings[i], settings[i].default_text, why, sizeof(why));
}

const char *tribus_platform_get_text(const tribus_platform *p, const tribus_setting *s,
                                     char *buf, size_t bytes)
{
    const void *field = (const char *)p + s->offset;

    switch (s->type) {
    case TRIBUS_SETTING_INT:
        (void)snprintf(buf, bytes, "%lld", (long long)*(const int64_t *)field);
        break;
    case TRIBUS_SETTING_REAL:
        (void)snprintf(buf, bytes, "%.10g", *(const double *)field);
        break;
    case TRIBUS_SETTING_FLAG:
        (void)snprintf(buf, bytes, "%s", *(const bool *)field ? "true" : "false");
        break;
    case TRIBUS_SETTING_TEXT:
        (void)snprintf(buf, bytes, "%s", (const char *)field);
        break;
    }
    return buf;
}

/* ---- the file ---- */

/* libcyaml tells what is wrong first and where in the next lines: keep the first of each.
 */
typedef struct complaint {
    char what[256];
    unsigned line;
    char key[128];
} complaint;

static void hear(cyaml_log_t level, void *context, const char *fmt, va_list args)
{
    complaint *c = context;
    char text[256], name[64];
    const char *place;

    (void)level;
    (void)vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\n")] = '\0';
    place = strstr(text, "(line: ");
    if (place == NULL) {
        if (c->what[0] == '\0' && strstr(text, "Backtrace") == NULL)
            (void)snprintf(c->what, sizeof(c->what), "%s",
                           strncmp(text, "Load: ", 6) == 0 ? text + 6 : text);
        return;
    }
    if (c->line == 0)
        (void)sscanf(place, "(line: %u", &c->line);
    if (sscanf(text, "  in mapping field '%63[^']'", name) == 1) {
        char inner[128];

        (void)snprintf(inner, sizeof(inner), "%s", c->key);
        (void)snprintf(c->key, sizeof(c->key), "%s%s%s", name, inner[0] != '\0' ? "." : "",
                       inner);
    }
}

/* Where "section: ... key:" stands, which libcyaml does not tell. section "": the key is a
 * section itself. 0: not found. */
static unsigned line_of(const char *yaml, const char *section, const char *key)
{
    unsigned line = 1;
    bool inside = false;

    for (const char *at = yaml; at != NULL && *at != '\0'; line++) {
        const char *word = at + strspn(at, " \t");
        const size_t n = strcspn(word, ": \t\n");

        if (word == at && section[0] == '\0' && n == strlen(key) &&
            strncmp(word, key, n) == 0)
            return line;
        if (word == at && n > 0 && *at != '#')
            inside = n == strlen(section) && strncmp(word, section, n) == 0;
        else if (inside && n == strlen(key) && strncmp(word, key, n) == 0)
            return line;
        at = strchr(at, '\n');
        if (at != NULL)
            at++;
    }
    return 0;
}

/* The text of a raw value, so that one function checks every range. NULL: absent. */
static const char *raw_text(const raw_platform *raw, const tribus_setting *s, char *buf,
                            size_t bytes)
{
    const char *const of_section = s->section, *const of_key = s->key;

#define BEGIN(section)                                                                     \
    if (raw->section != NULL && strcmp(of_section, #section) == 0) {                       \
        const raw_##section *in = raw->section;
#define END(section) }
#define INT(section, key, def, least, most, text)                                          \
    if (in->key != NULL && strcmp(of_key, #key) == 0) {                                    \
        (void)snprintf(buf, bytes, "%lld", (long long)*in->key);                           \
        return buf;                                                                        \
    }
#define REAL(section, key, def, least, most, text)                                         \
    if (in->key != NULL && strcmp(of_key, #key) == 0) {                                    \
        (void)snprintf(buf, bytes, "%.17g", *in->key);                                     \
        return buf;                                                                        \
    }
#define FLAG(section, key, def, text)                                                      \
    if (in->key != NULL && strcmp(of_key, #key) == 0)                                      \
        return *in->key ? "true" : "false";
#define TEXT(section, key, size, def, text)                                                \
    if (in->key != NULL && strcmp(of_key, #key) == 0)                                      \
        return in->key;
#include "base/platform.def"
#undef BEGIN
#undef END
#undef INT
#undef REAL
#undef FLAG
#undef TEXT
    return NULL;
}

static tribus_status overlay(tribus_platform *p, const raw_platform *raw, const char *name,
                             const char *yaml)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const tribus_setting *s = &settings[i];
        char buf[64], why[160];
        const char *value = raw_text(raw, s, buf, sizeof(buf));

        if (value != NULL && !set_from_text(p, s, value, why, sizeof(why)))
            return tribus_error_set(TRIBUS_BAD_DATA, "%s:%u: %s.%s: %s", name,
                                    line_of(yaml, s->section, s->key), s->section, s->key,
                                    why);
    }
    return TRIBUS_OK;
}

tribus_status tribus_platform_parse(tribus_platform *p, const char *name, const char *yaml,
                                    size_t bytes)
{
    complaint c = {.what = ""};
    cyaml_config_t cfg = {
        .log_fn = hear, .log_ctx = &c, .mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR};
    raw_platform *raw = NULL;
    tribus_platform next = *p;
    tribus_status st = TRIBUS_OK;
    char wrong[64];
    cyaml_err_t err;

    err = cyaml_load_data((const uint8_t *)yaml, bytes, &cfg, &schema,
                          (cyaml_data_t **)&raw, NULL);
    if (err == CYAML_ERR_OOM)
        return tribus_error_set(TRIBUS_NO_MEMORY, "%s: %zu bytes of YAML", name, bytes);
    if (err == CYAML_ERR_INVALID_KEY &&
        sscanf(c.what, "Unexpected key: %63s", wrong) == 1) {
        const unsigned line =
            line_of(yaml, c.key, wrong); /* libcyaml gives the mapping's */

        c.line = line != 0 ? line : c.line;
    }
    if (err != CYAML_OK)
        return tribus_error_set(TRIBUS_BAD_DATA, "%s:%u: %s%s%s", name, c.line, c.key,
                                c.key[0] != '\0' ? ": " : "",
                                c.what[0] != '\0' ? c.what : cyaml_strerror(err));
    if (raw != NULL) {
        st = overlay(&next, raw, name, yaml);
        (void)cyaml_free(&cfg, &schema, raw, 0);
    }
    if (st == TRIBUS_OK)
        *p = next;
    return st;
}

tribus_status tribus_platform_load(tribus_platform *p, const char *path)
{
    char *yaml;
    size_t bytes;
    tribus_status st = tribus_os_read_file(path, PLATFORM_FILE_MAX, &yaml, &bytes);

    if (st != TRIBUS_OK)
        return st;
    st = tribus_platform_parse(p, path, yaml, bytes);
    free(yaml);
    return st;
}

tribus_status tribus_platform_environment(tribus_platform *p)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const tribus_setting *s = &settings[i];
        char name[96], why[160];
        const char *value;

        (void)snprintf(name, sizeof(name), "TRIBUS_%s_%s", s->section, s->key);
        for (char *c = name; *c != '\0'; c++)
            *c = (char)toupper((unsigned char)*c);
        value = getenv(name);
        if (value != NULL && !set_from_text(p, s, value, why, sizeof(why)))
            return tribus_error_set(TRIBUS_BAD_DATA, "environment: %s: %s", name, why);
    }
    return TRIBUS_OK;
}

tribus_status tribus_platform_set(tribus_platform *p, const char *where,
                                  const char *assignment)
{
    const char *equals = strchr(assignment, '=');

    if (equals == NULL)
        return tribus_error_set(TRIBUS_BAD_DATA, "%s %s: expected section.key=value", where,
                                assignment);
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const tribus_setting *s = &settings[i];
        char name[96], why[160];

        (void)snprintf(name, sizeof(name), "%s.%s", s->section, s->key);
        if (strlen(name) != (size_t)(equals - assignment) ||
            strncmp(name, assignment, strlen(name)) != 0)
            continue;
        if (!set_from_text(p, s, equals + 1, why, sizeof(why)))
            return tribus_error_set(TRIBUS_BAD_DATA, "%s %s: %s", where, name, why);
        return TRIBUS_OK;
    }
    return tribus_error_set(
        TRIBUS_NOT_FOUND, "%s %.*s: no such setting; `tribus up --print-config` lists them",
        where, (int)(equals - assignment), assignment);
}

tribus_status tribus_platform_file(const char *relative, char *buf, size_t bytes)
{
    /* "../.." of build/release/tribus is the source tree. */
    static const char *const beside[] = {"", "../share/tribus/", "../../"};
    const char *share = getenv("TRIBUS_SHARE");
    char exe[4096];
    ssize_t n;

    if (snprintf(buf, bytes, "%s", relative) < (int)bytes && access(buf, R_OK) == 0)
        return TRIBUS_OK;
    if (share != NULL && snprintf(buf, bytes, "%s/%s", share, relative) < (int)bytes &&
        access(buf, R_OK) == 0)
        return TRIBUS_OK;
    n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[n > 0 ? n : 0] = '\0';
    if (strrchr(exe, '/') != NULL)
        strrchr(exe, '/')[1] = '\0';
    for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++)
        if (snprintf(buf, bytes, "%s%s%s", exe, beside[i], relative) < (int)bytes &&
            access(buf, R_OK) == 0)
            return TRIBUS_OK;
    if (snprintf(buf, bytes, "/usr/share/tribus/%s", relative) < (int)bytes &&
        access(buf, R_OK) == 0)
        return TRIBUS_OK;
    return tribus_error_set(TRIBUS_NOT_FOUND,
                            "%s: not in this folder, not in $TRIBUS_SHARE, not beside the "
                            "program (%s), not in /usr/share/tribus",
                            relative, exe);
}
