/* SPDX-License-Identifier: MIT */
/*
 * The queue's cells (lib/queue/claim.c, queue.c): a message whose put returned is acknowledged
 * once, by a consumer that lives; order per producer; nothing is got twice without a death in
 * between.
 *
 * A ring of CELLS cells, two producers with MESSAGES each, two consumers, a survivor that repairs.
 * Every load, store and CAS that others can see is one step.  A process may die (DEATHS in all)
 * before any of them; the reaper may be one that takes over from one that died.  One that is only
 * slow, or stopped and continued, is covered by the interleavings; with STOPS, one may stop for
 * ever: then nothing goes on behind what it writes, and nothing is lost; all else goes on.
 * Sleeping is left out (that is doorbell.pml): who can't go on waits for the very condition that
 * the library sleeps for.
 *
 * ABORTS, REQUEUES: so many times a claim is given back.  DROP: a full ring loses its oldest.
 * BATCH: two positions are claimed at once, where they can be had.
 *
 *	HOLDS -DDEATHS=0 -DMESSAGES=2
 *	HOLDS
 *	HOLDS -DDEATHS=0 -DSHUTDOWN
 *	HOLDS -DCELLS=1
 *	HOLDS -DDEATHS=0 -DSTOPS=1
 *	HOLDS -DDEATHS=0 -DSTOPS=1 -DCELLS=1
 *	HOLDS -DREQUEUES=1 -DPRODUCERS=1
 *	HOLDS -DABORTS=3 -DPRODUCERS=1 -DMESSAGES=2 -DCELLS=1
 *	HOLDS -DDROP -DCELLS=1
 *	HOLDS -DBATCH -DPRODUCERS=1 -DMESSAGES=3
 *	HOLDS -DBATCH -DCONSUMERS=1 -DMESSAGES=2
 *	HOLDS -DDEATHS=0 -DCELLS=1 -DMESSAGES=4 -DCONSUMERS=1
 *	FOUND -DBUG_NO_BUMP: a repair doesn't move `returned`
 *	FOUND -DBUG_SCAN_LATE -DDEATHS=2: what is stored into `scanned` was read after the scan
 *	FOUND -DBUG_FLAG_FIRST -DDEATHS=0 -DSHUTDOWN: a producer looks at the flag before its claim
 *	FOUND -DBUG_BLIND_HELP -DDEATHS=0 -DCELLS=1 -DMESSAGES=4 -DCONSUMERS=1: helpers store the hints, too
 *	FOUND -DBUG_TIMEOUT -DDEATHS=0 -DCELLS=1: who was silent for long is taken for dead, and isn't
 *	FOUND -DBUG_ONE_LAP -DABORTS=3 -DPRODUCERS=1 -DMESSAGES=2 -DCELLS=1: head is at most a lap behind
 *	FOUND -DBUG_BLIND_DROP -DDROP -DCELLS=1: the oldest is dropped by a store
 *	FOUND -DBUG_COUNT_FIRST -DREQUEUES=1 -DPRODUCERS=1: `returned` moves before the cell does
 */
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef CELLS
#define CELLS 2
#endif
#ifndef MESSAGES
#define MESSAGES 1
#endif
#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef ABORTS
#define ABORTS 0
#endif
#ifndef REQUEUES
#define REQUEUES 0
#endif
#define FREE 0
#define WRITING 1
#define READY 2
#define READING 3
#define RETURNED 4
#define TAIL_LAPS 2			/* KIPC_QUEUE_TAIL_LAPS */

typedef cell_t { byte lap, phase, own, msg };
cell_t cell[CELLS];
byte head, tail;			/* positions: lap = p / CELLS, index = p % CELLS */
byte returned, scanned;
bool shutdown;

/* the observer's: message m = producer * MESSAGES + i */
#define ALL (PRODUCERS * MESSAGES)
byte acked[ALL]; bool put_ok[ALL]; bool dropped[ALL]; byte next[2];
bool dead[5], left[5], stopped[5];	/* slots 1, 2: producers; 3, 4: consumers */
byte deaths, stops, aborts, requeues;
bool off_the_rails;

#define LAP(p) ((p) / CELLS)
#define CELL(p) cell[(p) % CELLS]

