/* factors_parse.c -- the factor language: characters to a flat program.
 *
 *   expression = sum [ ('>' | '<') sum ]
 *   sum        = product { ('+' | '-') product }
 *   product    = unary { ('*' | '/') unary }
 *   unary      = [ '-' ] primary
 *   primary    = number | '$' field | name '(' arguments ')' | '(' expression ')'
 *
 * Every result is a node; before a node is appended the program is searched for an equal one,
 * so a sub-expression that 20 factors use is computed once. */
#include "tribus/quant_factors.h"

#include "quant/factors.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64 /* of nesting; the parser recurses */
#define NONE      UINT32_MAX

typedef struct parser {
    tribus_quant_factors *f;
    const char *start, *at, *end;
    tribus_quant_factor_error *error;
    tribus_status status;
    uint32_t line, depth;
} parser;

typedef struct value {
    uint32_t node;     /* NONE: an error was reported */
    int condition;     /* result of > or < */
    const char *where; /* its first character */
} value;

typedef enum signature {
    SIG_X,   /* (x) */
    SIG_XY,  /* (x, y) */
    SIG_XN,  /* (x, n) */
    SIG_XNQ, /* (x, n, q) */
    SIG_XYN  /* (x, y, n) */
} signature;

static const struct {
    const char *name;
    factor_op op;
    signature sig;
} functions[] = {
    {"Abs", OP_ABS, SIG_X},
    {"Log", OP_LOG, SIG_X},
    {"Greater", OP_GREATER, SIG_XY},
    {"Less", OP_LESS, SIG_XY},
    {"Ref", OP_REF, SIG_XN},
    {"Mean", OP_MEAN, SIG_XN},
    {"Sum", OP_SUM, SIG_XN},
    {"Std", OP_STD, SIG_XN},
    {"Max", OP_MAX, SIG_XN},
    {"Min", OP_MIN, SIG_XN},
    {"Slope", OP_SLOPE, SIG_XN},
    {"Rsquare", OP_RSQUARE, SIG_XN},
    {"Resi", OP_RESI, SIG_XN},
    {"Rank", OP_RANK, SIG_XN},
    {"IdxMax", OP_IDXMAX, SIG_XN},
    {"IdxMin", OP_IDXMIN, SIG_XN},
    {"Quantile", OP_QUANTILE, SIG_XNQ},
    {"Corr", OP_CORR, SIG_XYN},
};

static const char *const field_names[TRIBUS_QUANT_FIELDS] = {"open",  "high",   "low",
                                                             "close", "volume", "vwap"};

TRIBUS_PRINTF(4, 5)
static value fail(parser *p, tribus_status status, const char *where, const char *format,
                  ...)
{
    const value none = {NONE, 0, where};
    va_list args;

    if (p->status != TRIBUS_OK)
        return none; /* the first error is the one that explains */
    p->status = status;
    if (p->error == NULL)
        return none;
    p->error->line = p->line;
    p->error->column = (uint32_t)(where - p->start) + 1;
    va_start(args, format);
    (void)vsnprintf(p->error->text, sizeof(p->error->text), format, args);
    va_end(args);
    return none;
}

static void skip_space(parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t'))
        p->at++;
}

static int next_is(parser *p, char c)
{
    skip_space(p);
    return p->at < p->end && *p->at == c;
}

/* What stands at the parser's place, for an error: "')'", "the end". */
static const char *found(const parser *p, char text[16])
{
    if (p->at >= p->end)
        return "the end";
    if (*p->at > ' ' && *p->at < 127)
        (void)snprintf(text, 16, "'%c'", *p->at);
    else
        (void)snprintf(text, 16, "byte 0x%02x", (unsigned)(unsigned char)*p->at);
    return text;
}

static int expect(parser *p, char c, const char *why)
{
    char text[16];

    if (next_is(p, c)) {
        p->at++;
        return 1;
    }
    (void)fail(p, TRIBUS_BAD_DATA, p->at, "expected '%c' %s, found %s", c, why,
               found(p, text));
    return 0;
}

/* ---- nodes ---- */

