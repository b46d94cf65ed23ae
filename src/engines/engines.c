/* engines.c -- the table of engines. */
#include "engines/engine.h"

#include <string.h>

static const tribus_engine_ops *const engines[] = {
    &tribus_engine_marketdata,
    &tribus_engine_ml,
    &tribus_engine_risk,
};

#define ENGINE_COUNT (sizeof(engines) / sizeof(engines[0]))

const tribus_engine_ops *tribus_engine_at(size_t i)
{
    return i < ENGINE_COUNT ? engines[i] : NULL;
}

const tribus_engine_ops *tribus_engine_find(const char *name)
{
    for (size_t i = 0; i < ENGINE_COUNT; i++)
        if (strcmp(engines[i]->name, name) == 0)
            return engines[i];
    return NULL;
}
