/* operation_library.c -- operations of users, in shared objects; see tribus/operation.h. */
#include "base/error.h"
#include "pipeline/operation.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool knows(const char *word)
{
    const size_t n = strlen(word);

    return n > 3 && strcmp(word + n - 3, ".so") == 0;
}

static tribus_status check(const tribus_graph *graph, const tribus_graph_node *node)
{
    char path[1024];
    const tribus_status st = tribus_operation_path(graph, node, path, sizeof(path));

    if (st == TRIBUS_OK && access(path, R_OK) != 0)
        return tribus_operation_fault(
            graph, node, TRIBUS_BAD_DATA,
            "library %s cannot be read: paths are relative to the "
            "pipeline's folder",
            path);
    return st;
}

/* A table we can read: of our ABI, counts inside their arrays, no missing function. */
static bool sound(const tribus_operation_entry *e)
{
    return e->abi == TRIBUS_OPERATION_ABI && e->name != NULL && e->run != NULL &&
           e->input_count <= TRIBUS_KERNEL_MAX_PORTS &&
           e->output_count <= TRIBUS_KERNEL_MAX_PORTS &&
           e->param_count <= TRIBUS_KERNEL_MAX_PARAMS;
}

static tribus_status open_entry(tribus_operation *op, const tribus_operation_entry *entry)
{
    char why[TRIBUS_PIPELINE_TEXT_BYTES] = "";
    tribus_status st = tribus_operation_match(op->graph, op->node, entry);

    if (st == TRIBUS_OK && op->node->batch > 1 &&
        (entry->flags & TRIBUS_OPERATION_ROWS) == 0)
        st = tribus_operation_fault(op->graph, op->node, TRIBUS_BAD_DATA,
                                    "batch: operation %s takes one run at a time",
                                    entry->name);
    if (st == TRIBUS_OK)
        st = tribus_operation_params(op->graph, op->node, entry, op->params);
    if (st != TRIBUS_OK || entry->open == NULL)
        return st;
    st = entry->open(op->params, &op->context, why);
    why[sizeof(why) - 1] = '\0';
    return st == TRIBUS_OK ? st
                           : tribus_operation_fault(op->graph, op->node, st, "open %s: %s",
                                                    entry->name, why);
}

static tribus_status run_entry(const tribus_operation *op,
                               const tribus_operation_entry *entry,
                               const tribus_operation_call *call)
{
    char why[TRIBUS_PIPELINE_TEXT_BYTES] = "";
    tribus_operation_call copy = *call;
    tribus_status st;

    copy.why = why;
    st = entry->run(op->context, op->params, &copy);
    if (st == TRIBUS_OK)
        return st;
    why[sizeof(why) - 1] = '\0';
    return tribus_error_set(st, "%s: %s", entry->name,
                            why[0] != '\0' ? why : tribus_status_name(st));
}

/* ---- libraries ---- */

typedef struct library {
    void *handle;
    const tribus_operation_entry *entry;
} library;

static bool library_takes_rows(const char *word)
{
    (void)word; /* its table says, when it is opened */
    return true;
}

static tribus_status open_library(tribus_operation *op)
{
    char path[1024];
    library *lib = calloc(1, sizeof(*lib));
    tribus_status st = tribus_operation_path(op->graph, op->node, path, sizeof(path));

    op->body = lib;
    if (lib == NULL)
        return tribus_operation_fault(op->graph, op->node, TRIBUS_NO_MEMORY, "load");
    if (st != TRIBUS_OK)
        return st;
    lib->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (lib->handle == NULL)
        return tribus_operation_fault(op->graph, op->node, TRIBUS_BAD_DATA, "load: %s",
                                      dlerror());
    lib->entry = dlsym(lib->handle, "tribus_operation");
    if (lib->entry == NULL)
        return tribus_operation_fault(op->graph, op->node, TRIBUS_BAD_DATA,
                                      "library %s: exports no `tribus_operation`", path);
    if (!sound(lib->entry)) {
        lib->entry = NULL;
        return tribus_operation_fault(op->graph, op->node, TRIBUS_VERSION,
                                      "library %s: its table is not of version %u", path,
                                      TRIBUS_OPERATION_ABI);
    }
    st = open_entry(op, lib->entry);
    if (st != TRIBUS_OK)
        lib->entry = NULL; /* nothing to close */
    return st;
}

static tribus_status run_library(tribus_operation *op, const tribus_operation_call *call)
{
    return run_entry(op, ((const library *)op->body)->entry, call);
}

static void close_library(tribus_operation *op)
{
    library *lib = op->body;

    if (lib == NULL)
        return;
    if (lib->entry != NULL && lib->entry->close != NULL)
        lib->entry->close(op->context);
    if (lib->handle != NULL)
        (void)dlclose(lib->handle);
    free(lib);
}

const tribus_operation_kind tribus_operation_library = {.name = "library",
                                                        .knows = knows,
                                                        .check = check,
                                                        .takes_rows = library_takes_rows,
                                                        .open = open_library,
                                                        .run = run_library,
                                                        .close = close_library};

/* ---- built in: the same face, found in our own table ---- */

static const tribus_operation_entry *find(const char *word)
{
    const tribus_operation_entry *e = NULL;

    for (uint32_t i = 0; (e = tribus_operation_list(i)) != NULL; i++)
        if (strcmp(e->name, word) == 0)
            break;
    return e;
}

static bool knows_inbuilt(const char *word)
{
    return find(word) != NULL;
}

static bool inbuilt_takes_rows(const char *word)
{
    return (find(word)->flags & TRIBUS_OPERATION_ROWS) != 0;
}

static tribus_status check_inbuilt(const tribus_graph *graph, const tribus_graph_node *node)
{
    const tribus_operation_entry *entry = find(node->operation);
    const tribus_status st = tribus_operation_match(graph, node, entry);

    return st == TRIBUS_OK ? tribus_operation_params(graph, node, entry, NULL) : st;
}

static tribus_status open_inbuilt(tribus_operation *op)
{
    const tribus_status st = open_entry(op, find(op->node->operation));

    if (st == TRIBUS_OK)
        op->body = (void *)(uintptr_t)find(op->node->operation); /* never written */
    return st;
}

static tribus_status run_inbuilt(tribus_operation *op, const tribus_operation_call *call)
{
    return run_entry(op, op->body, call);
}

static void close_inbuilt(tribus_operation *op)
{
    const tribus_operation_entry *entry = op->body;

    if (entry != NULL && entry->close != NULL)
        entry->close(op->context);
}

const tribus_operation_kind tribus_operation_inbuilt = {.name = "built in",
                                                        .knows = knows_inbuilt,
                                                        .check = check_inbuilt,
                                                        .takes_rows = inbuilt_takes_rows,
                                                        .open = open_inbuilt,
                                                        .run = run_inbuilt,
                                                        .close = close_inbuilt};
