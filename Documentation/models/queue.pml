/* SPDX-License-Identifier: MIT */
/*
 * The queue's cells (lib/queue/claim.c, queue.c): a message whose put returned is acknowledged once, by
 * a consumer that lives; order per producer; nothing is got twice without a death in between.
 *
 * A ring of CELLS cells, two producers with MESSAGES each, two consumers, a survivor that repairs.
 * Every load, store and CAS that others can see is one step.  A process may die (DEATHS in all) before
 * any of them; one that is only slow is covered by the interleavings.  Sleeping is left out (that is
 * doorbell.pml): who can't go on waits for the very condition that the library sleeps for.
 *
 *	HOLDS -DDEATHS=0 -DMESSAGES=2
 *	HOLDS
 *	HOLDS -DDEATHS=0 -DSHUTDOWN
 *	HOLDS -DCELLS=1
 *	FOUND -DBUG_NO_BUMP: a repair doesn't move `returned`
 *	FOUND -DBUG_SCAN_LATE -DDEATHS=2: what is stored into `scanned` was read after the scan
 *	FOUND -DBUG_FLAG_FIRST -DDEATHS=0 -DSHUTDOWN: a producer looks at the flag before its claim
 *	FOUND -DBUG_BLIND_HELP -DDEATHS=0 -DCELLS=1 -DMESSAGES=2: helpers store the hints, too
 */
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef CELLS
#define CELLS 2
#endif
#ifndef MESSAGES
#define MESSAGES 1
#endif
#define FREE 0
#define WRITING 1
#define READY 2
#define READING 3
#define RETURNED 4

typedef cell_t { byte lap, phase, own, msg };
cell_t cell[CELLS];
byte head, tail;			/* positions: lap = p / CELLS, index = p % CELLS */
byte returned, scanned;
bool shutdown;

/* the observer's: message m = producer * MESSAGES + i */
byte acked[2 * MESSAGES]; bool put_ok[2 * MESSAGES]; byte next[2];
bool dead[5], left[5];			/* slots 1, 2: producers; 3, 4: consumers */
byte deaths;
bool off_the_rails;

#define LAP(p) ((p) / CELLS)
#define CELL(p) cell[(p) % CELLS]

inline may_die() {
	if
	:: atomic { deaths < DEATHS -> deaths++; dead[me] = true; goto gone }
	:: true -> skip
	fi
}

#ifdef BUG_BLIND_HELP
#define HELP(hint) hint = p + 1
#else
#define HELP(hint) atomic { if :: hint == p -> hint = p + 1 :: else fi }
#endif

#define CAN_PUT (CELL(tail).lap >= LAP(tail))

proctype producer(byte me) {
	byte i, p, l, ph;

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
			tail = p + 1	/* stored by the claim's holder: at most a ring too low */
		:: l == LAP(p) && ph != FREE || l == LAP(p) + 1 ->
			HELP(tail);
			goto again
		:: l + 1 == LAP(p) -> atomic { CAN_PUT || shutdown -> p = 0; l = 0; ph = 0 };
			if
			:: shutdown && !CAN_PUT -> goto leave
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
		may_die();
		CELL(p).msg = (me - 1) * MESSAGES + i;
		may_die();
		atomic { CELL(p).phase = READY; CELL(p).own = 0 };
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

proctype consumer(byte me) {
	byte p, l, ph, m, k, r, sc; bool flag;

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
			:: CELL(p).lap == l && CELL(p).phase == READY ->
				CELL(p).phase = READING; CELL(p).own = me; m = CELL(p).msg;
				/* taken in the order of its producer */
				assert(m % MESSAGES >= next[m / MESSAGES]);
				next[m / MESSAGES] = m % MESSAGES + 1
			:: else -> goto again
			fi
		};
		may_die();
		head = p + 1;
		goto taken
	:: l == LAP(p) && (ph == READING || ph == RETURNED) || l == LAP(p) + 1 ->
		HELP(head);
		goto again
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
	assert(CELL(p).phase == READING && CELL(p).own == me && CELL(p).lap == l);
	atomic {
		CELL(p).lap = l + 1; CELL(p).phase = FREE; CELL(p).own = 0;
		acked[m]++;
		assert(acked[m] == 1)
	};
	atomic { p = 0; l = 0; ph = 0; m = 0; flag = false };
	goto again;
leave:	left[me] = true;
gone:	skip
}

/* Any survivor; the byte that makes it unique is lock.pml's matter. */
proctype reaper() {
	byte s, k;

end_reaper:
	do
	:: atomic { dead[1] -> s = 1 }; goto repair
	:: atomic { dead[2] -> s = 2 }; goto repair
	:: atomic { dead[3] -> s = 3 }; goto repair
	:: atomic { dead[4] -> s = 4 }; goto repair
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
	:: else -> break
	od;
#ifndef BUG_NO_BUMP
	returned++;
#endif
	atomic { dead[s] = false; left[s] = true; s = 0; k = 0 };
	goto end_reaper
}

#ifdef SHUTDOWN
proctype ender() { shutdown = true }
#endif

byte j;
proctype monitor() {
	timeout;
	assert(!off_the_rails);
	assert(left[1] && left[2]);
	do
	:: j < 2 * MESSAGES -> assert(!put_ok[j] || acked[j] == 1); j++
	:: else -> break
	od
}

init {
	atomic {
		run producer(1); run producer(2); run consumer(3); run consumer(4); run reaper();
#ifdef SHUTDOWN
		run ender();
#endif
		run monitor()
	}
}
