/*
 * Publish, move, pin, retire and collect: the protocol of sealrun.domain.registry.publication and sealrun.domain.upkeep.collection.
 *
 * One content, so one digest. Attempt n uploads to key n and to no other. Every step below is one request to the store;
 * between two of them anybody else may act, for any length of time: a process that never acts again has crashed.
 * README.md says how to run this, what each macro stands for, and what is left out.
 */

#ifndef PUBLISHERS
#define PUBLISHERS 1
#endif
#ifndef COLLECTORS
#define COLLECTORS 1
#endif
#if !defined(OLD_RETIRED) && !defined(OLD_VOID) && !defined(OLD_SEALED)
#define OLD_RETIRED /* how attempt 0, which uploaded long ago, has ended */
#endif

#ifdef REPACKER
#define PACKS
#define NEW (PUBLISHERS + 1)    /* seals the run of attempt 0 again */
#define ATTEMPTS (PUBLISHERS + 2)
#define FOLLOW (ATTEMPTS + 1)   /* moves the pointer from attempt 0 to NEW */
#define ELSEWHERE BIT(7)        /* the rest of that run: a key that somebody uploaded long ago */
#define OF_RUN(attempt) ((attempt) == 0 || (attempt) == NEW)
#else
#define ATTEMPTS (PUBLISHERS + 1)
#define ELSEWHERE 0
#endif
#define MOVE ATTEMPTS /* the attempt that moves the pointer: it has an intent and an outcome, but no key */
#define EVERY_KEY ((1 << ATTEMPTS) - 1)
#define NOBODY 7

#define BIT(n) (1 << (n))
#define has(set, n) (((set) >> (n)) & 1)
#define add(set, n) set = (set) | BIT(n)
#define drop(set, n) set = (set) & ~BIT(n)

#ifdef BARE_KEYS
#define own_key(attempt) BIT(0)
#else
#define own_key(attempt) BIT(attempt)
#endif

/* ---- The store. A byte is a set of attempts, keys or batches, one bit each. ---- */

byte objects;         /* keys that hold the bytes */
byte intents;         /* attempts whose intent.json stands */
byte sealed;          /* outcome.json says so; of three sets, an attempt is in one at most, for ever */
byte voided;
byte moved;
byte retired;         /* attempts with a retired.json */
byte refs[ATTEMPTS];  /* the keys that an attempt's refs.json names: one, or with ELSEWHERE two */
#ifdef PACKS
byte named[ATTEMPTS + 2]; /* the keys whose digests an attempt's intent.json names: here every key has its own */
#endif

byte batch[COLLECTORS]; /* keys that a condemned record (gc/condemned/) names, */
byte condemned;         /* and the batches in which it stands */
mtype = { none, sweep, cancel };
mtype verdict[COLLECTORS] = none;
byte swept[COLLECTORS]; /* keys that a verdict sweeps: deletes of them may arrive at any time from then on */
#ifdef CLEARING
byte proposed[COLLECTORS]; /* the same, before anybody has seen that the condemned record stands beside the verdict */
byte cleared;              /* batches that were over, and whose verdict is not there any more */
#define to_sweep(b) proposed[b]
#else
#define cleared 0
#define to_sweep(b) swept[b]
#endif

byte pointer = NOBODY;  /* the attempt in the newest generation */
byte proposal = NOBODY; /* the attempt in the mover's intent */
byte latest = NOBODY;   /* the attempt that published pointers stand on; a greater number finished later */

byte pins;      /* attempts of runs with a pin */
byte confirmed; /* those whose pinner was told that the pin holds */

/* What no record says, but the properties speak of. */
byte ended;  /* attempts that ever had an outcome */
byte judged; /* batches that ever had a verdict */
#ifdef REPACKER
bool given_up; /* somebody retired the run of attempts 0 and NEW, and not because it was repacked */
#endif

#define decided(attempt) has(sealed | voided | moved, attempt)
#define stands(attempt) (has(sealed, attempt) && !has(retired, attempt))

/* ---- What must hold ---- */

#define wanted(attempt) \
    (has(sealed, attempt) && \
     (!has(retired, attempt) || pointer == attempt || latest == attempt || has(confirmed, attempt)))
#define lost(attempt) (wanted(attempt) && (refs[attempt] & ~objects) != 0)
#define dangles(target) (target != NOBODY && !has(sealed, target))

