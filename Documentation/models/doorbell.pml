/* SPDX-License-Identifier: MIT */
/*
 * The doorbell (lib/core/doorbell.c, wait.c): no wake-up is lost, without any help from ticks.
 *
 * Two consumers and two producers share one bell; the eventfd's poll is exclusive: a write wakes one
 * sleeper.  Each step that other processes can see is one transition.  When nothing can go on
 * (timeout), no work may be left while a live consumer sleeps.
 *
 * DIE_RING: a producer may die between the write and `signalled`.  DIE_DRAIN: a consumer may die as
 * drainer, DIE_ASLEEP: while it sleeps, woken or not; a reaper repairs it.  GIVE_UP: a consumer's time
 * may be up.  WATCH: instead of the second consumer, somebody polls the eventfd from outside the
 * library, and calls without waiting until it is told -EAGAIN.  The BUG_s are mistakes that were made
 * or could be:
 *
 *	HOLDS
 *	HOLDS -DDIE_RING
 *	HOLDS -DDIE_DRAIN
 *	HOLDS -DDIE_ASLEEP
 *	HOLDS -DGIVE_UP
 *	HOLDS -DWATCH
 *	HOLDS -DWATCH -DDIE_DRAIN
 *	FOUND -DBUG_SET_FIRST: signalled is set before the write, and the ringer may die in between
 *	FOUND -DBUG_NO_SEQ: signalled is set without a look whether somebody drained meanwhile
 *	FOUND -DBUG_NO_DRAINER: a sleeper reads and clears without becoming drainer
 *	FOUND -DBUG_NO_PASS: who was woken doesn't ring for the work that it leaves
 *	FOUND -DBUG_PASS_IF_SLEPT: nor does who only drained, and had no need to sleep
 *	FOUND -DBUG_NO_LOOK: a sleeper doesn't look again after it announced itself
 *	FOUND -DBUG_NO_KICK -DDIE_ASLEEP: a reaper takes the dead one's sleep back, but wakes nobody
 *	FOUND -DBUG_LEAVE -DGIVE_UP: whose time is up doesn't ring for the work that it leaves
 *	FOUND -DBUG_CLEAR_LAST -DWATCH: a poller looks for work, then clears the eventfd
 */
#ifndef MESSAGES
#define MESSAGES 1	/* of each producer */
#endif
#define NOBODY 255

byte work;			/* messages published and not taken */
/* the word */
byte sleepers; bool sig; byte drainer; byte seq;
/* the eventfd */
bool readable; bool asleep[2]; bool woken[2];
bool announced[2];		/* the peers' records: what a reaper takes back */
bool gone[2];			/* consumers that don't come back */
bool killed[2];			/* those whom a reaper finds */
byte producers = 2;		/* still at it */
byte deaths;
bool gave_up;

#ifdef WATCH
#define SOMEBODY(n) true	/* the word's bit is set, for ever */
#else
#define SOMEBODY(n) (n > 0)
#endif

inline write_eventfd() {
	atomic {
		readable = true;
		if
		:: asleep[0] && !woken[0] -> woken[0] = true
		:: asleep[1] && !woken[1] -> woken[1] = true
		:: else
		fi
	}
}

/* seen_*: what the ringer read in one load */
inline ring(may_die) {
	d_step { s_sleepers = sleepers; s_sig = sig; s_drainer = drainer; s_seq = seq }
	if
	:: !SOMEBODY(s_sleepers) || (s_sig && s_drainer == NOBODY) -> skip
	:: else ->
#ifdef BUG_SET_FIRST
		atomic {
			if
			:: s_drainer == NOBODY && drainer == NOBODY && seq == s_seq -> sig = true
			:: else
			fi
		}
		if
		:: may_die && deaths == 0 -> deaths++; goto died
		:: true -> skip
		fi;
		write_eventfd()
#else
		write_eventfd();
#ifdef DIE_RING
		if
		:: may_die && deaths == 0 -> deaths++; goto died
		:: true -> skip
		fi;
#endif
#ifdef BUG_NO_SEQ
		atomic {
			if
			:: drainer == NOBODY -> sig = true
			:: else
			fi
		}
#else
		/* the loop of CASes: it goes through unless seq, drainer or sig say no */
		atomic {
			if
			:: seq == s_seq && s_drainer == NOBODY && drainer == NOBODY -> sig = true
			:: else
			fi
		}
#endif
#endif
	fi;
	atomic { s_sleepers = 0; s_sig = 0; s_drainer = 0; s_seq = 0 }
}

proctype producer() {
	byte i, s_sleepers, s_drainer, s_seq; bool s_sig;

	do
	:: i < MESSAGES -> work++; i++; ring(true)
	:: else -> break
	od;
died:
	producers--
}

inline die() {
	atomic {
		deaths == 0 ->
		deaths++; gone[me] = true; killed[me] = true; asleep[me] = false; woken[me] = false
	};
	goto died
}

