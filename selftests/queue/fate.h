/* SPDX-License-Identifier: MIT */
/*
 * The fate of each message that processes put into a queue and take out of it while they are
 * killed.
 *
 * A table in shared memory says what is known of each: `tried` is stored before the put, `put`
 * after it returned 0, `got` counts arrivals, `done` is stored after an acknowledgement that
 * returned 0.  So whenever somebody was killed,
 *
 *	put			it must arrive
 *	tried, not put		its producer died in the put, or before it could note that it is
 *				over: it may arrive
 *	arrives again		only with KIPC_MSG_REDELIVERED, and only until it is done
 *	without the flag	in the order of its producer, as each consumer sees it
 *
 * A message says who it is at its start; the rest of its bytes follow from that.
 */
#ifndef SELFTESTS_QUEUE_FATE_H
#define SELFTESTS_QUEUE_FATE_H

#include <string.h>

#include <kipc/queue.h>

#include "core/atomic.h"

/* Written by several, a byte each. */
struct fate {
	uint8_t tried, put, got, done;
};

struct fates {
	uint32_t next;		/* number that was not given away yet */
	uint32_t n;		/* in the table */
	struct fate of[];
};

struct fate_message {
	uint32_t number;
	uint32_t incarnation;	/* of its producer: no two are alike */
	uint32_t seq;		/* of its producer */
	uint32_t len;
	uint8_t bytes[];
};

#define FATE_LEN_MIN	((uint32_t)sizeof(struct fate_message))

/* A consumer's: what it may see next of each producer, as far as there is room to remember. */
struct fate_order {
	struct {
		uint32_t incarnation, seq;
	} next[4096];
};

static inline size_t fates_size(uint32_t n)
{
	return sizeof(struct fates) + n * sizeof(struct fate);
}

/* A number to put next, which counts as tried; false: the table is full. */
static inline bool fate_begin(struct fates *f, uint32_t *number)
{
	if (load_relaxed(&f->next) >= f->n)
		return false;
	*number = fetch_add(&f->next, 1);
	if (*number >= f->n)
		return false;
	store_release(&f->of[*number].tried, 1);
	return true;
}

static inline void fate_put(struct fates *f, uint32_t number)
{
	store_release(&f->of[number].put, 1);
}

static inline void fate_done(struct fates *f, uint32_t number)
{
	store_release(&f->of[number].done, 1);
}

/* Writes a message of FATE_LEN_MIN to len_max bytes, as its number says; its length. */
static inline uint32_t fate_write(struct fate_message *m, uint32_t len_max, uint32_t number,
				  uint32_t incarnation, uint32_t seq)
{
	m->number = number;
	m->incarnation = incarnation;
	m->seq = seq;
	m->len = FATE_LEN_MIN + number * 17 % (len_max - FATE_LEN_MIN + 1);
	memset(m->bytes, (int)number, m->len - FATE_LEN_MIN);
	return m->len;
}

/* Notes that it has come: NULL, or what is wrong with that.  order NULL: any. */
static inline const char *fate_arrived(struct fates *f, const struct fate_message *m, size_t len,
				       bool again, struct fate_order *order)
{
	struct fate *fate;
	uint32_t i;

	if (len < FATE_LEN_MIN || m->number >= f->n || m->len != len)
		return "damaged";
	for (i = 0; i < len - FATE_LEN_MIN; i++)
		if (m->bytes[i] != (uint8_t)m->number)
			return "damaged inside";
	fate = &f->of[m->number];
	if (!load_acquire(&fate->tried))
		return "from nowhere";
	if (load_acquire(&fate->done))
		return "after its acknowledgement";
	if (fetch_add(&fate->got, 1) && !again)
		return "twice, without the flag";
	if (again || !order)
		return NULL;
	i = m->incarnation % (sizeof(order->next) / sizeof(order->next[0]));
	if (order->next[i].incarnation == m->incarnation && m->seq < order->next[i].seq)
		return "out of order";
	order->next[i].incarnation = m->incarnation;
	order->next[i].seq = m->seq + 1;
	return NULL;
}

struct fate_sum {
	uint64_t put;
	uint64_t lost;		/* put, and never came */
	uint64_t unsure;	/* came, though its put did not return */
	uint64_t twice;		/* came more than once */
	uint32_t first_lost;
};

/* When all is over. */
static inline struct fate_sum fates_sum(const struct fates *f)
{
	struct fate_sum sum = { 0 };

	for (uint32_t i = 0; i < min_of(f->next, f->n); i++) {
		const struct fate *fate = &f->of[i];

		sum.put += fate->put;
		if (fate->put && !fate->got && !sum.lost++)
			sum.first_lost = i;
		sum.unsure += !fate->put && fate->got;
		sum.twice += fate->got > 1;
	}
	return sum;
}

#endif
