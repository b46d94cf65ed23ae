/* holders.pml -- src/fabric/region.c: a slot that several holders share, one of whom dies for
 * good at any step and is reclaimed while another releases, and a holder that passes it on.
 * The slot is loaned again only when no living holder reads it, and it comes back.
 *
 *   tools/check_models.sh     checks this, and that -DCOUNT (a plain reference count, of which
 *                             nobody knows what the dead one had) is found out
 *
 * Bits 0 and 1 are holders A and B, bit 2 is C, to whom B passes. */
#define A 1
#define B 2
#define C 4

byte held;         /* a set of holders; with COUNT: how many */
byte rounds;
bool using[3];
bool dead_a, buried, done_a, done_b, done_c, loaned, passed;

proctype holder_a()
{
    {
        (held & A) != 0 || held > 0;
        using[0] = true;
        using[0] = false;
#ifdef COUNT
        held--;
#else
        held = held & (7 - A);
#endif
        done_a = true
    } unless { dead_a -> using[0] = false; buried = true }
}

proctype holder_b()
{
    using[1] = true;
    using[1] = false;
#ifdef COUNT
    skip; /* the count stays: C's share replaces ours */
#else
    held = (held & (7 - B)) | C; /* pass: one compare and swap */
#endif
    passed = true;
    done_b = true
}

proctype holder_c()
{
    passed;
    using[2] = true;
    using[2] = false;
#ifdef COUNT
    held--;
#else
    held = held & (7 - C);
#endif
    done_c = true
}

proctype killer()
{
    if
    :: dead_a = true
    :: skip
    fi
}

proctype owner()
{
    do
    :: held == 0 ->
        loaned = true;
        assert(!using[0] && !using[1] && !using[2]);
        break
    :: buried && rounds == 0 -> /* a death was seen: reclaim, once */
        rounds = 1;
#ifdef COUNT
        if
        :: held > 0 -> held-- /* a count cannot tell whether it had let go already */
        :: else
        fi
#else
        held = held & (7 - A)
#endif
    od
}

init {
#ifdef COUNT
    held = 2;
#else
    held = A | B;
#endif
    atomic { run holder_a(); run holder_b(); run holder_c(); run killer(); run owner() }
    _nr_pr == 1;
    assert(loaned)
}