inline drain(me) {
	drained = true;
	atomic {
		if
		:: !force && !sig -> mine = false
		:: else ->
#ifdef BUG_NO_DRAINER
			mine = true
#else
			if
			:: drainer != NOBODY -> mine = false; drained = false
			:: else -> drainer = me; sig = false; mine = true
			fi
#endif
		fi
	};
	if
	:: mine ->
#ifdef BUG_NO_DRAINER
		sig = false;
#endif
#ifdef DIE_DRAIN
		if
		:: die()
		:: true -> skip
		fi;
#endif
		readable = false;
#ifdef DIE_DRAIN
		if
		:: die()
		:: true -> skip
		fi;
#endif
#ifndef BUG_NO_DRAINER
		atomic { drainer = NOBODY; seq = (seq + 1) % 8 }
#endif
	:: else
	fi
}

proctype consumer(byte me) {
	byte s_sleepers, s_drainer, s_seq; bool s_sig, force, drained, mine, slept, leaving;

	do
	:: atomic { work > 0 -> work-- };
		if
		:: slept && work > 0 ->
#ifndef BUG_NO_PASS
			ring(false)
#endif
			;
		:: else
		fi;
		slept = false;
		if
		:: gone[me] = true; goto died	/* busy with it for ever; no claim is left behind */
		:: true -> skip
		fi
	:: work == 0 ->
		atomic { sleepers++; announced[me] = true };
		force = false;
#ifndef BUG_PASS_IF_SLEPT
		slept = true;	/* a drain alone may eat a wake-up that was meant for another */
#endif
		do
		:: drain(me);
			if
#ifndef BUG_NO_LOOK
			:: work > 0 -> break
#endif
			:: else -> skip
			fi;
#ifdef GIVE_UP
			if
			:: leaving -> break
			:: atomic { !leaving && !gave_up -> gave_up = true; leaving = true }; break
			:: !leaving -> skip
			fi;
#endif
			if
			:: drained ->
				/* poll(2): at once if readable, else until a write picks us */
				atomic {
					if
					:: readable -> woken[me] = true
					:: else -> skip
					fi;
					asleep[me] = true
				}
end_sleep:			if
				:: atomic { woken[me] -> woken[me] = false; asleep[me] = false; force = true }
#ifdef GIVE_UP
				:: atomic { !woken[me] && !gave_up ->
					gave_up = true; leaving = true; asleep[me] = false; force = false }
#endif
#ifdef DIE_ASLEEP
				:: die()
#endif
				fi;
				slept = true;
#ifdef BUG_NO_LOOK
				break
#endif
			:: else -> drainer != me && drainer == NOBODY;	/* naps 10 ms at a time */
				force = false
			fi
		od;
		atomic { sleepers--; announced[me] = false; force = false; mine = false; drained = false };
#ifdef GIVE_UP
		if
		:: leaving ->
			/* once more: what woke us too late may be there all the same */
			atomic { if :: work > 0 -> work-- :: else fi };
#ifndef BUG_LEAVE
			if
			:: work > 0 -> ring(false)
			:: else
			fi;
#endif
			gone[me] = true;
			goto died
		:: else
		fi
#endif
	od;
died:	skip
}

/* A caller of kipc_queue_fd(): poll(2), not exclusive; then gets with KIPC_NOWAIT until -EAGAIN. */
proctype poller(byte me) {
	byte s_sleepers, s_drainer, s_seq; bool s_sig, force, drained, mine;

	/* what came before anybody watched was not rung for: taken at once */
	do
	:: atomic { work > 0 -> work-- }
	:: work == 0 ->
		force = true;
		drain(me);
		atomic { force = false; mine = false; drained = false };
#ifndef BUG_CLEAR_LAST
		if
		:: atomic { work > 0 -> work-- };
			/* the call after the drain, which may have eaten what was meant for another */
			if
			:: work > 0 -> ring(false)
			:: else
			fi
		:: work == 0 ->
#endif
end_poll:		readable
#ifndef BUG_CLEAR_LAST
		fi
#endif
	od;
died:	skip
}

proctype reaper() {
	byte k;

end_reaper:
	do
	:: atomic { killed[0] -> k = 0 }; goto repair
	:: atomic { killed[1] -> k = 1 }; goto repair
	od;
repair:
	/* the record first, as a death in between makes the word too high, never too low */
	atomic { if :: announced[k] -> announced[k] = false; sleepers-- :: else fi };
	atomic { if :: drainer == k -> drainer = NOBODY; seq = (seq + 1) % 8 :: else fi };
	killed[k] = false;
#ifndef BUG_NO_KICK
	if
	:: SOMEBODY(sleepers) -> write_eventfd()
	:: else
	fi;
#endif
	goto end_reaper
}

/* Nothing moves any more: nothing is left to do, or nobody is left to do it. */
proctype monitor() {
	timeout -> assert(producers == 0 && (work == 0 || (gone[0] && gone[1])))
}

init {
	drainer = NOBODY;
	atomic {
		run producer(); run producer(); run consumer(0);
#ifdef WATCH
		run poller(1);
#else
		run consumer(1);
#endif
		run reaper(); run monitor()
	}
}
