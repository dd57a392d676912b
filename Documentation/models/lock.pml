/* SPDX-License-Identifier: MIT */
/*
 * The lock (lib/core/lock.[ch]): word x waiters x death x reaper.
 *
 * Three processes, each with a slot of its own, take the lock, step through a critical section,
 * and release it, TURNS times.  Up to DEATHS of them die, at any step, asleep too.  The third may
 * start late, in the slot of a dead one, which it repairs if nobody else has.  The futex's timeout
 * (the tick) comes only once somebody died, and only when there is something to find: so a death
 * may cost a wake-up, nothing else may, and a tick that doesn't help shows up as a standstill.
 * GIVE_UP: the time of one of them may be up, asleep or just woken.
 *
 * Holds: never two owners that live; the first one in after a death inside is told so; when nothing
 * moves any more, everybody has been through or is dead.
 *
 *	HOLDS -DDEATHS=0
 *	HOLDS
 *	HOLDS -DDEATHS=2
 *	HOLDS -DGIVE_UP -DDEATHS=0
 *	HOLDS -DGIVE_UP
 *	FOUND -DBUG_NO_BYTE: a repairer asks whether the slot is dead, then repairs without its byte
 *	FOUND -DBUG_NO_DIED: a repairer frees the lock without leaving word of the death
 *	FOUND -DBUG_DROP_WAITERS -DDEATHS=0: who was woken acquires without the waiters bit
 *	FOUND -DBUG_LEAVE -DGIVE_UP -DDEATHS=0: whose time is up goes before it has set the waiters bit
 */
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef TURNS
#define TURNS 2
#endif
#define N 3
#define SLOTS 4
#define NONE 0

/* the word */
byte owner; bool waiters, died;
/* slots 1..N: byte locked by whom (0 nobody, p + 1), live flag, who lives in it */
byte holder[SLOTS]; bool live[SLOTS];
/* processes 0..N-1 */
bool dead[N], asleep[N], woken[N], done[N], told[N];
byte slot[N];
byte deaths, inside, torn;	/* torn: somebody died inside and nobody was told yet */
bool gave_up;

inline wake_one() {
	if
	:: asleep[0] && !woken[0] -> woken[0] = true
	:: asleep[1] && !woken[1] -> woken[1] = true
	:: asleep[2] && !woken[2] -> woken[2] = true
	:: else
	fi
}

/* what the kernel does for a death: the bytes held through its description are free */
inline die(p) {
	atomic {
		deaths < DEATHS ->
		deaths++;
		dead[p] = true;
		asleep[p] = false;
		d = 1;
		do
		:: d < SLOTS ->
			if
			:: holder[d] == p + 1 -> holder[d] = 0
			:: else
			fi;
			d++
		:: else -> break
		od;
		d = 0
	};
	goto gone
}

#define MAY_DIE if :: die(me) :: true -> skip fi

/* s: a slot met in the word */
inline reap(s) {
#ifdef BUG_NO_BYTE
	if
	:: atomic { holder[s] == 0 && live[s] -> got = true }
	:: else -> got = false
	fi;
#else
	atomic {
		if
		:: holder[s] == 0 && s != slot[me] -> holder[s] = me + 1; got = true
		:: else -> got = false
		fi
	};
#endif
	if
	:: got ->
		MAY_DIE;
		atomic {
			if
			:: owner == s ->
				owner = NONE;
#ifndef BUG_NO_DIED
				died = true;
#endif
				wake = waiters
			:: else
			fi
		};
		MAY_DIE;	/* the sleepers' ticks find a free lock */
		atomic {
			if
			:: wake -> wake = false; wake_one()
			:: else
			fi
		};
		MAY_DIE;
		live[s] = false;
		MAY_DIE;
#ifndef BUG_NO_BYTE
		holder[s] = 0;
#endif
		got = false
	:: else
	fi
}

proctype process(byte me) {
	byte s, t, d, turn; bool got, slept, wake;

	if
	:: me < 2 -> t = me + 1
	:: else ->
		if
		:: t = 1
		:: t = 3
		fi
	fi;
	/* attach: by the byte, after a repair if there was a life before */
	do
	:: live[t] -> holder[t] == 0; reap(t)
	:: atomic { !live[t] && holder[t] == 0 && (t == me + 1 || dead[0]) ->
		slot[me] = t; holder[t] = me + 1; break }
	:: atomic { t != me + 1 && done[0] -> t = me + 1 }
	od;
	live[slot[me]] = true;

again:
#ifdef BUG_LEAVE
	if
	:: atomic { slept && owner != NONE && !gave_up -> gave_up = true }; goto leave
	:: true -> skip
	fi;
#endif
	atomic {
		s = owner;
		if
		:: owner == NONE ->
			/* one CAS, whatever the bits */
			told[me] = died;
			died = false;
			owner = slot[me];
#ifdef BUG_DROP_WAITERS
			waiters = false;
#else
			waiters = waiters || slept;
#endif
			goto critical
		:: else -> waiters = true
		fi
	};
#if defined(GIVE_UP) && !defined(BUG_LEAVE)
	if
	:: atomic { !gave_up -> gave_up = true }; goto leave
	:: true -> skip
	fi;
#endif
	/* futex wait: sleeps only if the word is still what it was */
	atomic {
		if
		:: owner == s && waiters -> asleep[me] = true
		:: else -> goto again
		fi
	};
	if
	:: atomic { woken[me] -> woken[me] = false; asleep[me] = false; slept = true }
	:: die(me)
#ifdef GIVE_UP
	/* awake by its own time: it looks once more */
	:: atomic { !gave_up && !woken[me] -> asleep[me] = false; slept = true }
#endif
	:: atomic { deaths > 0 && !woken[me] && (owner == NONE || holder[owner] == 0) ->
		asleep[me] = false; slept = true };
		s = owner;
		if
		:: s != NONE -> reap(s)
		:: else
		fi
	fi;
	goto again;

critical:
	atomic {
		inside++;
		assert(inside == 1);
		assert(!torn || told[me]);
		torn = 0
	};
	/* a death in here leaves the guarded data half done */
	if
	:: atomic { deaths < DEATHS -> torn = 1; inside-- ; die(me) }
	:: inside--
	fi;

	/* release */
	assert(owner == slot[me]);
	atomic {
		if
		:: !waiters -> owner = NONE; goto released
		:: else
		fi
	};
	atomic { owner = NONE; waiters = false; wake_one() };	/* FUTEX_WAKE_OP */
released:
	atomic {
		slept = false;
		turn++;
		if
		:: turn < TURNS -> goto again
		:: else
		fi
	};
leave:
	atomic { live[slot[me]] = false; holder[slot[me]] = 0; done[me] = true };
gone:	skip
}

#define OVER(p) (done[p] || dead[p])

active proctype monitor() {
	/* stuck: not even a tick helps */
	timeout -> assert(OVER(0) && OVER(1) && OVER(2))
}

init {
	atomic { run process(0); run process(1); run process(2) }
}
