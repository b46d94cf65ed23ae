/* shared.pml -- src/fabric/region.c: two holders of one region that both loan from it and give
 * to each other, each through a ring; either is killed up to KILLS times, between any two steps,
 * and is succeeded under its number. Nobody writes a slot that the other reads or writes, a
 * message that is offered has its slot, every message comes, and at the end every slot is free.
 *
 *   tools/check_models.sh     checks this, and that each of -DNO_LOANER (withdraw does not look
 *                             who loaned a slot), -DLATE_LOANER (a loan says who it is after
 *                             it cleared `received`) and -DNO_LOANS (recover leaves loans
 *                             alone) is found out
 *
 * One step of the model is one step of the code that the other can see; what withdraw looks at
 * is read in several, because the other goes on meanwhile. */
#define SLOTS 2
#define CELLS 2
#ifndef ROUNDS
#define ROUNDS 3
#endif
#ifndef KILLS
#define KILLS 1
#endif
#define NONE 9
#define LOAN 4
#define BIT(peer) (1 + (peer)) /* of peers 0 and 1 */

byte held[SLOTS];     /* bits: holder 0, holder 1, on loan */
byte received[SLOTS]; /* bits: holder 0, holder 1 */
byte loaner[SLOTS], generation[SLOTS];
byte number[2 * CELLS], ref_slot[2 * CELLS], ref_generation[2 * CELLS]; /* a ring each */
byte released[2];
byte using[2];
byte finished;
bool kill_me[2];

/* Does ring `who` name (slot, age) at positions from..to-1? */
inline named(who, slot, age, from, to)
{
    yes = false;
    p = from;
    do
    :: p < to ->
        if
        :: number[(who) * CELLS + p % CELLS] == p + 1 &&
           ref_slot[(who) * CELLS + p % CELLS] == slot &&
           ref_generation[(who) * CELLS + p % CELLS] == age -> yes = true
        :: else
        fi;
        p++
    :: else -> break
    od
}

proctype peer(byte me)
{
    byte i, p, tail, head, from, s, h, g;
    bool yes, clear;

restart:
    {
        d_step { /* the cells decide where we stopped */
            using[me] = NONE;
            tail = released[me];
            do
            :: tail - released[me] < CELLS &&
               number[me * CELLS + tail % CELLS] == tail + 1 -> tail++
            :: else -> break
            od;
            head = released[1 - me];
            /* what the ring's cells name is taken down before any slot is looked at; the oldest
             * only while it is not released, as in reclaim.pml */
            from = (tail < CELLS -> 0 : tail - CELLS + (tail - released[me] < CELLS));
            i = 0; p = 0; s = 0; h = 0; g = 0; yes = false; clear = false
        }
        do /* recover: what we had on loan, or received and is not offered again */
        :: i < SLOTS ->
            d_step {
                if
#ifndef NO_LOANS
                :: (held[i] & BIT(me)) != 0 && (held[i] & LOAN) != 0 -> held[i] = 0
#endif
                :: (held[i] & BIT(me)) != 0 && (held[i] & LOAN) == 0 &&
                   (received[i] & BIT(me)) != 0 ->
                    named(1 - me, i, generation[i], head, head + CELLS);
                    if
                    :: !yes -> held[i] = held[i] & (7 - BIT(me))
                    :: else
                    fi
                :: else
                fi;
                p = 0; yes = false
            }
            i++
        :: else -> break
        od;
        i = 0;
        do /* withdraw: loaned by us, given, never received, not in our ring */
        :: i < SLOTS ->
            h = held[i];
            g = generation[i];
            if
            :: (h & BIT(1 - me)) != 0 && (h & LOAN) == 0 ->
                clear = (received[i] & BIT(1 - me)) == 0;
#ifndef NO_LOANER
                clear = clear && loaner[i] == me;
#endif
                d_step {
                    named(me, i, g, from, tail);
                    if
                    :: clear && !yes -> held[i] = held[i] & (7 - BIT(1 - me))
                    :: else
                    fi;
                    p = 0; yes = false; clear = false
                }
            :: else
            fi;
            h = 0; g = 0;
            i++
        :: else -> break
        od;
        i = 0;
again:  do
        :: tail < ROUNDS && tail - released[me] < CELLS && (held[0] == 0 || held[1] == 0) ->
            if /* the compare and swap, which may come too late */
            :: d_step { held[0] == 0 -> s = 0; held[0] = LOAN | BIT(me) }
            :: d_step { held[1] == 0 -> s = 1; held[1] = LOAN | BIT(me) }
            :: else -> goto again /* FULL */
            fi;
#ifdef LATE_LOANER
            received[s] = 0;
            loaner[s] = me;
#else
            loaner[s] = me;
            received[s] = 0;
#endif
            generation[s]++;
            d_step { assert(using[1 - me] != s); using[me] = s } /* fill */
            d_step { /* commit: one store */
                assert(held[s] == (LOAN | BIT(me)) && using[1 - me] != s);
                using[me] = NONE;
                held[s] = BIT(1 - me)
            }
            d_step {
                ref_slot[me * CELLS + tail % CELLS] = s;
                ref_generation[me * CELLS + tail % CELLS] = generation[s]
            }
            number[me * CELLS + tail % CELLS] = tail + 1;
            tail++
        :: head < ROUNDS && number[(1 - me) * CELLS + head % CELLS] == head + 1 ->
            s = ref_slot[(1 - me) * CELLS + head % CELLS];
            d_step { /* receive: it must be ours, in this generation */
                assert((held[s] & BIT(me)) != 0 && (held[s] & LOAN) == 0 &&
                       generation[s] == ref_generation[(1 - me) * CELLS + head % CELLS]);
                assert(using[1 - me] != s);
                using[me] = s
            }
            received[s] = received[s] | BIT(me);
            using[me] = NONE;
            released[1 - me] = head + 1;
            held[s] = held[s] & (7 - BIT(me));
            head++
        :: tail == ROUNDS && head == ROUNDS -> break
        od;
        finished++
    } unless { kill_me[me] -> kill_me[me] = false; goto restart }
}

proctype killer()
{
    byte n;

    do
    :: n < KILLS && !kill_me[0] && !kill_me[1] && finished == 0 ->
        n++;
        if
        :: kill_me[0] = true
        :: kill_me[1] = true
        fi
    :: break
    od
}

init {
    using[0] = NONE;
    using[1] = NONE;
    loaner[0] = NONE;
    loaner[1] = NONE;
    atomic { run peer(0); run peer(1); run killer() }
    finished == 2;
    assert(released[0] == ROUNDS && released[1] == ROUNDS);
    assert(kill_me[0] || kill_me[1] || (held[0] == 0 && held[1] == 0))
}