#if ATTEMPTS > 2
#define any_lost (lost(0) || lost(1) || lost(2))
#else
#define any_lost (lost(0) || lost(1))
#endif

/* Its run stands, and all of it is there. */
#define whole(attempt) (stands(attempt) && (refs[attempt] & ~objects) == 0)

#if COLLECTORS > 1
#define ever_swept(keys) (((swept[0] | swept[1]) & (keys)) != 0)
#else
#define ever_swept(keys) ((swept[0] & (keys)) != 0)
#endif

/* The one that is reported names the property that fails. */
bool bytes_lost, pointer_dangles, outcome_changes, verdict_changes, swept_key_referenced, witnessed, run_gone;

inline report(flag)
{
    flag = true;
    assert(!flag)
}

active proctype Monitor()
{
    if /* enabled in a bad state only */
#ifdef REACH
    :: d_step { REACH -> report(witnessed) }
#else
    :: d_step { any_lost -> report(bytes_lost) }
    :: d_step { dangles(pointer) || dangles(latest) -> report(pointer_dangles) }
#ifdef REPACKER
    :: d_step { has(sealed, 0) && !given_up && !whole(0) && !whole(NEW) -> report(run_gone) }
#endif
#endif
    fi
}

/* A variant that is meant to lose bytes goes on until it does; of the protocol itself more is asked. */
#if defined(LOSS_ONLY) || defined(REACH)
#define must_not(condition, flag) skip
#else
inline must_not(condition, flag)
{
    if
    :: condition -> report(flag)
    :: else
    fi
}
#endif

inline write_outcome(set, attempt)
{
    must_not(has(ended, attempt), outcome_changes);
    add(ended, attempt);
    add(set, attempt)
}

inline write_verdict(b, keys)
{
    must_not(has(judged & ~cleared, b), verdict_changes);
    add(judged, b);
    to_sweep(b) = keys;
    verdict[b] = (keys != 0 -> sweep : cancel)
}

/* ---- Publish: hint, intent, condemned batches, reuse or upload, refs, outcome, end of the intent ---- */

inline write_intent(attempt)
{
    d_step {
        add(intents, attempt);
        printf("attempt %d: intent\n", attempt)
    }
}

/*
 * With PACKS a key is that of a pack, which holds the bytes among others and has a digest of its own. So hints are asked
 * for before the intent is written, which names the packs that they speak of, and only those are referenced.
 */
#ifdef PACKS
inline name_packs()
{
    atomic {
        if
        :: named[me] = BIT(0)
        :: me != 1 -> named[me] = BIT(1)
#if ATTEMPTS > 2
        :: me != 2 -> named[me] = BIT(2)
#endif
        :: skip
        fi;
        printf("publisher %d: hints of keys %d\n", me, named[me]);
#ifdef INTENT_WITHOUT_PACKS
        named[me] = 0
#endif
    }
}
#if defined(INTENT_WITHOUT_PACKS)
#define may_take(candidate) ((avoid & (candidate)) == 0)
#elif defined(RESUMED_TAKES_ANY)
#define may_take(candidate) ((avoid & (candidate)) == 0 && (resumed || (named[me] & (candidate)) != 0))
#else
#define may_take(candidate) ((avoid & (candidate)) == 0 && (named[me] & (candidate)) != 0)
#endif
#else
#define name_packs() /* its digest is that of the content, which every intent names */
#define may_take(candidate) ((avoid & (candidate)) == 0)
#endif

/* The listing, then batch by batch: one that vanishes midway is finished. */
#ifdef CONDEMNED_NOT_READ
#define read_condemned() skip
#else
inline read_condemned()
{
    d_step {
        listed = condemned;
        printf("publisher %d: condemned batches: %d\n", me, listed)
    }
    d_step {
        if
        :: has(listed & condemned, 0) -> avoid = avoid | batch[0]
        :: else
        fi;
        printf("publisher %d: avoids keys %d\n", me, avoid)
    }
#if COLLECTORS > 1
    d_step {
        if
        :: has(listed & condemned, 1) -> avoid = avoid | batch[1]
        :: else
        fi;
        printf("publisher %d: avoids keys %d\n", me, avoid)
    }
#endif
    listed = 0
}
#endif

