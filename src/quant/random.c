/* random.c -- the host's door to philox.h and normal.h. See tribus/quant_random.h. */
#include "tribus/quant_random.h"

#include "quant/normal.h"

#define STREAM_PURPOSE 2u /* mc.h owns 0 and 1 */

void tribus_quant_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    tribus_philox_block c = {{counter[0], counter[1], counter[2], counter[3]}};

    c = tribus_philox(c, key[0], key[1]);
    memcpy(out, c.v, sizeof(c.v));
}

void tribus_quant_normals(uint64_t seed, uint32_t stream, uint64_t first, uint32_t count,
                          float *out)
{
    uint32_t done = 0;

    while (done < count) {
        const uint64_t block = (first + done) / 4;
        const tribus_philox_block c = {
            {(uint32_t)block, (uint32_t)(block >> 32), stream, STREAM_PURPOSE}};
        const tribus_philox_block r =
            tribus_philox(c, (uint32_t)seed, (uint32_t)(seed >> 32));
        const tribus_normal_pair a = tribus_box_muller(r.v[0], r.v[1]);
        const tribus_normal_pair b = tribus_box_muller(r.v[2], r.v[3]);
        const float z[4] = {a.z0, a.z1, b.z0, b.z1};

        for (uint32_t i = (uint32_t)((first + done) % 4); i < 4 && done < count; i++)
            out[done++] = z[i];
    }
}
