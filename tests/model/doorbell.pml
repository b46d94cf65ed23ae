/* doorbell.pml -- src/fabric/doorbell.c: no wake-up is lost, any number of sleepers.
 *
 *   tools/check_models.sh          checks this model and that -DNO_COUNT and -DNO_LOOK fail
 *
 * -DPARTS is tribus_doorbell_press_if(): whoever finds only a part published wakes nobody.
 *
 * Two pressers publish one message each, two sleepers wait for both. The word has a flag and a
 * count, as in the code; the kernel's futex compares and queues in one step. A sleeper that
 * stays queued when both pressers are done was forgotten: in the code it would find out 50 ms
 * later, here it is an error, because nothing wakes it (the assertion at the end).
 * Sequential consistency is assumed; that the swaps make it so is argued in doorbell.c. */
#define SLEEPERS 2
#define PRESSERS 2

byte published;
byte count;               /* bits 1..31 of the word; wraps beyond what is reached here */
bit flag;                 /* bit 0 */
bool queued[SLEEPERS];    /* in the kernel */
byte done;

proctype presser()
{
    bit was;

    published++;
    atomic { /* fetch_add(2) */
        was = flag;
#ifndef NO_COUNT
        count++;
#endif
    }
    if
#ifdef PARTS
    :: was && published == PRESSERS ->
#else
    :: was ->
#endif
        flag = 0; /* fetch_and(~1) */
        atomic { /* FUTEX_WAKE, everybody */
            queued[0] = false;
            queued[1] = false;
        }
    :: else
    fi;
    done++
}

proctype sleeper(byte me)
{
    byte seen;

    do
    :: published == PRESSERS -> break
    :: else ->
        atomic { /* fetch_or(1) */
            flag = 1;
            seen = count
        }
#ifndef NO_LOOK
        if
        :: published == PRESSERS -> break
        :: else
        fi;
#endif
        atomic { /* FUTEX_WAIT: compare and queue */
            if
            :: flag == 1 && count == seen -> queued[me] = true
            :: else
            fi
        }
        !queued[me] /* asleep until woken */
    od;
    done++
}

init {
    atomic {
        run presser();
        run presser();
        run sleeper(0);
        run sleeper(1)
    }
    /* An invalid end state, a sleeper that nobody wakes, is what spin reports by itself. */
    done == SLEEPERS + PRESSERS
}