/* A hint may name any key. Ends with `key` chosen and its creator not void, or no key. */
inline take_hint()
{
    atomic {
        if
        :: may_take(BIT(0)) -> key = BIT(0)
        :: me != 1 && may_take(BIT(1)) -> key = BIT(1)
#if ATTEMPTS > 2
        :: me != 2 && may_take(BIT(2)) -> key = BIT(2)
#endif
        :: key = 0
        fi;
#ifndef REUSE_OF_VOID
        key = key & ~voided; /* the creator of a key has its number */
#endif
        printf("publisher %d: hint of key %d\n", me, key)
    }
}

inline stat_key()
{
    d_step {
        key = key & objects;
        printf("publisher %d: found %d\n", me, key)
    }
}

/*
 * The other way to reuse: what an attempt has sealed that is not retired is there. An outcome and the refs that it was
 * made with are for ever, so that reading them takes one step.
 */
#ifdef UNSEALED_IS_TRUSTED
#define has_refs(attempt) (refs[attempt] != 0)
#else
#define has_refs(attempt) has(sealed, attempt)
#endif
#define content(attempt) (refs[attempt] & ~ELSEWHERE)
#define may_trust(attempt) (has_refs(attempt) && content(attempt) != own_key(me) && may_take(content(attempt)))

inline trust()
{
    atomic {
        if
        :: may_trust(0) -> by = 0
        :: me != 1 && may_trust(1) -> by = 1
#if ATTEMPTS > 2
        :: me != 2 && may_trust(2) -> by = 2
#endif
        fi;
        key = content(by);
        printf("publisher %d: attempt %d sealed key %d\n", me, by, key)
    }
}

inline look_whether_retired()
{
    d_step {
        if
        :: has(retired, by) -> key = 0
        :: else
        fi;
        by = 0;
        printf("publisher %d: trusts in key %d\n", me, key)
    }
}

/* What follows the outcome, by the publisher or whoever finds the intent: published pointers, then the intent ends. */
inline move_latest(attempt)
{
    d_step {
        has(sealed, attempt) && (latest == NOBODY || latest < attempt) ->
        latest = attempt;
        printf("latest: MOVED to attempt %d\n", attempt)
    }
}

#ifdef LATEST
#define announced(attempt) (latest != NOBODY && latest >= attempt)
#else
#define announced(attempt) true
#endif

inline end_intent(attempt)
{
    d_step {
#ifdef INTENT_ENDS_BEFORE_POINTERS
        has(intents, attempt) && has(sealed | voided, attempt) ->
#else
        has(intents, attempt) &&
            (has(voided | retired, attempt) || (has(sealed, attempt) && announced(attempt))) ->
#endif
        drop(intents, attempt);
        printf("attempt %d: end of the intent\n", attempt)
    }
}

#ifdef RESUMED_TAKES_ANY
#define starts_again() resumed = true; printf("publisher %d: starts again\n", me)
#elif defined(AHEAD)
#define starts_again() sent = false; printf("publisher %d: starts again\n", me)
#else
#define starts_again() printf("publisher %d: starts again\n", me)
#endif

proctype Publisher(byte me)
{
    byte listed, avoid, by, key;
#ifdef RESUMED_TAKES_ANY
    bool resumed;
#endif
#ifdef AHEAD
    bool sent;

    if /* before anybody has heard of it; what arrived is not sent again by this life of the attempt */
    :: d_step {
           objects = objects | own_key(me);
           sent = true;
           printf("publisher %d: sends ahead to %d\n", me, own_key(me))
       }
    :: true
    fi;
#endif

    name_packs();
#ifdef RETIRED_BEFORE_INTENT
    trust();
    look_whether_retired();
#endif
#if !defined(NO_INTENT) && !defined(INTENT_LAST)
    write_intent(me);
#endif
begin:
#ifdef STAT_BEFORE_CONDEMNED
    take_hint();
    stat_key();
    read_condemned();
    d_step {
        if
        :: (avoid & key) != 0 -> key = 0
        :: else
        fi
    }
#elif defined(RETIRED_BEFORE_INTENT)
    read_condemned();
    d_step {
        if
        :: (avoid & key) != 0 -> key = 0
        :: else
        fi
    }
#else
    read_condemned();
    if
    :: take_hint(); stat_key()
    :: trust();
#ifndef RETIRED_NOT_LOOKED_AT
       look_whether_retired()
#endif
    fi;
#endif
    avoid = 0;
#ifdef INTENT_LAST
    write_intent(me);
#endif
    if
    :: d_step {
           key == 0 ->
           key = own_key(me);
#ifdef AHEAD
           objects = (sent -> objects : objects | key);
#else
           objects = objects | key;
#endif
           printf("publisher %d: uploads to %d\n", me, key)
       }
    :: key != 0 && key != own_key(me)
    fi;
    if
    :: d_step { /* what an earlier life of this attempt has chosen stands: its intent has stood ever since */
           if
           :: refs[me] == 0 -> refs[me] = key
           :: else
           fi;
           key = 0;
           printf("publisher %d: refs name %d\n", me, refs[me])
       }
#ifdef RESTARTS
    :: d_step { key = 0; starts_again() } -> goto begin
#endif
    fi;
    if
    :: d_step {
#ifdef SEAL_OVERWRITES_VOID
           !has(sealed, me) -> drop(voided, me);
#else
           !decided(me) ->
#endif
           must_not(ever_swept(refs[me]), swept_key_referenced);
           write_outcome(sealed, me);
           printf("publisher %d: SEALED\n", me)
       }
       /* The rest by anybody: see Others. */
#ifndef SEAL_OVERWRITES_VOID
    :: decided(me)
#endif
#ifdef RESTARTS
    :: d_step { !decided(me) -> starts_again() } -> goto begin
#endif
    fi
}

