/* pipeline_answer_inputs.c -- the inputs of a run that is started from the wire; see
 * pipeline_answer.h. Every word is hostile until read to its end. */
#include "pipeline/pipeline_answer.h"

#include "base/error.h"
#include "pipeline/pipeline.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_number(const tribus_tensor *t, uint64_t i, double value)
{
    if (t->dtype.code == TRIBUS_DTYPE_FLOAT && t->dtype.bits == 32)
        ((float *)t->data)[i] = (float)value;
    else if (t->dtype.code == TRIBUS_DTYPE_FLOAT)
        ((double *)t->data)[i] = value;
    else if (t->dtype.bits == 32)
        ((int32_t *)t->data)[i] = (int32_t)value;
    else
        ((int64_t *)t->data)[i] = (int64_t)value;
}

/* dtypes into which a number can be written without a question. */
static bool takes_numbers(tribus_dtype d)
{
    return d.lanes == 1 && (d.code == TRIBUS_DTYPE_FLOAT || d.code == TRIBUS_DTYPE_INT) &&
           (d.bits == 32 || d.bits == 64);
}

static tribus_status fill_input(const tribus_tensor *t, const char *name, const char *word)
{
    char *end = NULL;
    const double value = strtod(word, &end);

    if (end == word || *end != '\0' || !isfinite(value) || fabs(value) > 1e9)
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "inputs: %s=%.40s: a number, or region:slot:generation, is "
                                "wanted",
                                name, word);
    if (!takes_numbers(t->dtype))
        return tribus_error_set(TRIBUS_BAD_ARG, "inputs: %s is filled from a region only",
                                name);
    for (uint64_t i = 0; i < tribus_tensor_elements(t); i++)
        put_number(t, i, value);
    return TRIBUS_OK;
}

static tribus_status find_region(tribus_session *session, uint32_t number,
                                 tribus_object *out)
{
    uint32_t cursor = 0;

    while (tribus_session_next_object(session, &cursor, out) == TRIBUS_OK)
        if (out->owner != 0 && out->number == number && out->kind == TRIBUS_OBJECT_REGION)
            return TRIBUS_OK;
    return tribus_error_set(TRIBUS_NOT_FOUND, "inputs: there is no region %u", number);
}

static tribus_status copy_slot(tribus_pipeline *pipe, uint32_t input,
                               const tribus_slot_ref *ref, void *mem, size_t bytes)
{
    tribus_region *region = NULL;
    const void *from;
    tribus_status st = tribus_region_open(mem, bytes, TRIBUS_READER,
                                          TRIBUS_PIPELINE_ANSWER_HOLDER, &region);

    if (st != TRIBUS_OK)
        return st;
    st = tribus_region_receive(region, ref, &from);
    if (st == TRIBUS_OK) {
        st = tribus_pipeline_copy_input(pipe, input, from, (size_t)ref->bytes);
        if (tribus_region_release(region, ref) != TRIBUS_OK)
            tribus_error_clear(); /* received above, so it is ours to release */
    } else {
        tribus_error_add("inputs: slot %u of region %u", ref->slot, ref->region);
    }
    tribus_region_close(region);
    return st;
}

/* word: "region:slot:generation" */
static tribus_status copy_input(tribus_session *session, tribus_pipeline *pipe,
                                uint32_t input, const char *word, uint64_t bytes)
{
    tribus_slot_ref ref = {.bytes = bytes};
    tribus_object object;
    void *mem;
    int used = 0;
    tribus_status st;

    if (sscanf(word, "%" SCNu32 ":%" SCNu32 ":%" SCNu64 "%n", &ref.region, &ref.slot,
               &ref.generation, &used) != 3 ||
        word[used] != '\0')
        return tribus_error_set(TRIBUS_BAD_ARG,
                                "inputs: %.60s: region:slot:generation is wanted", word);
    st = find_region(session, ref.region, &object);
    if (st == TRIBUS_OK)
        st = tribus_session_open_object(session, object.name, 1, &object, &mem);
    if (st != TRIBUS_OK)
        return st;
    st = copy_slot(pipe, input, &ref, mem, (size_t)object.bytes);
    if (object.owner != tribus_session_participant(session))
        tribus_session_drop(session, &object, 0); /* somebody else's */
    return st;
}

static tribus_status write_word(tribus_session *session, tribus_pipeline *pipe, char *word)
{
    char *equals = strchr(word, '=');
    tribus_tensor t;
    uint32_t input;
    tribus_status st;

    if (equals == NULL || equals == word)
        return tribus_error_set(TRIBUS_BAD_ARG, "inputs: %.40s: input=value is wanted",
                                word);
    *equals = '\0';
    st = tribus_pipeline_find_input(pipe, word, &input);
    if (st == TRIBUS_OK)
        st = tribus_pipeline_input(pipe, input, &t);
    if (st != TRIBUS_OK)
        return st;
    if (strchr(equals + 1, ':') == NULL)
        return fill_input(&t, word, equals + 1);
    return copy_input(session, pipe, input, equals + 1,
                      tribus_tensor_elements(&t) * tribus_dtype_bytes(t.dtype));
}

/* Zeros where nothing is said; what was kept is kept. */
static tribus_status clear_inputs(tribus_pipeline *pipe)
{
    const tribus_graph_node *first = &pipe->plan->graph->nodes[0];

    for (uint32_t i = 0; i < first->output_count; i++) {
        const tribus_graph_port *port = &first->outputs[i];
        tribus_tensor t;
        tribus_status st;

        if (port->keep && pipe->kept_written[port->kept])
            continue;
        st = tribus_pipeline_input(pipe, i, &t);
        if (st != TRIBUS_OK)
            return st;
        memset(t.data, 0, (size_t)port->bytes);
    }
    return TRIBUS_OK;
}

tribus_status tribus_pipeline_answer_inputs(tribus_session *session, tribus_pipeline *pipe,
                                            const char *text)
{
    tribus_status st = clear_inputs(pipe);
    char words[256];
    char *rest = words;

    if (strlen(text) >= sizeof(words))
        return tribus_error_set(TRIBUS_BAD_ARG, "inputs: %zu letters are possible",
                                sizeof(words) - 1);
    (void)snprintf(words, sizeof(words), "%s", text);
    while (st == TRIBUS_OK && *rest != '\0') {
        char *word = rest + strspn(rest, " ");

        rest = word + strcspn(word, " ");
        if (*rest != '\0')
            *rest++ = '\0';
        if (*word != '\0')
            st = write_word(session, pipe, word);
    }
    return st;
}
