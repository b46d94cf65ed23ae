/* cuda_graph.c -- see cuda_graph.h. */
#include "device/cuda_graph.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

typedef struct seen {
    const tribus_kernel_code *code; /* NULL: free */
    tribus_kernel_args args;
    tribus_cu_graph_exec exec; /* NULL: not captured yet */
    bool plain;                /* cannot be captured */
    uint64_t used;
} seen;

struct tribus_cuda_graphs {
    seen list[TRIBUS_CUDA_GRAPHS];
    uint64_t uses;
    tribus_cuda_graph_counts counts;
};

static void forget(const tribus_cuda_context *c, seen *x)
{
    if (x->exec != NULL)
        (void)c->cu->graph_exec_destroy(x->exec);
    memset(x, 0, sizeof(*x));
}

/* The place of these arguments: theirs, a free one, or the one not used for longest. */
static seen *find(tribus_cuda_context *c, const tribus_kernel_code *code,
                  const tribus_kernel_args *args)
{
    tribus_cuda_graphs *g = c->graphs;
    seen *oldest = &g->list[0];

    for (uint32_t i = 0; i < TRIBUS_CUDA_GRAPHS; i++) {
        seen *x = &g->list[i];

        if (x->code == code && memcmp(&x->args, args, sizeof(*args)) == 0)
            return x;
        if (x->used < oldest->used)
            oldest = x;
    }
    forget(c, oldest);
    oldest->code = code;
    memcpy(&oldest->args, args, sizeof(*args));
    return oldest;
}

/* Returns TRIBUS_OK with exec set, or whatever stood in the way; the stream is as before. */
static tribus_status capture(tribus_cuda_context *c, seen *x)
{
    const tribus_cuda_driver *cu = c->cu;
    tribus_cu_graph graph = NULL;
    tribus_status st = tribus_cuda_context_check(
        c, cu->stream_begin_capture(c->main.stream, TRIBUS_CU_CAPTURE_THREAD_LOCAL),
        "begin a capture");
    tribus_status ended;

    if (st != TRIBUS_OK)
        return st;
    c->main.capturing = true; /* marks of the queue are no part of the graph */
    st = x->code->cuda(&c->base, &x->args);
    c->main.capturing = false;
    ended = tribus_cuda_context_check(c, cu->stream_end_capture(c->main.stream, &graph),
                                      "end a capture");
    if (st == TRIBUS_OK)
        st = ended;
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(c, cu->graph_instantiate(&x->exec, graph, 0),
                                       "make a graph");
    if (graph != NULL)
        (void)cu->graph_destroy(graph);
    return st;
}

tribus_status tribus_cuda_graph_run(tribus_cuda_context *c, const tribus_kernel_code *code,
                                    const tribus_kernel_args *args)
{
    tribus_status st;
    seen *x;

    if (c->graphs == NULL)
        c->graphs = calloc(1, sizeof(*c->graphs));
    if (c->graphs == NULL)
        return tribus_error_set(TRIBUS_NO_MEMORY, "graphs: %zu bytes", sizeof(*c->graphs));
    x = find(c, code, args);
    if (x->used != 0 && x->exec == NULL && !x->plain && capture(c, x) != TRIBUS_OK) {
        tribus_error_clear(); /* the plain way says what is wrong, if something is */
        x->plain = true;
    }
    x->used = ++c->graphs->uses;
    if (x->exec == NULL) {
        c->graphs->counts.queued++;
        return code->cuda(&c->base, args);
    }
    st = tribus_cuda_stream_claim(&c->main, 1);
    if (st == TRIBUS_OK)
        st = tribus_cuda_context_check(c, c->cu->graph_launch(x->exec, c->main.stream),
                                       "launch a graph");
    c->graphs->counts.launched += st == TRIBUS_OK ? 1 : 0;
    return st;
}

tribus_cuda_graph_counts tribus_cuda_graph_get_counts(const tribus_cuda_context *c)
{
    return c->graphs == NULL ? (tribus_cuda_graph_counts){0, 0} : c->graphs->counts;
}

void tribus_cuda_graph_close_all(tribus_cuda_context *c)
{
    for (uint32_t i = 0; c->graphs != NULL && i < TRIBUS_CUDA_GRAPHS; i++)
        forget(c, &c->graphs->list[i]);
    free(c->graphs);
    c->graphs = NULL;
}