/* ---- Move a pointer: pin the target with an intent, check that it stands, decide ---- */

#ifdef MOVER
proctype Mover()
{
    byte target;

    atomic {
        if
        :: stands(0) && pointer != 0 -> target = 0
        :: stands(1) && pointer != 1 -> target = 1
#if ATTEMPTS > 2
        :: stands(2) && pointer != 2 -> target = 2
#endif
        fi;
#if defined(PACKS) && !defined(MOVE_WITHOUT_PACKS)
        named[MOVE] = refs[target];
#endif
        printf("mover: chooses attempt %d\n", target)
    }
#ifndef MOVE_WITHOUT_INTENT
    write_intent(MOVE);
#endif
#ifndef MOVE_WITHOUT_CHECK
    d_step {
        if
        :: !stands(target) -> target = NOBODY
        :: else
        fi;
        printf("mover: checked %d\n", target)
    }
#endif
    d_step { /* proposed `moved`, or `void` when the check has failed; a void of somebody else's stands */
        proposal = target;
        if
        :: target == NOBODY && !decided(MOVE) -> write_outcome(voided, MOVE)
#ifdef MOVE_IGNORES_VOID
        :: target != NOBODY -> drop(voided, MOVE); write_outcome(moved, MOVE)
#else
        :: target != NOBODY && !decided(MOVE) -> write_outcome(moved, MOVE)
#endif
        :: else
        fi;
        printf("mover: decided: moved %d void %d\n", has(moved, MOVE), has(voided, MOVE))
    }
    /* The generation and the end of the intent: by whoever finds them undone, see Others. */
}
#endif

/* ---- Leave a pack of which little is alive: seal the run again, let the pointer follow, retire the old attempt ---- */

#ifdef REPACKER
/* By a look at the key; or at the attempt that sealed it, and then at whether that is retired. */
inline look_at_elsewhere()
{
    atomic {
        if
        :: (objects & ELSEWHERE) == 0 -> key = 0
        :: (objects & ELSEWHERE) != 0
        :: !has(retired, 0)
        fi;
        printf("repacker: finds keys %d\n", key)
    }
}

inline retire_old()
{
    d_step {
        add(retired, 0);
        printf("repacker: RETIRES attempt 0\n")
    }
}

inline delete_pack()
{
    d_step {
        drop(objects, 0);
        printf("repacker: DELETES key 1\n")
    }
}

/* Like Mover, with NEW as its target; but whoever moved the pointer away from attempt 0 has decided. */
#ifdef FOLLOWS_WITHOUT_INTENT
inline follow()
{
    d_step {
        if
        :: pointer == 0 ->
            must_not(ever_swept(refs[NEW]), swept_key_referenced);
            pointer = NEW
        :: else
        fi;
        printf("repacker: pointer stands on %d\n", pointer)
    }
}
#else
inline follow()
{
    if
    :: d_step { pointer != 0 -> printf("repacker: no pointer follows\n") }
    :: d_step {
           pointer == 0 ->
#ifndef FOLLOW_WITHOUT_PACKS
           named[FOLLOW] = refs[NEW];
#endif
           add(intents, FOLLOW);
           printf("repacker: intent of its move\n")
       }
       d_step {
           if
           :: decided(FOLLOW)
           :: !decided(FOLLOW) && stands(NEW) -> write_outcome(moved, FOLLOW)
#ifdef FOLLOWS_WITHOUT_CHECK
           :: !decided(FOLLOW) && !stands(NEW) -> write_outcome(moved, FOLLOW)
#else
           :: !decided(FOLLOW) && !stands(NEW) -> write_outcome(voided, FOLLOW)
#endif
           fi;
           printf("repacker: decided: moved %d void %d\n", has(moved, FOLLOW), has(voided, FOLLOW))
       }
    fi
}
#endif