static uint32_t add_node(parser *p, tribus_quant_factor_node n, const char *where)
{
    tribus_quant_factors *f = p->f;

    for (uint32_t i = 0; i < f->node_count; i++) {
        const tribus_quant_factor_node *m = &f->nodes[i];

        if (m->op == n.op && m->a == n.a && m->b == n.b && m->window == n.window &&
            memcmp(&m->value, &n.value, sizeof(n.value)) == 0)
            return i;
    }
    if (f->node_count == f->node_capacity)
        return fail(p, TRIBUS_FULL, where, "more than %u operations", f->node_capacity)
            .node;
    n.history = 1;
    f->nodes[f->node_count] = n;
    return f->node_count++;
}

static void look_back(parser *p, uint32_t node, uint32_t rows)
{
    if (node < p->f->node_count && p->f->nodes[node].history < rows)
        p->f->nodes[node].history = rows;
}

/* ---- the grammar ---- */

static value parse_expression(parser *p);

static int read_number(parser *p, double *out)
{
    char copy[64], *stop;
    size_t n = 0;

    skip_space(p);
    while (p->at + n < p->end && n < sizeof(copy) - 1) {
        const char c = p->at[n];
        const int exponent_sign =
            (c == '+' || c == '-') && n > 0 && (copy[n - 1] == 'e' || copy[n - 1] == 'E');

        if (!((c >= '0' && c <= '9') || c == '.' || c == 'e' || c == 'E' || exponent_sign))
            break;
        copy[n++] = c;
    }
    copy[n] = '\0';
    *out = strtod(copy, &stop);
    if (stop == copy || (copy[0] != '.' && !(copy[0] >= '0' && copy[0] <= '9')) ||
        !isfinite(*out))
        return 0;
    p->at += stop - copy;
    return 1;
}

/* A window: a whole number from 1 to FACTOR_WINDOW_MAX. */
static uint32_t parse_window(parser *p, const char *function)
{
    char text[16];
    const char *where;
    double n;

    skip_space(p);
    where = p->at;
    if (!read_number(p, &n)) {
        (void)fail(p, TRIBUS_BAD_DATA, where, "%s needs a number of rows here, found %s",
                   function, found(p, text));
        return 0;
    }
    if (n != floor(n) || n < 1.0 || n > FACTOR_WINDOW_MAX) {
        (void)fail(p, TRIBUS_BAD_DATA, where,
                   "%s of %g rows: use a whole number from 1 to %u", function, n,
                   FACTOR_WINDOW_MAX);
        return 0;
    }
    return (uint32_t)n;
}

static value parse_operand(parser *p, const char *function, int conditions)
{
    value v = parse_expression(p);

    if (v.node != NONE && v.condition && !conditions)
        return fail(p, TRIBUS_BAD_DATA, v.where,
                    "%s needs a number, this is a condition: only Mean and Sum take one",
                    function);
    return v;
}

static value parse_call(parser *p, const char *name, size_t bytes)
{
    tribus_quant_factor_node n = {0};
    value x, y = {0, 0, name};
    size_t which = 0;
    const size_t known = sizeof(functions) / sizeof(functions[0]);

    while (which < known && (strlen(functions[which].name) != bytes ||
                             memcmp(functions[which].name, name, bytes) != 0))
        which++;
    if (which == known)
        return fail(p, TRIBUS_BAD_DATA, name, "unknown function '%.*s'",
                    (int)(bytes < 32 ? bytes : 32), name);
    if (!expect(p, '(', "after a function"))
        return y.node = NONE, y;
    n.op = (uint8_t)functions[which].op;
    x = parse_operand(p, functions[which].name, n.op == OP_MEAN || n.op == OP_SUM);
    if (x.node != NONE &&
        (functions[which].sig == SIG_XY || functions[which].sig == SIG_XYN)) {
        if (expect(p, ',', "and a second series"))
            y = parse_operand(p, functions[which].name, 0);
    }
    if (p->status == TRIBUS_OK && functions[which].sig >= SIG_XN &&
        expect(p, ',', "and a number of rows"))
        n.window = parse_window(p, functions[which].name);
    if (p->status == TRIBUS_OK && functions[which].sig == SIG_XNQ &&
        expect(p, ',', "and a quantile")) {
        const char *where = p->at;

        if (!read_number(p, &n.value) || n.value > 1.0)
            return fail(p, TRIBUS_BAD_DATA, where, "a quantile is a number from 0 to 1");
    }
    if (p->status != TRIBUS_OK || !expect(p, ')', "to close the function"))
        return (value){NONE, 0, name};
    n.a = x.node;
    n.b = functions[which].sig == SIG_XY || functions[which].sig == SIG_XYN ? y.node : 0;
    if (n.window > 0) {
        look_back(p, n.a, n.op == OP_REF ? n.window + 1 : n.window);
        if (n.op == OP_CORR)
            look_back(p, n.b, n.window);
    }
    return (value){add_node(p, n, name), 0, name};
}

