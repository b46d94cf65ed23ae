/* fake_module.c -- modules, kernels and graphs of them; see fake_inside.h. */
#include "fake_inside.h"

#include <stdlib.h>
#include <string.h>

tribus_cu_result cuModuleLoadData(tribus_cu_module *module, const void *image)
{
    BEGIN("cuModuleLoadData");
    *module = (tribus_cu_module)(uintptr_t)image;
    fake_count(1);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuModuleUnload(tribus_cu_module module)
{
    (void)module;
    fake_count(-1);
    return TRIBUS_CU_OK;
}

/* Every module has every kernel that a test has registered. */
tribus_cu_result cuModuleGetFunctionCount(unsigned *n, tribus_cu_module module)
{
    (void)module;
    BEGIN("cuModuleGetFunctionCount");
    for (*n = 0; *n < FAKE_KERNELS && fake.kernels[*n].name != NULL;)
        ++*n;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuModuleEnumerateFunctions(tribus_cu_function *functions, unsigned most,
                                            tribus_cu_module module)
{
    (void)module;
    BEGIN("cuModuleEnumerateFunctions");
    for (unsigned i = 0; i < most; i++)
        functions[i] = (tribus_cu_function)(void *)&fake.kernels[i];
    return TRIBUS_CU_OK;
}

tribus_cu_result cuFuncGetName(const char **name, tribus_cu_function function)
{
    const fake_kernel *kernel = (const fake_kernel *)(void *)function;

    BEGIN("cuFuncGetName");
    *name = kernel->name;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuFuncLoad(tribus_cu_function function)
{
    (void)function;
    BEGIN("cuFuncLoad");
    return TRIBUS_CU_OK;
}

tribus_cu_result cuFuncSetAttribute(tribus_cu_function function, int attribute, int value)
{
    (void)function, (void)attribute, (void)value;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuLaunchKernel(tribus_cu_function function, unsigned grid_x,
                                unsigned grid_y, unsigned grid_z, unsigned block_x,
                                unsigned block_y, unsigned block_z, unsigned shared_bytes,
                                tribus_cu_stream stream, void **params, void **extra)
{
    const fake_kernel *kernel = (const fake_kernel *)(void *)function;
    fake_operation op = {.kind = FAKE_KERNEL, .grid = {grid_x, block_x}};

    (void)grid_y, (void)grid_z, (void)block_y, (void)block_z, (void)shared_bytes,
        (void)extra;
    BEGIN("cuLaunchKernel");
    op.kernel = kernel->fn;
    memcpy(op.argument, params[0], kernel->bytes);
    return fake_enqueue(stream, &op);
}

/* ---- graphs: the operations that a stream was given, given again ---- */

typedef struct fake_graph {
    fake_list list;
} fake_graph;

static fake_graph *graph_open(void)
{
    fake_graph *g = calloc(1, sizeof(*g));

    if (g != NULL) {
        g->list.last = &g->list.first;
        fake_count(1);
    }
    return g;
}

static void graph_close(fake_graph *g)
{
    while (g->list.first != NULL) {
        fake_operation *op = g->list.first;

        g->list.first = op->next;
        free(op);
    }
    free(g);
    fake_count(-1);
}

tribus_cu_result cuStreamBeginCapture_v2(tribus_cu_stream stream, int mode)
{
    fake_graph *g;

    (void)mode;
    BEGIN("cuStreamBeginCapture_v2");
    g = graph_open();
    if (g == NULL)
        return TRIBUS_CU_OUT_OF_MEMORY;
    if (fake_capture(stream, &g->list) == NULL)
        return TRIBUS_CU_OK;
    graph_close(g);
    return TRIBUS_CU_INVALID_VALUE;
}

tribus_cu_result cuStreamEndCapture(tribus_cu_stream stream, tribus_cu_graph *graph)
{
    fake_list *list = fake_capture(stream, NULL);

    if (list == NULL)
        return TRIBUS_CU_INVALID_VALUE;
    if (fake_begin("cuStreamEndCapture") != TRIBUS_CU_OK) {
        graph_close((fake_graph *)(void *)list); /* its first member */
        return TRIBUS_CU_INVALID_VALUE;
    }
    *graph = (tribus_cu_graph)(void *)list;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuGraphInstantiateWithFlags(tribus_cu_graph_exec *exec,
                                             tribus_cu_graph graph,
                                             unsigned long long flags)
{
    const fake_graph *from = (const fake_graph *)(void *)graph;
    fake_graph *g;

    (void)flags;
    BEGIN("cuGraphInstantiateWithFlags");
    g = graph_open();
    for (const fake_operation *op = from->list.first; g != NULL && op != NULL;
         op = op->next) {
        fake_operation *copy = malloc(sizeof(*copy));

        if (copy == NULL) {
            graph_close(g);
            g = NULL;
            break;
        }
        *copy = *op;
        copy->next = NULL;
        *g->list.last = copy;
        g->list.last = &copy->next;
    }
    if (g == NULL)
        return TRIBUS_CU_OUT_OF_MEMORY;
    *exec = (tribus_cu_graph_exec)(void *)g;
    return TRIBUS_CU_OK;
}

tribus_cu_result cuGraphLaunch(tribus_cu_graph_exec exec, tribus_cu_stream stream)
{
    const fake_graph *g = (const fake_graph *)(void *)exec;
    tribus_cu_result result = TRIBUS_CU_OK;

    BEGIN("cuGraphLaunch");
    for (const fake_operation *op = g->list.first; op != NULL && result == TRIBUS_CU_OK;
         op = op->next)
        result = fake_enqueue(stream, op);
    return result;
}

tribus_cu_result cuGraphExecDestroy(tribus_cu_graph_exec exec)
{
    graph_close((fake_graph *)(void *)exec);
    return TRIBUS_CU_OK;
}

tribus_cu_result cuGraphDestroy(tribus_cu_graph graph)
{
    graph_close((fake_graph *)(void *)graph);
    return TRIBUS_CU_OK;
}