/*
 * Attempt 0 uses key 0, a pack that is to be emptied, and ELSEWHERE. NEW copies out of key 0 what is alive, to a pack of
 * its own, and references ELSEWHERE, which its intent names. It never deletes anything.
 */
proctype Repacker(byte me)
{
    byte listed, avoid, key = ELSEWHERE;

    stands(0);
#ifdef REPACK_LOOKS_BEFORE_INTENT
    look_at_elsewhere();
#endif
#ifdef OLD_RETIRED_BEFORE_SEAL
    retire_old();
#endif
#ifndef REPACK_WITHOUT_INTENT
    d_step {
#ifndef REPACK_INTENT_WITHOUT_PACKS
        named[NEW] = ELSEWHERE;
#endif
        add(intents, NEW);
        printf("repacker: intent\n")
    }
#endif
#ifndef REPACK_CONDEMNED_NOT_READ
    read_condemned();
#endif
    d_step {
        if
        :: (avoid & key) != 0 -> key = 0
        :: else
        fi;
        avoid = 0
    }
#ifndef REPACK_LOOKS_BEFORE_INTENT
    look_at_elsewhere();
#endif
    if
    :: key == 0 -> goto gives_up /* nor is it copied: only what lies in the pack is */
    :: key != 0
    fi;
#ifdef PACK_DELETED_BEFORE_SEAL
    delete_pack();
#endif
#ifdef PACK_IS_NOT_READ
    skip;
#else
    if
    :: !has(objects, 0) -> goto gives_up
    :: has(objects, 0)
    fi;
#endif
    d_step {
        add(objects, NEW);
        printf("repacker: copies to key %d\n", BIT(NEW))
    }
    d_step {
        refs[NEW] = BIT(NEW) | ELSEWHERE;
        key = 0;
        printf("repacker: refs name %d\n", refs[NEW])
    }
    if
    :: d_step {
           !decided(NEW) ->
           must_not(ever_swept(refs[NEW]), swept_key_referenced);
           write_outcome(sealed, NEW);
           printf("repacker: SEALED\n")
       }
    :: has(voided, NEW) -> goto gives_up
    fi;
    !has(intents, NEW); /* announced, by it or by somebody else */
    follow();
#ifdef PACK_DELETED_AT_ONCE
    delete_pack();
#endif
    retire_old();
    goto done;
gives_up:
    skip;
    d_step {
        if
        :: !decided(NEW) && has(intents, NEW) -> write_outcome(voided, NEW)
        :: else
        fi;
        key = 0
    }
done:
    skip
}
#endif

/* ---- Pin a run: write the pin, then check that the run still stands ---- */

#ifdef PINNER
proctype Pinner()
{
    byte target;

    atomic {
        if
        :: stands(0) -> target = 0
        :: stands(1) -> target = 1
#if PUBLISHERS > 1
        :: stands(2) -> target = 2
#endif
        fi;
        printf("pinner: chooses attempt %d\n", target)
    }
    d_step {
        add(pins, target);
        printf("pinner: pins\n")
    }
    d_step {
        if
#ifndef PIN_WITHOUT_CHECK
        :: !stands(target) -> drop(pins, target); printf("pinner: retired meanwhile, lifted\n")
#endif
        :: else -> add(confirmed, target); printf("pinner: CONFIRMED\n")
        fi
    }
}
#endif

/* ---- Collect: mark, condemn, mark again, decide, delete, look, end the batch ---- */

inline list_intents()
{
#ifdef PAGES
    d_step { listed = intents & BIT(1); printf("collector %d: intents %d\n", me, listed) }
    d_step { listed = listed | (intents & BIT(2)); printf("collector %d: intents %d\n", me, listed) }
#if ATTEMPTS > 2 && (defined(MOVER) || defined(REPACKER))
    d_step { listed = listed | (intents & ~(BIT(1) | BIT(2))); printf("collector %d: intents %d\n", me, listed) }
#endif
#else
    d_step {
        listed = intents;
        printf("collector %d: intents %d\n", me, listed)
    }
#endif
}

