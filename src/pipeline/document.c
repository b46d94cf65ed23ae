/* document.c -- see document.h. libyaml composes the tree; aliases make it a graph, but the
 * readers of a pipeline descend a fixed number of levels, so a loop cannot trap them. */
#include "pipeline/document.h"

#include "base/error.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct tribus_document {
    yaml_document_t yaml;
    bool composed;
    char origin[256];
};

/* libyaml's accessors want a pointer they may write through, and do not. */
static const yaml_node_t *node_of(const tribus_document *doc, tribus_node node)
{
    const yaml_document_t *y = &doc->yaml;

    if (node < 1 || y->nodes.start + node > y->nodes.top)
        return NULL;
    return y->nodes.start + node - 1;
}

tribus_status tribus_document_fault(const tribus_document *doc, int line, const char *fmt,
                                    ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return tribus_error_set(TRIBUS_BAD_DATA, "%s:%d: %s", doc->origin, line, text);
}

tribus_status tribus_document_open(const char *text, size_t bytes, const char *origin,
                                   tribus_document **out)
{
    yaml_parser_t parser;
    tribus_document *doc = calloc(1, sizeof(*doc));
    tribus_status st = TRIBUS_OK;

    if (doc == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "read %s", origin);
    (void)snprintf(doc->origin, sizeof(doc->origin), "%s", origin);
    if (bytes > TRIBUS_DOCUMENT_MOST_BYTES) {
        st = tribus_document_fault(doc, 1,
                                   "%zu bytes are more than the %u a pipeline may have",
                                   bytes, TRIBUS_DOCUMENT_MOST_BYTES);
        goto fail;
    }
    if (!yaml_parser_initialize(&parser)) {
        st = tribus_error_set(TRIBUS_NO_MEMORY, "read %s", origin);
        goto fail;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    doc->composed = yaml_parser_load(&parser, &doc->yaml) != 0;
    if (!doc->composed)
        st = tribus_document_fault(doc, (int)parser.problem_mark.line + 1, "not YAML: %s",
                                   parser.problem != NULL ? parser.problem : "no memory");
    else if (tribus_document_root(doc) == 0)
        st = tribus_document_fault(doc, 1,
                                   "empty: a pipeline starts with `pipeline: <name>`");
    yaml_parser_delete(&parser);
    if (st != TRIBUS_OK)
        goto fail;
    *out = doc;
    return TRIBUS_OK;

fail:
    tribus_document_close(doc);
    return st;
}

void tribus_document_close(tribus_document *doc)
{
    if (doc == NULL)
        return;
    if (doc->composed)
        yaml_document_delete(&doc->yaml);
    free(doc);
}

tribus_node tribus_document_root(const tribus_document *doc)
{
    return node_of(doc, 1) != NULL ? 1 : 0;
}

int tribus_document_line(const tribus_document *doc, tribus_node node)
{
    const yaml_node_t *n = node_of(doc, node);

    return n != NULL ? (int)n->start_mark.line + 1 : 1;
}

bool tribus_document_is_map(const tribus_document *doc, tribus_node node)
{
    const yaml_node_t *n = node_of(doc, node);

    return n != NULL && n->type == YAML_MAPPING_NODE;
}

bool tribus_document_is_list(const tribus_document *doc, tribus_node node)
{
    const yaml_node_t *n = node_of(doc, node);

    return n != NULL && n->type == YAML_SEQUENCE_NODE;
}

bool tribus_document_pair(const tribus_document *doc, tribus_node map, int i,
                          tribus_node *key, tribus_node *value)
{
    const yaml_node_t *n = node_of(doc, map);
    const yaml_node_pair_t *p;

    if (n == NULL || n->type != YAML_MAPPING_NODE)
        return false;
    if (i < 0 || i >= n->data.mapping.pairs.top - n->data.mapping.pairs.start)
        return false;
    p = n->data.mapping.pairs.start + i;
    *key = p->key;
    *value = p->value;
    return true;
}

tribus_node tribus_document_get(const tribus_document *doc, tribus_node map,
                                const char *key)
{
    tribus_node k, v;

    for (int i = 0; tribus_document_pair(doc, map, i, &k, &v); i++) {
        const char *word = tribus_document_word(doc, k);

        if (word != NULL && strcmp(word, key) == 0)
            return v;
    }
    return 0;
}

tribus_node tribus_document_item(const tribus_document *doc, tribus_node list, int i)
{
    const yaml_node_t *n = node_of(doc, list);

    if (n == NULL || n->type != YAML_SEQUENCE_NODE)
        return 0;
    if (i < 0 || i >= n->data.sequence.items.top - n->data.sequence.items.start)
        return 0;
    return n->data.sequence.items.start[i];
}

const char *tribus_document_word(const tribus_document *doc, tribus_node node)
{
    const yaml_node_t *n = node_of(doc, node);

    if (n == NULL || n->type != YAML_SCALAR_NODE)
        return NULL;
    if (strlen((const char *)n->data.scalar.value) != n->data.scalar.length)
        return NULL; /* a zero byte inside */
    return (const char *)n->data.scalar.value;
}

static bool among(const char *word, const char *const *allowed)
{
    for (; *allowed != NULL; allowed++)
        if (strcmp(word, *allowed) == 0)
            return true;
    return false;
}

tribus_status tribus_document_keys(const tribus_document *doc, tribus_node map,
                                   const char *what, const char *const *allowed)
{
    tribus_node k, v;
    char list[256] = "";
    size_t used = 0;

    if (!tribus_document_is_map(doc, map))
        return tribus_document_fault(doc, tribus_document_line(doc, map),
                                     "%s: a map of keys is wanted here", what);
    for (int i = 0; tribus_document_pair(doc, map, i, &k, &v); i++) {
        const char *word = tribus_document_word(doc, k);

        if (word != NULL && among(word, allowed)) {
            if (tribus_document_get(doc, map, word) != v)
                return tribus_document_fault(doc, tribus_document_line(doc, k),
                                             "%s: key `%s` is here twice", what, word);
            continue;
        }
        for (int j = 0; allowed[j] != NULL && used < sizeof(list); j++)
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
                                     j > 0 ? ", " : "", allowed[j]);
        return tribus_document_fault(doc, tribus_document_line(doc, k),
                                     "%s: unknown key `%.40s`; known are %s", what,
                                     word != NULL ? word : "?", list);
    }
    return TRIBUS_OK;
}

