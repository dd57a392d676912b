/* SPDX-License-Identifier: MIT */
/*
 * The doorbell (lib/core/doorbell.c, wait.c): no wake-up is lost, without any help from ticks.
 *
 * Two consumers and two producers share one bell; the eventfd's poll is exclusive: a write wakes one
 * sleeper.  Each step that other processes can see is one transition.  When nothing can go on
 * (timeout), no work may be left while a live consumer sleeps.
 *
 * DIE_RING: a producer may die between the write and `signalled`.  DIE_DRAIN: a consumer may die as
 * drainer, and a reaper repairs it.  The BUG_s are mistakes that were made or could be:
 *
 *	HOLDS
 *	HOLDS -DDIE_RING
 *	HOLDS -DDIE_DRAIN
 *	FOUND -DBUG_SET_FIRST: signalled is set before the write, and the ringer may die in between
 *	FOUND -DBUG_NO_SEQ: signalled is set without a look whether somebody drained meanwhile
 *	FOUND -DBUG_NO_DRAINER: a sleeper reads and clears without becoming drainer
 *	FOUND -DBUG_NO_PASS: who was woken doesn't ring for the work that it leaves
 *	FOUND -DBUG_PASS_IF_SLEPT: nor does who only drained, and had no need to sleep
 *	FOUND -DBUG_NO_LOOK: a sleeper doesn't look again after it announced itself
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
bool dead[2];			/* consumers that don't come back */
byte producers = 2;		/* still at it */
byte deaths;

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
	:: s_sleepers == 0 || (s_sig && s_drainer == NOBODY) -> skip
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
		:: deaths == 0 -> deaths++; dead[me] = true; goto died
		:: true -> skip
		fi;
#endif
		readable = false;
#ifdef DIE_DRAIN
		if
		:: deaths == 0 -> deaths++; dead[me] = true; goto died
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
	byte s_sleepers, s_drainer, s_seq; bool s_sig, force, drained, mine, slept;

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
		:: dead[me] = true; goto died	/* busy with it for ever; no claim is left behind */
		:: true -> skip
		fi
	:: work == 0 ->
		sleepers++;
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
end_sleep:			atomic { woken[me] -> woken[me] = false; asleep[me] = false };
				force = true; slept = true;
#ifdef BUG_NO_LOOK
				break
#endif
			:: else -> drainer != me && drainer == NOBODY	/* naps 10 ms at a time */
			fi
		od;
		atomic { sleepers--; force = false; mine = false; drained = false }
	od;
died:	skip
}

proctype reaper() {
end_reaper:
	do
	:: atomic { dead[0] && drainer == 0 -> drainer = NOBODY; seq = (seq + 1) % 8 }; write_eventfd()
	:: atomic { dead[1] && drainer == 1 -> drainer = NOBODY; seq = (seq + 1) % 8 }; write_eventfd()
	od
}

/* Nothing moves any more: nothing is left to do, or nobody is left to do it. */
proctype monitor() {
	timeout -> assert(producers == 0 && (work == 0 || (dead[0] && dead[1])))
}

init {
	drainer = NOBODY;
	atomic {
		run producer(); run producer(); run consumer(0); run consumer(1);
		run reaper(); run monitor()
	}
}