static value parse_field(parser *p)
{
    const char *where = p->at++;

    for (uint32_t i = 0; i < TRIBUS_QUANT_FIELDS; i++) {
        const size_t n = strlen(field_names[i]);
        const char *after = p->at + n;

        if ((size_t)(p->end - p->at) >= n && memcmp(p->at, field_names[i], n) == 0 &&
            !(after < p->end && ((*after >= 'a' && *after <= 'z') || *after == '_'))) {
            p->at = after;
            return (value){
                add_node(p, (tribus_quant_factor_node){.op = OP_FIELD, .a = i}, where), 0,
                where};
        }
    }
    return fail(p, TRIBUS_BAD_DATA, where,
                "expected $open, $high, $low, $close, $volume or $vwap");
}

static value parse_primary(parser *p)
{
    char text[16];
    const char *where;
    double number;

    skip_space(p);
    where = p->at;
    if (next_is(p, '(')) {
        value v;

        p->at++;
        v = parse_expression(p);
        if (v.node == NONE || !expect(p, ')', "to close the bracket"))
            v.node = NONE;
        v.where = where;
        return v;
    }
    if (next_is(p, '$'))
        return parse_field(p);
    while (p->at < p->end &&
           ((*p->at >= 'a' && *p->at <= 'z') || (*p->at >= 'A' && *p->at <= 'Z')))
        p->at++;
    if (p->at > where)
        return parse_call(p, where, (size_t)(p->at - where));
    if (read_number(p, &number))
        return (value){
            add_node(p, (tribus_quant_factor_node){.op = OP_NUMBER, .value = number},
                     where),
            0, where};
    return fail(p, TRIBUS_BAD_DATA, p->at,
                "expected a number, a $field, a function or '(', found %s", found(p, text));
}

static value binary(parser *p, factor_op op, value a, value b, const char *where)
{
    value v = {NONE, op == OP_GREATER_THAN || op == OP_LESS_THAN, a.where};

    if (a.node == NONE || b.node == NONE)
        return v;
    if (a.condition || b.condition)
        return fail(p, TRIBUS_BAD_DATA, where,
                    "'%c' needs numbers on both sides, one is a condition", *where);
    v.node = add_node(
        p, (tribus_quant_factor_node){.op = (uint8_t)op, .a = a.node, .b = b.node}, where);
    return v;
}

static value parse_unary(parser *p)
{
    const char *where = p->at;
    value v;

    if (!next_is(p, '-'))
        return parse_primary(p);
    where = p->at++;
    v = parse_primary(p);
    if (v.node == NONE)
        return v;
    v = binary(
        p, OP_SUB,
        (value){add_node(p, (tribus_quant_factor_node){.op = OP_NUMBER}, where), 0, where},
        v, where);
    return v;
}

static value parse_product(parser *p)
{
    value v = parse_unary(p);

    while (v.node != NONE && (next_is(p, '*') || next_is(p, '/'))) {
        const char *where = p->at++;

        v = binary(p, *where == '*' ? OP_MUL : OP_DIV, v, parse_unary(p), where);
    }
    return v;
}

static value parse_sum(parser *p)
{
    value v = parse_product(p);

    while (v.node != NONE && (next_is(p, '+') || next_is(p, '-'))) {
        const char *where = p->at++;

        v = binary(p, *where == '+' ? OP_ADD : OP_SUB, v, parse_product(p), where);
    }
    return v;
}

static value parse_expression(parser *p)
{
    value v;

    if (++p->depth > DEPTH_MAX)
        return fail(p, TRIBUS_BAD_DATA, p->at, "more than %d levels of brackets",
                    DEPTH_MAX);
    v = parse_sum(p);
    if (v.node != NONE && (next_is(p, '>') || next_is(p, '<'))) {
        const char *where = p->at++;

        v = binary(p, *where == '>' ? OP_GREATER_THAN : OP_LESS_THAN, v, parse_sum(p),
                   where);
    }
    p->depth--;
    return v;
}

/* ---- the doors ---- */

