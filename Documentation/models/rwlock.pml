/* SPDX-License-Identifier: MIT */
/*
 * The reader-writer lock (lib/shm/rwlock.[ch]): readers x writers x death x repairer.
 *
 * Two readers and two writers, a slot each, take the lock, step through a critical section and give
 * it up.  Up to DEATHS of them die, at any step, while they repair and asleep too.  The lock among
 * the writers is lock.pml's, here a word that is taken in one step and waited for without a futex.
 * The tick comes only once somebody died, and only when there is something to find (as in
 * lock.pml): what loses a wake-up stands still.
 *
 * Holds: a writer is alone; whoever is in after a writer died in is told, until a writer has left;
 * no writer gets in before a reader that waited for the one before it; whoever has the writers'
 * lock finds a gate of nobody's; when nothing moves any more, everybody has been through or is
 * dead.
 *
 *	HOLDS -DDEATHS=0
 *	HOLDS -DDEATHS=0 -DGIVE_UP
 *	HOLDS
 *	HOLDS -DGIVE_UP -DREADERS=1
 *	HOLDS -DDEATHS=2 -DREADERS=1
 *	FOUND -DBUG_LOOK_FIRST -DDEATHS=0: a reader looks at the gate, then adds itself
 *	FOUND -DBUG_STAY -DDEATHS=0: a reader that finds the gate closing stays in the count
 *	FOUND -DBUG_NO_TURN -DDEATHS=0: one that waits for the writer inside does not
 *	FOUND -DBUG_NO_WAKE -DDEATHS=0: the last reader to leave wakes nobody
 *	FOUND -DBUG_NO_TORN: a repairer opens the gate without leaving word of the death
 *	FOUND -DBUG_LOCK_FIRST: a repairer gives up the writers' lock before it opens the gate
 *	FOUND -DBUG_KEEP_COUNT: a repairer forgets the count of a dead reader
 */
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef READERS
#define READERS 2
#endif
#define N (READERS + 2)
#define SLOTS 5
#define NONE 0

byte gate; bool in, torn, sleepers;	/* the gate: owner's slot and its bits */
byte rw_lock;				/* the writers' lock: owner's slot */
byte held[SLOTS];			/* by slot */
byte byte_of[SLOTS];			/* who holds a dead slot's byte to repair it: slot, or nobody */
bool repaired[SLOTS];
bool dead[SLOTS], done[SLOTS];
bool at_gate[SLOTS], at_held[SLOTS], woken[SLOTS];	/* asleep, and where */
bool turn[SLOTS];			/* a reader that waits for the writer inside */
byte deaths, readers_in, writers_in;
bool broken;				/* a writer died in, and none has left since */

inline wake_gate() {
	w = 1;
	do
	:: w <= N -> woken[w] = woken[w] || at_gate[w]; w++
	:: else -> break
	od;
	w = 0
}

/* those that wait for a count, whichever */
inline wake_held() {
	w = 1;
	do
	:: w <= N -> woken[w] = woken[w] || at_held[w]; w++
	:: else -> break
	od;
	w = 0
}

/* what the kernel does for a death: the bytes that it held are free */
inline die() {
	atomic {
		deaths < DEATHS ->
		deaths++;
		dead[me] = true;
		at_gate[me] = false;
		at_held[me] = false;
		turn[me] = false;
		w = 1;
		do
		:: w <= N ->
			if
			:: byte_of[w] == me -> byte_of[w] = NONE
			:: else
			fi;
			w++
		:: else -> break
		od;
		w = 0
	};
	goto gone
}

#define MAY_DIE if :: die() :: true -> skip fi

#define CAN_REAP(s) (s != NONE && dead[s] && !repaired[s] && byte_of[s] == NONE)

/* s: a slot that we wait for */
inline reap(s) {
	atomic {
		if
		:: CAN_REAP(s) -> byte_of[s] = me; got = true
		:: else -> got = false
		fi
	};
	if
	:: got ->
		MAY_DIE;
#ifndef BUG_KEEP_COUNT
		atomic { held[s] = 0; wake_held() };
		MAY_DIE;
#endif
#ifdef BUG_LOCK_FIRST
		atomic { if :: rw_lock == s -> rw_lock = NONE :: else fi };
		MAY_DIE;
#endif
		atomic {
			if
			:: gate == s ->
				gate = NONE;
#ifndef BUG_NO_TORN
				torn = torn || in;
#endif
				in = false;
				if
				:: sleepers -> sleepers = false; wake_gate()
				:: else
				fi
			:: else
			fi
		};
		MAY_DIE;
		atomic { if :: rw_lock == s -> rw_lock = NONE :: else fi };
		MAY_DIE;
		atomic { repaired[s] = true; byte_of[s] = NONE; got = false }
	:: else
	fi
}