#ifdef ONLY_OPEN_INTENTS_PIN
#define pinning (listed & ~(voided | sealed | moved))
#else
#define pinning (listed & ~voided)
#endif
#ifdef PACKS
inline need_named(attempt)
{
    if
    :: has(pinning, attempt) -> needed = needed | named[attempt]
    :: else
    fi
}
#endif

/* An intent pins the digests that it names, under whatever key, unless its attempt is void. Without PACKS that is all. */
inline resolve_intents()
{
    d_step {
#ifdef PACKS
        need_named(1);
        need_named(2);
#if ATTEMPTS > 2 && (defined(MOVER) || defined(REPACKER))
        need_named(3);
#endif
#ifdef REPACKER
        need_named(FOLLOW);
#endif
#else
        if
        :: pinning != 0 -> needed = EVERY_KEY
        :: else
        fi;
#endif
        listed = 0;
        printf("collector %d: intents resolved, needs keys %d\n", me, needed)
    }
}

#ifdef PINNER
/* An earlier look may have taken it for dead, but its pin may be older than its retirement. */
inline need_pinned(attempt)
{
    if
#ifndef PINS_NOT_READ_AGAIN
    :: has(pinned & known & sealed, attempt) -> needed = needed | refs[attempt]
#endif
    :: else
    fi
}

inline read_pins()
{
    d_step {
        pinned = pins;
        need_pinned(0);
        need_pinned(1);
#if PUBLISHERS > 1
        need_pinned(2);
#endif
        printf("collector %d: pins %d, needs keys %d\n", me, pinned, needed)
    }
}
#else
#define read_pins() /* nobody writes any */
#endif

#if defined(MOVER) || defined(LATEST) || defined(OLD_POINTED) || defined(REPACKER)
inline read_pointers()
{
    d_step {
        if
        :: pointer != NOBODY -> needed = needed | refs[pointer]
        :: else
        fi;
        if
        :: latest != NOBODY -> needed = needed | refs[latest]
        :: else
        fi;
        printf("collector %d: pointers read, needs keys %d\n", me, needed)
    }
}
#else
#define read_pointers() /* there is none */
#endif

/*
 * Only attempts that had no outcome at an earlier look. A retirement counts only if it is older than the first mark, by
 * the store's clock; or (RETIRED_WHEN_READ) if the first mark sees it, so that no clock is asked.
 */
inline note(attempt)
{
#ifdef RETIRED_WHEN_READ
    gone = (again -> 0 : retired);
#endif
#ifdef YOUNG_RETIREMENT_COUNTS
    gone = retired;
#endif
    if
    :: has(sealed & ~known, attempt) && (!has(gone, attempt) || has(pinned, attempt)) ->
        needed = needed | refs[attempt]
    :: else
    fi;
    known = known | ((sealed | voided) & BIT(attempt));
    printf("collector %d: attempt %d read, needs keys %d\n", me, attempt, needed)
}

inline read_attempts()
{
#ifdef PAGES
    d_step { note(0) }
    d_step { note(1) }
#if ATTEMPTS > 2
    d_step { note(2) }
#endif
    pinned = 0
#else
    d_step {
        note(0);
        note(1);
#if ATTEMPTS > 2
        note(2);
#endif
        pinned = 0
    }
#endif
}

inline end_batch(b)
{
    d_step {
        drop(condemned, b);
#ifdef VERDICT_DELETED
        verdict[b] = none;
#endif
        printf("batch %d: condemned record removed\n", b)
    }
}