inline may_die() {
	if
	:: atomic { deaths < DEATHS -> deaths++; dead[me] = true; goto gone }
#if STOPS
	:: atomic { stops < STOPS -> stops++; stopped[me] = true; goto gone }
#endif
	:: true -> skip
	fi
}

#ifdef BUG_BLIND_HELP
#define HELP(hint, to) hint = to
#else
#define HELP(hint, to) atomic { if :: hint == p -> hint = to :: else fi }
#endif
/* by the claim's holder, who looks and then stores: it may look long before */
#define MOVE(hint, to) if :: hint = to :: atomic { hint >= to -> skip } fi

#define FULL(p) (CELL(p).lap + 1 == LAP(p))
#ifdef DROP
#define MAY_DROP(p) (FULL(p) && (CELL(p).phase == READY || CELL(p).phase == RETURNED))
#else
#define MAY_DROP(p) false
#endif

proctype producer(byte me) {
	byte i, p, l, ph; bool two;

	do
	:: i < MESSAGES ->
again:
#ifdef BUG_FLAG_FIRST
		if
		:: shutdown -> goto leave
		:: else
		fi;
#endif
		p = tail;
		atomic { l = CELL(p).lap; ph = CELL(p).phase };
		if
		:: l == LAP(p) && ph == FREE ->
			may_die();
			atomic {
				if
				:: CELL(p).lap == l && CELL(p).phase == FREE ->
					CELL(p).phase = WRITING; CELL(p).own = me
				:: else -> goto again
				fi
			};
			may_die();
			MOVE(tail, p + 1)
		:: l == LAP(p) && ph != FREE || l > LAP(p) && l <= LAP(p) + TAIL_LAPS ->
			HELP(tail, p + 1);
			goto again
		:: l + 1 == LAP(p) ->
#ifdef DROP
			if
			:: atomic { MAY_DROP(p) -> l = CELL(p).lap; ph = CELL(p).phase };
				may_die();
				atomic {
					if
#ifndef BUG_BLIND_DROP
					:: CELL(p).lap == l && CELL(p).phase == ph ->
#else
					:: true ->
#endif
						CELL(p).lap = l + 1; CELL(p).phase = FREE; CELL(p).own = 0;
						dropped[CELL(p).msg] = true
					:: else
					fi
				};
				goto again
			:: else
			fi;
#endif
			atomic { !FULL(tail) || shutdown || MAY_DROP(tail) -> p = 0; l = 0; ph = 0 };
			if
			:: shutdown && FULL(tail) -> goto leave
			:: else -> goto again
			fi
		:: else ->
			if
			:: tail == p -> off_the_rails = true; goto leave
			:: else -> goto again
			fi
		fi;
#ifndef BUG_FLAG_FIRST
		if
		:: shutdown -> atomic { CELL(p).lap = l + 1; CELL(p).phase = FREE; CELL(p).own = 0 };
			goto leave
		:: else
		fi;
#endif
#if ABORTS
		if
		:: atomic { aborts < ABORTS -> aborts++ }; may_die();
			atomic { CELL(p).lap = l + 1; CELL(p).phase = FREE; CELL(p).own = 0 };
			goto again
		:: true -> skip
		fi;
#endif
#ifdef BATCH
		/* by the cell alone, whatever tail says */
		if
		:: i + 1 < MESSAGES ->
			may_die();
			atomic {
				if
				:: CELL(p + 1).lap == LAP(p + 1) && CELL(p + 1).phase == FREE ->
					CELL(p + 1).phase = WRITING; CELL(p + 1).own = me; two = true
				:: else
				fi
			}
		:: else
		fi;
		if
		:: two -> may_die(); MOVE(tail, p + 2); CELL(p + 1).msg = (me - 1) * MESSAGES + i + 1
		:: else
		fi;
#endif
		may_die();
		CELL(p).msg = (me - 1) * MESSAGES + i;
		may_die();
		atomic { CELL(p).lap = l; CELL(p).phase = READY; CELL(p).own = 0 };
#ifdef BATCH
		if
		:: two ->
			may_die();
			atomic {
				CELL(p + 1).lap = LAP(p + 1); CELL(p + 1).phase = READY; CELL(p + 1).own = 0
			};
			may_die();
			atomic {
				put_ok[(me - 1) * MESSAGES + i] = true; i++;
				two = false
			}
		:: else
		fi;
#endif
		may_die();
		put_ok[(me - 1) * MESSAGES + i] = true;
		i++
	:: else -> break
	od;
leave:	left[me] = true;
gone:	skip
}

