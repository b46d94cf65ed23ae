/* The generated Python classes and the C side read each other, for every type. */
#include "tribus/base.h"
#include "tribus/wire.h"

#include "check.h"

#include <unistd.h>

#define PYTHON "/usr/bin/python3"

/* One message of every class, every field away from its default. */
static const char write_all[] =
    "import dataclasses, sys\n"
    "from decimal import Decimal\n"
    "import tribus_messages as t\n"
    "def value(f, n):\n"
    "    k, limit = f.metadata['kind'], f.metadata['limit']\n"
    "    if k == 'text': return ('é\"\\\\' + f.name)[:limit // 2 - 1]\n"
    "    if k == 'e9': return Decimal('-12345678.123456789') + n\n"
    "    if k == 'i64': return -2**63 + n\n"
    "    if k == 'u64': return 2**64 - n\n"
    "    if k == 'u32': return 2**32 - n\n"
    "    if k == 'f64': return 1 / 3 * 10 ** (n * 5)\n"
    "    if k == 'flag': return True\n"
    "    if k == 'pick': return list(limit)[-1]\n"
    "    if k == 'levels': return [(Decimal(i), Decimal('0.000000001')) for i in "
    "range(n)]\n"
    "    return list(range(-4, 4))\n"
    "def example(cls):\n"
    "    known = [f for f in dataclasses.fields(cls) if f.metadata['kind']]\n"
    "    return cls(**{f.name: value(f, n + 1) for n, f in enumerate(known)}, extra={'x': "
    "[1, Decimal('0.1')]})\n";

/* Run Python code with the classes at hand; the caller closes it. */
static FILE *python(const char *code, const char *mode)
{
    FILE *script = fopen("test_wire_python.py", "w");
    FILE *run;

    CHECK(script != NULL);
    CHECK(fprintf(script, "%s%s", write_all, code) > 0);
    CHECK(fclose(script) == 0);
    run = popen("PYTHONDONTWRITEBYTECODE=1 PYTHONPATH='" TRIBUS_SOURCE_DIR
                "/python' " PYTHON " test_wire_python.py",
                mode);
    CHECK(run != NULL);
    return run;
}

static void the_generated_files_are_those_of_the_table(void)
{
    CHECK(system(PYTHON " '" TRIBUS_SOURCE_DIR "/tools/generate_messages.py' --check") ==
          0);
}

static void what_python_writes_c_reads_and_writes_back_equal(void)
{
    static char lines[TRIBUS_MSG_END][TRIBUS_WIRE_JSON_BYTES];
    static char extra_text[1024];
    FILE *in = python("for c in t.TYPES.values():\n"
                      "    print(example(c).to_json('é', 'i', timestamp_ns=2**62 + 1, "
                      "hardware_accelerated=True))\n",
                      "r");
    FILE *out;
    uint32_t count = 0;

    while (count < TRIBUS_MSG_END && fgets(lines[count], sizeof(lines[0]), in) != NULL) {
        tribus_wire_extra extra = {NULL, 0, 0, extra_text, sizeof(extra_text), 0};
        tribus_msg_any msg;

        if (tribus_wire_from_json(lines[count], strlen(lines[count]), &msg, sizeof(msg),
                                  &extra) != TRIBUS_OK) {
            fprintf(stderr, "%s%s\n", lines[count], tribus_error_text());
            exit(1);
        }
        CHECK(tribus_wire_to_json_extra(&msg.header, &extra, lines[count], sizeof(lines[0]),
                                        NULL) == TRIBUS_OK);
        CHECK(msg.header.timestamp_wall_ns == (1ll << 62) + 1);
        count++;
    }
    CHECK(pclose(in) == 0);
    CHECK(count == TRIBUS_MSG_END - 1);
    out = python("for line in sys.stdin:\n"
                 "    m, e = t.from_json(line)\n"
                 "    want = example(type(m))\n"
                 "    want.check()\n"
                 "    assert m == want, (m, want)\n"
                 "    assert e['timestamp_ns'] == 2**62 + 1 and e['engine_type'] == 'é'\n",
                 "w");
    for (uint32_t i = 0; i < count; i++)
        CHECK(fprintf(out, "%s\n", lines[i]) > 0);
    CHECK(pclose(out) == 0);
}

static void python_refuses_what_c_refuses(void)
{
    FILE *out = python(
        "def refused(text, why):\n"
        "    try: t.from_json(text)\n"
        "    except t.MessageError as e: assert str(e).startswith(why), (text, str(e))\n"
        "    else: raise AssertionError(text)\n"
        "ok = example(t.PriceUpdate).to_json('a', 'b')\n"
        "refused('{', 'malformed JSON')\n"
        "refused('{\"a\":NaN}', 'malformed JSON: NaN')\n"
        "refused('[]', 'a message must be a JSON object')\n"
        "refused(' ' * 65537, 'a message of 65537 bytes')\n"
        "refused('{\"type\":\"prize\"}', 'unknown message type')\n"
        "refused(ok.replace('\"priority\"', '\"p\"'), 'price_update: priority is "
        "missing')\n"
        "refused(ok.replace('\"price\"', '\"p\"'), 'price_update: data.price is missing')\n"
        "refused(ok.replace('-12345676.123456789', '1e10'), 'price_update: data.price: "
        "1E+10 is out of range')\n"
        "for bad in (dict(symbol='x' * 16, price=1), dict(symbol='x', price='1'), "
        "dict(symbol='x', price=True), dict(symbol='x', price=1, event_wall_ns=1.5)):\n"
        "    try: t.PriceUpdate(**bad).to_json('a', 'b')\n"
        "    except t.MessageError: pass\n"
        "    else: raise AssertionError(bad)\n",
        "w");

    CHECK(pclose(out) == 0);
}

int main(void)
{
    if (access(PYTHON, X_OK) != 0)
        SKIP("no " PYTHON);
    the_generated_files_are_those_of_the_table();
    what_python_writes_c_reads_and_writes_back_equal();
    python_refuses_what_c_refuses();
    CHECK(remove("test_wire_python.py") == 0);
    return 0;
}