proctype Collector(byte me)
{
    byte gone, known, needed, pinned, listed;
#ifdef FIRST_MARK_IN_ANY_ORDER
    byte found;
#endif
#ifdef RETIRED_WHEN_READ
    bool again;
#endif

    d_step {
        gone = retired; /* by the store's clock, older than the beginning */
        printf("collector %d: begins\n", me)
    }
#ifdef FIRST_MARK_IN_ANY_ORDER
    d_step {
        found = objects;
        printf("collector %d: objects listed\n", me)
    }
    read_pins();
    read_attempts();
    read_pointers();
#define listed_objects found
#else
    read_pins();
    read_pointers();
    read_attempts();
#define listed_objects objects
#endif
#ifdef UNDECIDED_TAKEN
#define may_be_deleted EVERY_KEY
#else
#define may_be_deleted (known | ELSEWHERE)
#endif
    d_step {
        (listed_objects & may_be_deleted & ~needed) != 0 ->
        batch[me] = listed_objects & may_be_deleted & ~needed;
#ifdef FIRST_MARK_IN_ANY_ORDER
        found = 0;
#endif
#ifdef RETIRED_WHEN_READ
        again = true;
#endif
        printf("collector %d: candidates %d\n", me, batch[me])
    }
#ifndef NO_CONDEMNED_RECORD
    d_step {
        add(condemned, me);
        printf("collector %d: CONDEMNED\n", me)
    }
#endif
#ifdef MARK_FROM_SCRATCH
    d_step { needed = 0; known = 0 }
#endif
#ifdef NO_SECOND_MARK
    needed = 0;
#else
#ifdef OUTCOMES_BEFORE_INTENTS
    read_pins();
    read_pointers();
    read_attempts();
    list_intents();
    resolve_intents();
#else
#ifdef POINTERS_BEFORE_INTENTS
    read_pointers();
#endif
    list_intents();
    resolve_intents();
    read_pins();
#ifndef POINTERS_BEFORE_INTENTS
    read_pointers();
#endif
    read_attempts();
#endif
#endif
    d_step {
        gone = 0;
        known = 0;
        if
        :: verdict[me] == none ->
            write_verdict(me, batch[me] & ~needed)
        :: else /* somebody took the batch for abandoned: obey */
        fi;
        needed = 0;
        printf("collector %d: VERDICT %e, sweeps keys %d\n", me, verdict[me], swept[me])
    }
#ifdef CLEARING
    d_step { /* its verdict may be that of a batch which was over long ago: then it decides nothing */
        if
#ifdef OVER_IS_NOT_NOTICED
        :: verdict[me] == sweep -> swept[me] = proposed[me]
#else
        :: verdict[me] == sweep && has(condemned, me) -> swept[me] = proposed[me]
#endif
        :: else
        fi;
        printf("collector %d: deletes keys %d\n", me, swept[me])
    }
#endif
    /* The deletes: see Others. */
#ifndef CONDEMNED_REMOVED_EARLY
    (objects & swept[me]) == 0;
#endif
    end_batch(me)
}

/* ---- Everybody else, and the network: anything here may happen at any time, any number of times ---- */

inline other_acts_on_attempt(attempt)
{
    if
    :: d_step { /* somebody takes it for dead, rightly or not */
#ifdef AHEAD
           has(intents | objects, attempt) && !decided(attempt) ->
#else
           has(intents, attempt) && !decided(attempt) ->
#endif
           write_outcome(voided, attempt);
           printf("others: VOID attempt %d\n", attempt)
       }
    :: end_intent(attempt)
    :: d_step { /* the retirer looks at pointers and pins first, but too early: nothing may depend on that */
#if defined(LATEST) && !defined(RETIRED_BEFORE_ANNOUNCED)
           stands(attempt) && !has(intents, attempt) ->
#else
           stands(attempt) ->
#endif
           add(retired, attempt);
#ifdef REPACKER
           given_up = given_up || OF_RUN(attempt);
#endif
           printf("others: RETIRE attempt %d\n", attempt)
       }
    :: d_step { /* an upload arrives late; those of other attempts find their key there still */
#ifdef UPLOAD_AFTER_SWEEP
           (has(voided, attempt) || has(retired, attempt)) && !has(objects, attempt) ->
#else
           has(voided, attempt) && !has(objects, attempt) ->
#endif
           add(objects, attempt);
           printf("others: late upload to %d\n", attempt)
       }
    :: d_step { /* a delete arrives: of the batch's collector, of another one, or long under way */
           ever_swept(BIT(attempt)) && has(objects, attempt) ->
           drop(objects, attempt);
           printf("others: DELETE key %d\n", BIT(attempt))
       }
    fi
}