#define HEAD_WAITS (CELL(head).lap == LAP(head) && (CELL(head).phase == FREE || CELL(head).phase == WRITING) || CELL(head).lap + 1 == LAP(head))
#define HEAD_EMPTY (CELL(head).lap == LAP(head) && CELL(head).phase == FREE || CELL(head).lap + 1 == LAP(head))
/* pos_passed() */
#define PASSED(p, l) ((p) + 1 + (l > LAP(p) + 2 -> (l - LAP(p) - 2) * CELLS : 0))

/* READY at position q with message m: taken in the order of its producer */
#define TAKE(q) \
	CELL(q).phase = READING; CELL(q).own = me; m = CELL(q).msg; \
	assert(m % MESSAGES >= next[m / MESSAGES]); \
	next[m / MESSAGES] = m % MESSAGES + 1

#define RELEASE(q) \
	assert(CELL(q).phase == READING && CELL(q).own == me && CELL(q).lap == LAP(q)); \
	m = CELL(q).msg; \
	CELL(q).lap = LAP(q) + 1; CELL(q).phase = FREE; CELL(q).own = 0; \
	acked[m]++; \
	assert(acked[m] == 1 && !dropped[m])

proctype consumer(byte me) {
	byte p, l, ph, m, k, r, sc; bool flag, two;

again:
	if
	:: returned != scanned ->
		sc = scanned;
#ifndef BUG_SCAN_LATE
		r = returned;
#endif
		k = 0;
		do
		:: k < CELLS ->
			atomic {
				if
				:: cell[k].phase == RETURNED ->
					cell[k].phase = READING; cell[k].own = me; m = cell[k].msg;
					goto taken_again
				:: else -> k++
				fi
			}
		:: else -> break
		od;
#ifdef BUG_SCAN_LATE
		r = returned;
#endif
		may_die();
		atomic { if :: scanned == sc -> scanned = r :: else fi };
		atomic { k = 0; r = 0; sc = 0 }
	:: else
	fi;
	flag = shutdown;
	p = head;
	atomic { l = CELL(p).lap; ph = CELL(p).phase };
	if
	:: l == LAP(p) && ph == READY ->
		may_die();
		atomic {
			if
			:: CELL(p).lap == l && CELL(p).phase == READY -> TAKE(p)
			:: else -> goto again
			fi
		};
		may_die();
		MOVE(head, p + 1);
#ifdef BATCH
		atomic {
			if
			:: CELL(p + 1).lap == LAP(p + 1) && CELL(p + 1).phase == READY ->
				TAKE(p + 1); two = true
			:: else
			fi
		};
		if
		:: two -> may_die(); MOVE(head, p + 2)
		:: else
		fi;
#endif
		goto taken
	:: l == LAP(p) && (ph == READING || ph == RETURNED) ->
		HELP(head, p + 1);
		goto again
#ifndef BUG_ONE_LAP
	:: l > LAP(p) ->
		/* it may be far behind what was never put, but not far beyond tail */
		if
		:: PASSED(p, l) <= tail + (TAIL_LAPS + 1) * CELLS -> HELP(head, PASSED(p, l))
		:: else -> off_the_rails = (head == p)
		fi;
		goto again
#else
	:: l == LAP(p) + 1 ->
		HELP(head, p + 1);
		goto again
#endif
	:: l == LAP(p) && ph == FREE || l + 1 == LAP(p) || l == LAP(p) && ph == WRITING ->
		if
		:: head == p && flag && !(l == LAP(p) && ph == WRITING) -> goto leave
		:: head != p -> goto again
		:: else -> atomic {
				!HEAD_WAITS || returned != scanned || (shutdown && HEAD_EMPTY) ->
				p = 0; l = 0; ph = 0; flag = false; goto again }
		fi
	:: else ->
		if
		:: head == p -> off_the_rails = true; goto leave
		:: else -> goto again
		fi
	fi;

taken_again:
	atomic { p = cell[k].lap * CELLS + k; l = cell[k].lap; k = 0; r = 0; sc = 0 };
taken:	may_die();
#if REQUEUES
	if
	:: atomic { requeues < REQUEUES -> requeues++ };
#ifdef BUG_COUNT_FIRST
		returned++; may_die();
#endif
		assert(CELL(p).phase == READING && CELL(p).own == me);
		atomic { CELL(p).phase = RETURNED; CELL(p).own = 0 };
#ifndef BUG_COUNT_FIRST
		may_die(); returned++;
#endif
		goto over
	:: true -> skip
	fi;
#endif
	atomic { RELEASE(p) };
#ifdef BATCH
	if
	:: two -> may_die(); atomic { RELEASE(p + 1); two = false }
	:: else
	fi;
#endif
over:	atomic { p = 0; l = 0; ph = 0; m = 0; flag = false };
	goto again;
leave:	left[me] = true;
gone:	skip
}