static size_t round_up(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

size_t tribus_quant_factors_bytes(uint32_t factors, uint32_t nodes)
{
    return (size_t)nodes * sizeof(tribus_quant_factor_node) +
           round_up((size_t)factors * sizeof(uint32_t)) +
           (size_t)factors * TRIBUS_QUANT_FACTOR_NAME;
}

void tribus_quant_factors_init(tribus_quant_factors *f, uint32_t factors, uint32_t nodes,
                               void *memory)
{
    *f = (tribus_quant_factors){.node_capacity = nodes, .capacity = factors};
    f->nodes = memory;
    f->outputs = (uint32_t *)(f->nodes + nodes);
    f->names = (char(*)[TRIBUS_QUANT_FACTOR_NAME])(
        (char *)f->outputs + round_up((size_t)factors * sizeof(uint32_t)));
}

static int name_is_bad(const char *name, size_t bytes)
{
    if (bytes == 0 || bytes >= TRIBUS_QUANT_FACTOR_NAME)
        return 1;
    for (size_t i = 0; i < bytes; i++) {
        const char c = name[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_'))
            return 1;
    }
    return 0;
}

static tribus_status compile(parser *p, const char *name, size_t name_bytes)
{
    tribus_quant_factors *f = p->f;
    const uint32_t before = f->node_count;
    char text[16];
    value v;

    if (name_is_bad(name, name_bytes)) {
        (void)fail(p, TRIBUS_BAD_DATA, p->start, "a name has 1 to %d letters, digits or _",
                   TRIBUS_QUANT_FACTOR_NAME - 1);
        return p->status;
    }
    for (uint32_t i = 0; i < f->count; i++) {
        if (strlen(f->names[i]) == name_bytes &&
            memcmp(f->names[i], name, name_bytes) == 0) {
            (void)fail(p, TRIBUS_EXISTS, p->start, "the name %s is taken", f->names[i]);
            return p->status;
        }
    }
    if (f->count == f->capacity) {
        (void)fail(p, TRIBUS_FULL, p->start, "more than %u factors", f->capacity);
        return p->status;
    }
    v = parse_expression(p);
    skip_space(p);
    if (v.node != NONE && p->at < p->end)
        v = fail(p, TRIBUS_BAD_DATA, p->at, "expected an operator or the end, found %s",
                 found(p, text));
    if (v.node != NONE && v.condition)
        v = fail(p, TRIBUS_BAD_DATA, v.where, "a factor is a number, this is a condition");
    if (p->status != TRIBUS_OK) {
        f->node_count = before;
        return p->status;
    }
    memcpy(f->names[f->count], name, name_bytes);
    f->names[f->count][name_bytes] = '\0';
    f->outputs[f->count++] = v.node;
    return TRIBUS_OK;
}

tribus_status tribus_quant_factors_add(tribus_quant_factors *f, const char *name,
                                       size_t name_bytes, const char *text,
                                       size_t text_bytes, tribus_quant_factor_error *error)
{
    parser p = {f, text, text, text + text_bytes, error, TRIBUS_OK, 1, 0};

    return compile(&p, name, name_bytes);
}

tribus_status tribus_quant_factors_parse(tribus_quant_factors *f, const char *text,
                                         size_t bytes, tribus_quant_factor_error *error)
{
    const char *end = text + bytes;
    uint32_t line = 0;

    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        const char *next, *hash, *equals, *name = text, *name_end;
        parser p = {f, text, text, NULL, error, TRIBUS_OK, ++line, 0};

        stop = stop == NULL ? end : stop;
        next = stop == end ? end : stop + 1;
        hash = memchr(text, '#', (size_t)(stop - text));
        p.end = hash == NULL ? stop : hash;
        while (p.end > text && (p.end[-1] == '\r' || p.end[-1] == ' ' || p.end[-1] == '\t'))
            p.end--;
        while (name < p.end && (*name == ' ' || *name == '\t'))
            name++;
        text = next;
        if (name == p.end)
            continue;
        equals = memchr(name, '=', (size_t)(p.end - name));
        if (equals == NULL) {
            (void)fail(&p, TRIBUS_BAD_DATA, name, "expected NAME = expression");
            return p.status;
        }
        name_end = equals;
        while (name_end > name && (name_end[-1] == ' ' || name_end[-1] == '\t'))
            name_end--;
        p.at = equals + 1;
        if (compile(&p, name, (size_t)(name_end - name)) != TRIBUS_OK)
            return p.status;
    }
    return TRIBUS_OK;
}