inline other_acts_on_batch(b)
{
    if
    :: d_step { /* somebody takes the batch for abandoned */
           has(condemned, b) && verdict[b] == none ->
           write_verdict(b, 0);
           printf("others: CANCEL batch %d\n", b)
       }
    :: d_step { /* somebody finishes it */
#ifdef CANCEL_AFTER_VERDICT
           has(condemned, b) && verdict[b] != none ->
#else
           has(condemned, b) && verdict[b] != none && (objects & to_sweep(b)) == 0 ->
#endif
           drop(condemned, b);
#ifdef VERDICT_DELETED
           verdict[b] = none;
#endif
           printf("others: batch %d ended\n", b)
       }
#ifndef NO_CONDEMNED_RECORD
    :: d_step { /* its creation arrives once more */
           !has(condemned, b) && verdict[b] != none && !has(cleared, b) ->
           add(condemned, b);
           printf("others: condemned record %d comes back\n", b)
       }
#endif
#ifdef CLEARING
    :: d_step { /* somebody reads both, and begins to delete */
           has(condemned, b) && verdict[b] == sweep && swept[b] != proposed[b] ->
           swept[b] = proposed[b];
           printf("others: delete keys %d\n", swept[b])
       }
    :: d_step {
#ifdef CLEARED_WHILE_IT_STANDS
           verdict[b] != none ->
#else
           !has(condemned, b) && verdict[b] != none ->
#endif
           verdict[b] = none;
           add(cleared, b);
           printf("others: verdict of batch %d CLEARED away\n", b)
       }
#ifdef COMES_BACK_AFTER_CLEARING
    :: d_step {
           has(cleared, b) && !has(condemned, b) ->
           add(condemned, b);
           printf("others: condemned record %d comes back at last\n", b)
       }
#endif
#endif
    fi
}

active proctype Others()
{
    do
    :: other_acts_on_attempt(0)
    :: other_acts_on_attempt(1)
#if ATTEMPTS > 2
    :: other_acts_on_attempt(2)
#endif
#ifdef REPACKER
    :: d_step {
           ever_swept(ELSEWHERE) && (objects & ELSEWHERE) != 0 ->
           objects = objects & ~ELSEWHERE;
           printf("others: DELETE what lies elsewhere\n")
       }
    :: d_step { /* the repacker's own move, once it is decided */
           has(moved, FOLLOW) && pointer == 0 ->
           must_not(ever_swept(refs[NEW]), swept_key_referenced);
           pointer = NEW;
           printf("others: pointer FOLLOWS to attempt %d\n", NEW)
       }
    :: d_step {
           has(intents, FOLLOW) && !decided(FOLLOW) ->
           write_outcome(voided, FOLLOW);
           printf("others: VOID the repacker's move\n")
       }
    :: d_step {
           has(intents, FOLLOW) && (has(voided, FOLLOW) || (has(moved, FOLLOW) && pointer != 0)) ->
           drop(intents, FOLLOW);
           printf("others: end the intent of the repacker's move\n")
       }
#endif
#ifdef LATEST /* attempt 0 is of another experiment, or was announced long ago */
    :: move_latest(1)
#if PUBLISHERS > 1
    :: move_latest(2)
#endif
#endif
    :: other_acts_on_batch(0)
#if COLLECTORS > 1
    :: other_acts_on_batch(1)
#endif
#ifdef MOVER
    :: d_step {
           has(intents, MOVE) && !decided(MOVE) ->
           write_outcome(voided, MOVE);
           printf("others: VOID the move\n")
       }
    :: d_step {
           has(moved, MOVE) && pointer != proposal ->
           must_not(ever_swept(refs[proposal]), swept_key_referenced);
           pointer = proposal;
           printf("others: pointer MOVED to attempt %d\n", pointer)
       }
    :: d_step {
           has(intents, MOVE) && (has(voided, MOVE) || (has(moved, MOVE) && pointer == proposal)) ->
           drop(intents, MOVE);
           printf("others: end the move's intent\n")
       }
#endif
#ifdef PINNER
    :: d_step {
           confirmed != 0 ->
           pins = pins & ~confirmed;
           confirmed = 0;
           printf("others: pin lifted\n")
       }
#endif
    od
}

init
{
    d_step {
        objects = BIT(0) | ELSEWHERE;
        refs[0] = objects;
#ifdef OLD_VOID
        voided = BIT(0); /* it came as far as its refs */
#else
        sealed = BIT(0);
#ifdef OLD_RETIRED
        retired = BIT(0);
#endif
#endif
#ifdef OLD_POINTED
        pointer = 0;
        latest = 0;
#endif
    }
    atomic {
        run Publisher(1);
#if PUBLISHERS > 1
        run Publisher(2);
#endif
        run Collector(0);
#if COLLECTORS > 1
        run Collector(1);
#endif
#ifdef MOVER
        run Mover();
#endif
#ifdef PINNER
        run Pinner();
#endif
#ifdef REPACKER
        run Repacker(NEW);
#endif
    }
}
