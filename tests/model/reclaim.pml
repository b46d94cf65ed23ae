/* reclaim.pml -- src/fabric/region.c and ring.c with deaths: an owner gives slots to a holder
 * through a ring; each of the two is killed up to KILLS times, between any two steps, and is
 * succeeded. Nobody reads a slot while it is loaned again, a message that is offered has its
 * slot, every message comes, and at the end every slot is free.
 *
 *   tools/check_models.sh     checks this, and that each of -DSLOT_FIRST (a holder releases
 *                             the slot before the message), -DNO_WITHDRAW and -DNO_RECOVER
 *                             is found out
 *
 * One step of the model is one step of the code that another process can see. An `unless` is
 * the kill: it takes over between any two steps of its body. */
#define SLOTS  2
#define CELLS  2
#ifndef ROUNDS
#define ROUNDS 3
#endif
#ifndef KILLS
#define KILLS 2
#endif
#define NONE 9

bool held[SLOTS], loan[SLOTS], received[SLOTS];
byte generation[SLOTS];
byte number[CELLS], ref_slot[CELLS], ref_generation[CELLS]; /* the ring */
byte released;
byte using = NONE; /* the slot whose bytes the holder is reading */
byte finished;
bool kill_owner, kill_holder;

/* Is (slot, generation) among the references of positions from..to-1 whose cells still hold
 * them? */
inline named(slot, from, to)
{
    yes = false;
    p = from;
    do
    :: p < to ->
        if
        :: number[p % CELLS] == p + 1 && ref_slot[p % CELLS] == slot &&
           ref_generation[p % CELLS] == generation[slot] -> yes = true
        :: else
        fi;
        p++
    :: else -> break
    od
}

proctype owner()
{
    byte i, p, tail, s;
    bool yes;

restart:
    {
        d_step { /* the cells decide where the last owner stopped */
            tail = released;
            do
            :: tail - released < CELLS && number[tail % CELLS] == tail + 1 -> tail++
            :: else -> break
            od;
            i = 0; p = 0; s = 0; yes = false
        }
        do /* half-made loans are free */
        :: i < SLOTS -> loan[i] = false; i++
        :: else -> break
        od;
#ifndef NO_WITHDRAW
        i = 0;
        do /* given, never received, not in the ring. The oldest cell counts only while it is
              not released: after that it may hold half of the message never committed. */
        :: i < SLOTS ->
            d_step {
                if
                :: held[i] && !received[i] ->
                    named(i, (tail < CELLS -> 0 : tail - CELLS + (tail - released < CELLS)), tail);
                    if
                    :: !yes -> held[i] = false
                    :: else
                    fi
                :: else
                fi;
                p = 0; yes = false
            }
            i++
        :: else -> break
        od;
#endif
        do
        :: tail < ROUNDS ->
            d_step { /* loan; blocks where the code says FULL */
                if
                :: !held[0] && !loan[0] -> s = 0
                :: !held[1] && !loan[1] -> s = 1
                fi;
                assert(using != s);
                loan[s] = true
            }
            received[s] = false;
            generation[s]++;
            assert(using != s);
            d_step { loan[s] = false; held[s] = true } /* commit: one store */
            tail - released < CELLS;                   /* claim */
            d_step { ref_slot[tail % CELLS] = s; ref_generation[tail % CELLS] = generation[s] }
            number[tail % CELLS] = tail + 1;
            tail++
        :: else -> break
        od;
        finished++
    } unless { kill_owner -> kill_owner = false; goto restart }
}

proctype holder()
{
    byte i, p, s, head;
    bool yes;

restart:
    {
        d_step { head = released; i = 0; p = 0; s = 0; yes = false; using = NONE }
#ifndef NO_RECOVER
        do /* received, and not in a message that is offered again */
        :: i < SLOTS ->
            d_step {
                if
                :: held[i] && received[i] ->
                    named(i, head, head + CELLS);
                    if
                    :: !yes -> held[i] = false
                    :: else
                    fi
                :: else
                fi;
                p = 0; yes = false
            }
            i++
        :: else -> break
        od;
#endif
        do
        :: head < ROUNDS ->
            number[head % CELLS] == head + 1; /* wait for the message */
            s = ref_slot[head % CELLS];
            /* receive: it must be ours, in this generation */
            d_step {
                assert(held[s] && generation[s] == ref_generation[head % CELLS]);
                using = s
            }
            received[s] = true;
            using = NONE;
#ifdef SLOT_FIRST
            held[s] = false;
            released = head + 1;
#else
            released = head + 1;
            held[s] = false;
#endif
            head++
        :: else -> break
        od;
        finished++
    } unless { kill_holder -> kill_holder = false; using = NONE; goto restart }
}

proctype killer()
{
    byte n;

    do
    :: n < KILLS && !kill_owner && !kill_holder && finished < 2 ->
        n++;
        if
        :: kill_owner = true
        :: kill_holder = true
        fi
    :: break
    od
}

init {
    atomic { run owner(); run holder(); run killer() }
    finished == 2;
    assert(released == ROUNDS);
    assert(kill_owner || kill_holder || (!held[0] && !held[1] && !loan[0] && !loan[1]))
}