/* Any survivor; the byte that makes it unique is lock.pml's matter. */
proctype reaper() {
	byte s, k; bool again;

end_reaper:
	do
	:: atomic { dead[1] -> s = 1 }; goto repair
	:: atomic { dead[2] -> s = 2 }; goto repair
	:: atomic { dead[3] -> s = 3 }; goto repair
	:: atomic { dead[4] -> s = 4 }; goto repair
#ifdef BUG_TIMEOUT
	:: atomic { !again && !left[1] -> again = true; s = 1 }; goto repair
	:: atomic { !again && !left[3] -> again = true; s = 3 }; goto repair
#endif
	od;
repair:
	k = 0;
	do
	:: k < CELLS ->
		atomic {
			if
			:: cell[k].own == s && cell[k].phase == WRITING ->
				cell[k].lap++; cell[k].phase = FREE; cell[k].own = 0
			:: cell[k].own == s && cell[k].phase == READING ->
				cell[k].phase = RETURNED; cell[k].own = 0
			:: else
			fi;
			k++
		}
	:: !again -> again = true; goto repair	/* it died, too: the next one begins anew */
	:: else -> break
	od;
#ifndef BUG_NO_BUMP
	returned++;
#endif
	atomic { left[s] = left[s] || dead[s]; dead[s] = false; s = 0; k = 0 };
	goto end_reaper
}

#ifdef SHUTDOWN
proctype ender() { shutdown = true }
#endif

#define HELD(k, in) (cell[k].phase == in && stopped[cell[k].own])
#define POSITION(k) (cell[k].lap * CELLS + k)

/* Nothing moves any more. */
proctype monitor() {
	byte j, k, at; bool writing, held;

	timeout;
	assert(!off_the_rails);
	atomic {
		at = 255;
		do
		:: k < CELLS ->
			if
			:: HELD(k, WRITING) -> writing = true;
				if :: POSITION(k) < at -> at = POSITION(k) :: else fi
			:: HELD(k, READING) -> held = true
			:: else
			fi;
			k++
		:: else -> break
		od;
		k = 0
	};
	/* nobody is left to get anything */
	if
	:: left[3] && left[4] && !shutdown -> goto over
	:: else
	fi;
	/* who hasn't put all it had was stopped, or waits for room that is held */
	assert(left[1] || stopped[1] || FULL(tail) && (writing || held));
	assert(PRODUCERS == 1 || left[2] || stopped[2] || FULL(tail) && (writing || held));
	/* what stands in the ring, and may stay there */
	do
	:: k < CELLS ->
		if
		:: HELD(k, READING) || cell[k].phase == READY && writing && POSITION(k) > at ->
			acked[cell[k].msg]++
		:: else
		fi;
		k++
	:: else -> break
	od;
	do
	:: j < ALL -> assert(!put_ok[j] || acked[j] + dropped[j] == 1); j++
	:: else -> break
	od;
over:	skip
}

init {
	atomic {
#if CONSUMERS == 1
		left[4] = true;
#endif
		run producer(1);
#if PRODUCERS == 2
		run producer(2);
#endif
		run consumer(3);
#if CONSUMERS == 2
		run consumer(4);
#endif
		run reaper();
#ifdef SHUTDOWN
		run ender();
#endif
		run monitor()
	}
}
