/* document.h -- a YAML text as a tree whose nodes know their line.
 *
 * Use it to   read a pipeline's text and name file and line in every error.
 * Not for     the platform's configuration (base/config.h) or writing YAML.
 *
 * Memory      A node is a number; its words are borrowed until the document is closed.
 * Trust       The text is hostile: its size and number of nodes are bounded, and nothing
 *             here recurses.
 */
#ifndef TRIBUS_PIPELINE_DOCUMENT_H
#define TRIBUS_PIPELINE_DOCUMENT_H

#include "tribus/base.h"

#include <stdbool.h>
#include <stddef.h>

#define TRIBUS_DOCUMENT_MOST_BYTES (4u << 20)

typedef struct tribus_document tribus_document;

/* A node's number; 0 is none. */
typedef int tribus_node;

/* Parse one document. origin: its name in errors, copied.
 * Returns TRIBUS_OK, TRIBUS_BAD_DATA (text: origin, line and why) or TRIBUS_NO_MEMORY. */
TRIBUS_MUST_CHECK tribus_status tribus_document_open(const char *text, size_t bytes,
                                                     const char *origin,
                                                     tribus_document **out);
void tribus_document_close(tribus_document *doc);

/* "origin:line: " and the rest becomes the error text; returns TRIBUS_BAD_DATA. */
tribus_status tribus_document_fault(const tribus_document *doc, int line, const char *fmt,
                                    ...) TRIBUS_PRINTF(3, 4);

tribus_node tribus_document_root(const tribus_document *doc);
int tribus_document_line(const tribus_document *doc, tribus_node node);

bool tribus_document_is_map(const tribus_document *doc, tribus_node node);
bool tribus_document_is_list(const tribus_document *doc, tribus_node node);

/* Value of a key of a map, 0 when it is not there or node is no map. */
tribus_node tribus_document_get(const tribus_document *doc, tribus_node map,
                                const char *key);

/* Pair i of a map. Returns false past the last. */
bool tribus_document_pair(const tribus_document *doc, tribus_node map, int i,
                          tribus_node *key, tribus_node *value);

/* Element i of a list, 0 past the last. */
tribus_node tribus_document_item(const tribus_document *doc, tribus_node list, int i);

/* The word of a scalar, NULL when node is none or no scalar. */
const char *tribus_document_word(const tribus_document *doc, tribus_node node);

/* Fail when the map has a key that is not in the zero-ended list, or one twice.
 * what: "stage", "edge": named in the text. */
TRIBUS_MUST_CHECK tribus_status tribus_document_keys(const tribus_document *doc,
                                                     tribus_node map, const char *what,
                                                     const char *const *allowed);

/* Read scalars. key names the thing in the text. Returns TRIBUS_OK or TRIBUS_BAD_DATA. */
TRIBUS_MUST_CHECK tribus_status tribus_document_number(const tribus_document *doc,
                                                       tribus_node node, const char *key,
                                                       double *out);
TRIBUS_MUST_CHECK tribus_status tribus_document_whole(const tribus_document *doc,
                                                      tribus_node node, const char *key,
                                                      int64_t *out);
TRIBUS_MUST_CHECK tribus_status tribus_document_bool(const tribus_document *doc,
                                                     tribus_node node, const char *key,
                                                     bool *out);
/* A name: letters, digits, '_' and '-', 1..bytes-1 of them. */
TRIBUS_MUST_CHECK tribus_status tribus_document_name(const tribus_document *doc,
                                                     tribus_node node, const char *key,
                                                     char *out, size_t bytes);

#endif
