/* platform.h -- the settings of a platform: one YAML file, environment, options; every key
 * has a default.
 *
 * Order     default < file < environment (TRIBUS_<SECTION>_<KEY>) < option (--set
 * section.key=v) Errors    name file, line and key: "platform.yaml:12: ml_engine.assets: 0
 * is not within 1..4096". Unknown keys are errors. Threads   load first, then read from
 * anywhere.
 */
#ifndef TRIBUS_BASE_PLATFORM_H
#define TRIBUS_BASE_PLATFORM_H

#include "tribus/base.h"

#include <stdbool.h>
#include <stddef.h>

#define BEGIN(section) typedef struct tribus_platform_##section {
#define END(section)                                                                       \
    }                                                                                      \
    tribus_platform_##section;
#define INT(section, key, def, least, most, text)  int64_t key;
#define REAL(section, key, def, least, most, text) double key;
#define FLAG(section, key, def, text)              bool key;
#define TEXT(section, key, bytes, def, text)       char key[bytes];
#include "base/platform.def"
#undef BEGIN
#undef END
#undef INT
#undef REAL
#undef FLAG
#undef TEXT

typedef struct tribus_platform {
#define BEGIN(section) tribus_platform_##section section;
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
} tribus_platform;

typedef enum tribus_setting_type {
    TRIBUS_SETTING_INT,
    TRIBUS_SETTING_REAL,
    TRIBUS_SETTING_FLAG,
    TRIBUS_SETTING_TEXT
} tribus_setting_type;

/* One row of the table. */
typedef struct tribus_setting {
    const char *section;
    const char *key;
    const char *text;
    tribus_setting_type type;
    size_t offset; /* into tribus_platform */
    size_t bytes;
    double least, most;
    const char *default_text;
} tribus_setting;

/* All rows, in the order of the file. */
const tribus_setting *tribus_platform_settings(size_t *count);

/* Every default. */
void tribus_platform_init(tribus_platform *p);

/* Overlay a YAML file. Returns TRIBUS_OK, TRIBUS_NOT_FOUND, TRIBUS_BAD_DATA,
 * TRIBUS_NO_MEMORY, TRIBUS_SYSTEM. On a fault p is as it was. */
TRIBUS_MUST_CHECK tribus_status tribus_platform_load(tribus_platform *p, const char *path);

/* The same from text; name stands for the file in errors. */
TRIBUS_MUST_CHECK tribus_status tribus_platform_parse(tribus_platform *p, const char *name,
                                                      const char *yaml, size_t bytes);

/* Overlay the environment. Returns TRIBUS_OK or TRIBUS_BAD_DATA naming the variable. */
TRIBUS_MUST_CHECK tribus_status tribus_platform_environment(tribus_platform *p);

/* Overlay one "section.key=value". where: what to blame in an error, e.g. "--set".
 * Returns TRIBUS_OK, TRIBUS_NOT_FOUND (unknown key) or TRIBUS_BAD_DATA. */
TRIBUS_MUST_CHECK tribus_status tribus_platform_set(tribus_platform *p, const char *where,
                                                    const char *assignment);

/* Print the value of a setting as text. Returns buf. */
const char *tribus_platform_get_text(const tribus_platform *p, const tribus_setting *s,
                                     char *buf, size_t bytes);

/* Find a file that ships with Tribus ("models/forecast.onnx"): as given when absolute or
 * there, else under $TRIBUS_SHARE, beside the program, in its source tree, in
 * /usr/share/tribus. Returns TRIBUS_OK or TRIBUS_NOT_FOUND listing where it was looked for.
 */
TRIBUS_MUST_CHECK tribus_status tribus_platform_file(const char *relative, char *buf,
                                                     size_t bytes);

#endif