inline leave() {
	atomic { assert(held[me] == 1); held[me]-- };
	MAY_DIE;
#ifndef BUG_NO_WAKE
	atomic {
		if
		:: gate != NONE && !in -> wake_held()
		:: else
		fi
	}
#endif
}

proctype reader(byte me) {
	byte g, w; bool i, got;

again:
#ifdef BUG_LOOK_FIRST
	atomic { g = gate; i = in };
	held[me]++;
#else
	held[me]++;
	MAY_DIE;
	atomic { g = gate; i = in; turn[me] = g != NONE && i };
#endif
	if
	:: g == NONE -> goto critical
	:: else
	fi;
#ifdef BUG_NO_TURN
	leave();
#else
#ifndef BUG_STAY
	if
	:: !i -> leave()
	:: else
	fi;
#endif
#endif
	/* while the gate is as it was: closing, or a writer inside */
wait:
	atomic {
		if
		:: gate != NONE && in == i -> sleepers = true; at_gate[me] = true; g = gate
		:: else -> goto moved
		fi
	};
	if
	:: atomic { woken[me] -> woken[me] = false; at_gate[me] = false }
	:: die()
	:: atomic { deaths > 0 && !woken[me] && (gate != g || in != i || CAN_REAP(g)) ->
		at_gate[me] = false };
		reap(g)
#ifdef GIVE_UP
	:: atomic { !woken[me] -> at_gate[me] = false; turn[me] = false };
		if
		:: held[me] -> leave()
		:: else
		fi;
		goto over
#endif
	fi;
	goto wait;
moved:
#ifdef BUG_STAY
	goto critical;
#else
#ifdef BUG_NO_TURN
	goto again;
#else
	if
	:: i -> goto critical
	:: else -> goto again
	fi;
#endif
#endif

critical:
	atomic {
		turn[me] = false;
		readers_in++;
		assert(writers_in == 0);
		assert(!broken || torn)
	};
	if
	:: atomic { deaths < DEATHS -> readers_in--; die() }
	:: readers_in--
	fi;
	leave();
over:	done[me] = true;
gone:	skip
}

/* to: TORN, or nothing */
inline open_gate(to) {
	atomic {
		gate = NONE;
		in = false;
		torn = to;
		broken = broken && to;
		slept = sleepers;
		sleepers = false
	};
	MAY_DIE;
	rw_lock = NONE;
	MAY_DIE;
	atomic {
		if
		:: slept -> wake_gate()
		:: else
		fi
	}
}

proctype writer(byte me) {
	byte s, w; bool got, slept;

	do
	:: atomic { rw_lock == NONE -> rw_lock = me; break }
	:: atomic { CAN_REAP(rw_lock) -> s = rw_lock }; reap(s)
	od;
	MAY_DIE;
	atomic { assert(gate == NONE && !in); gate = me };
	MAY_DIE;
	s = 1;
	do
	:: s > READERS -> break
	:: s <= READERS && held[s] == 0 -> s++
	:: s <= READERS && held[s] != 0 ->
		atomic {
			if
			:: held[s] != 0 -> at_held[me] = true
			:: else -> woken[me] = true	/* the futex's word has changed */
			fi
		};
		if
		:: atomic { woken[me] -> woken[me] = false; at_held[me] = false }
		:: die()
		:: atomic { deaths > 0 && !woken[me] && (held[s] == 0 || CAN_REAP(s)) ->
			at_held[me] = false };
			reap(s)
#ifdef GIVE_UP
		:: atomic { !woken[me] -> at_held[me] = false };
			open_gate(torn);
			goto over
#endif
		fi
	od;
	atomic {
		in = true;
		writers_in++;
		assert(writers_in == 1 && readers_in == 0);
		assert(!turn[1] && !turn[2]);
		assert(!broken || torn)
	};
	if
	:: atomic { deaths < DEATHS -> broken = true; writers_in--; die() }
	:: writers_in--
	fi;
	/* a death here as well leaves the gate with a writer in: told in vain, which is allowed */
	MAY_DIE;
	open_gate(false);
over:	done[me] = true;
gone:	skip
}

#define OVER(p) (p > N || done[p] || dead[p])

active proctype monitor() {
	/* stuck: not even a tick helps */
	timeout -> assert(OVER(1) && OVER(2) && OVER(3) && OVER(4))
}

init {
	atomic {
		run reader(1);
#if READERS > 1
		run reader(2);
#endif
		run writer(READERS + 1);
		run writer(READERS + 2)
	}
}