tribus_status tribus_document_number(const tribus_document *doc, tribus_node node,
                                     const char *key, double *out)
{
    const char *word = tribus_document_word(doc, node);
    char *end = NULL;
    double v = 0.0;

    if (word != NULL && *word != '\0')
        v = strtod(word, &end);
    if (end == NULL || *end != '\0' || !isfinite(v))
        return tribus_document_fault(doc, tribus_document_line(doc, node),
                                     "%s: `%.40s` is not a number", key,
                                     word != NULL ? word : "?");
    *out = v;
    return TRIBUS_OK;
}

tribus_status tribus_document_whole(const tribus_document *doc, tribus_node node,
                                    const char *key, int64_t *out)
{
    const char *word = tribus_document_word(doc, node);
    char *end = NULL;
    long long v = 0;

    errno = 0;
    if (word != NULL && *word != '\0')
        v = strtoll(word, &end, 10);
    if (end == NULL || *end != '\0' || errno != 0)
        return tribus_document_fault(doc, tribus_document_line(doc, node),
                                     "%s: `%.40s` is not a whole number", key,
                                     word != NULL ? word : "?");
    *out = v;
    return TRIBUS_OK;
}

tribus_status tribus_document_bool(const tribus_document *doc, tribus_node node,
                                   const char *key, bool *out)
{
    const char *word = tribus_document_word(doc, node);

    if (word == NULL || (strcmp(word, "true") != 0 && strcmp(word, "false") != 0))
        return tribus_document_fault(doc, tribus_document_line(doc, node),
                                     "%s: `%.40s` is neither true nor false", key,
                                     word != NULL ? word : "?");
    *out = *word == 't';
    return TRIBUS_OK;
}

static bool name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_' || c == '-';
}

tribus_status tribus_document_name(const tribus_document *doc, tribus_node node,
                                   const char *key, char *out, size_t bytes)
{
    const char *word = tribus_document_word(doc, node);
    size_t n = 0;

    if (word == NULL)
        return tribus_document_fault(doc, tribus_document_line(doc, node),
                                     "%s: a name is wanted here", key);
    while (name_byte(word[n]))
        n++;
    if (n == 0 || n >= bytes || word[n] != '\0')
        return tribus_document_fault(
            doc, tribus_document_line(doc, node),
            "%s: `%.60s` is not a name: 1 to %zu letters, digits, _ or -", key, word,
            bytes - 1);
    memcpy(out, word, n + 1);
    return TRIBUS_OK;
}
