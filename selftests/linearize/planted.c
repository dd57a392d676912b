// SPDX-License-Identifier: MIT
/*
 * Planted bugs: the same rounds, with calls that do something wrong to the live object or lie about
 * it.  A test fails when its bug is not found.
 */
#include "play-dict.h"
#include "play-lock.h"
#include "play-queue.h"

/* Goes on when others have made some calls, or don't. */
static void let_others(struct worker *w)
{
	uint64_t until = load_relaxed(&w->r->sh->h.clock) + 4;

	ksft_wait_for(load_acquire(&w->r->sh->h.clock) >= until, 1);
}

/* ---- dict ---- */

/* An update is lost: two find nothing, both store. */
static void setdefault_in_two_steps(struct worker *w, struct lin_op *op)
{
	struct lin_op get = { .kind = DICT_GET, .key = op->key };
	struct lin_op set = { .kind = DICT_SET, .key = op->key, .arg = op->arg };

	if (op->kind != DICT_SETDEFAULT) {
		dict_call(w, op);
		return;
	}
	dict_call(w, &get);
	op->result = get.result;
	op->value = get.value;
	if (!op->result)
		return;
	let_others(w);
	dict_call(w, &set);
	op->result = 1;
	op->value = op->arg;
}

/* Two get the same. */
static void pop_in_two_steps(struct worker *w, struct lin_op *op)
{
	struct lin_op get = { .kind = DICT_GET, .key = op->key };
	struct lin_op del = { .kind = DICT_DEL, .key = op->key };

	if (op->kind != DICT_POP) {
		dict_call(w, op);
		return;
	}
	dict_call(w, &get);
	op->result = get.result;
	op->value = get.value;
	let_others(w);
	if (!op->result)
		dict_call(w, &del);
}

/* Who has read a key once reads the same for ever. */
static void read_of_before(struct worker *w, struct lin_op *op)
{
	const struct lin_calls *of = &w->r->sh->h.of[w->who];

	dict_call(w, op);
	for (uint32_t i = 0; op->kind == DICT_GET && i + 1 < of->n; i++) {
		if (of->op[i].kind == DICT_GET && of->op[i].key == op->key) {
			op->result = of->op[i].result;
			op->value = of->op[i].value;
		}
	}
}

/* ---- queue ---- */

/* Two messages of one producer change places: the first is kept until the second is put. */
static void puts_swapped(struct worker *w, struct lin_op *op)
{
	static __thread int64_t kept;
	struct lin_op first = { .kind = QUEUE_PUT, .arg = kept };

	if (op->kind == QUEUE_PUT && !kept) {
		kept = op->arg;
		return;
	}
	queue_call(w, op);
	if (op->kind == QUEUE_PUT && !op->result) {
		kept = 0;
		queue_call(w, &first);
	}
}

/* One is thrown away before another is taken. */
static void message_lost(struct worker *w, struct lin_op *op)
{
	uint64_t v;

	if (op->kind == QUEUE_GET)
		kipc_queue_get(w->r->object, &v, sizeof(v), KIPC_NOWAIT);
	queue_call(w, op);
}

/* What is acknowledged comes again. */
static void message_doubled(struct worker *w, struct lin_op *op)
{
	struct lin_op requeue = { .kind = QUEUE_REQUEUE, .arg = op->arg };

	/* the test itself gets to the end */
	queue_call(w, op->kind == QUEUE_DONE && w->who < w->r->nworkers ? &requeue : op);
}

static void flag_forgotten(struct worker *w, struct lin_op *op)
{
	queue_call(w, op);
	op->flag = false;
}

/* It returns before the message is committed, which the next call does, if there is one. */
static void put_returns_too_early(struct worker *w, struct lin_op *op)
{
	struct kipc_queue *q = w->r->object;
	static __thread struct kipc_msg msg;
	uint64_t v = (uint64_t)op->arg;

	if (msg.data)
		kipc_queue_commit(q, &msg);
	if (op->kind != QUEUE_PUT) {
		queue_call(w, op);
		return;
	}
	op->result = kipc_queue_reserve(q, sizeof(v), &msg, KIPC_NOWAIT);
	if (!op->result)
		memcpy(msg.data, &v, sizeof(v));
}

/* ---- lock ---- */

/* Two holders, since nobody looked. */
static void granted_twice(struct worker *w, struct lin_op *op)
{
	call_lock(w, op);
	if (op->kind == LOCK_ACQUIRE && op->result < 0 && op->result != -EOWNERDEAD)
		op->result = 0;
}

/* Two holders, since looking and taking are two steps. */
static uint32_t *word;

static void look_then_take(struct worker *w, struct lin_op *op)
{
	uint32_t me = w->who + 1, holder = load_acquire(word);

	if (op->kind == LOCK_RELEASE) {
		op->result = holder == me ? 0 : -EPERM;
		if (!op->result)
			store_release(word, 0);
	} else if (holder) {
		op->result = -EAGAIN;
	} else {
		let_others(w);
		store_release(word, me);
	}
	lock_note(w, op);
}

static void make_word(struct round *r)
{
	(void)r;
	if (!word)
		word = ksft_shared(sizeof(*word));
	store_release(word, 0);
}

static void end_word(struct round *r)
{
	(void)r;
}

static void death_not_told(struct worker *w, struct lin_op *op)
{
	call_lock(w, op);
	if (op->result == -EOWNERDEAD)
		op->result = 0;
}

/* ---- the hunt ---- */

FIXTURE(bug) {
	struct subject subject;
};

FIXTURE_VARIANT(bug) {
	const struct subject *of;
	void (*call)(struct worker *w, struct lin_op *op);
	enum ksft_peer_kind peers;
	enum round_kills kills;
};

#define BUG(of_, name)		FIXTURE_VARIANT_ADD(bug, name) { .of = &of_, .call = name }
#define BUG_OF_PROCESSES(of_, name)                                                                \
	FIXTURE_VARIANT_ADD(bug, name)                                                             \
	{                                                                                          \
		.of = &of_, .call = name, .peers = KSFT_PROCESS, .kills = KILL_SOME                \
	}

BUG(dict_subject, setdefault_in_two_steps);
BUG(dict_subject, pop_in_two_steps);
BUG(dict_subject, read_of_before);
BUG(queue_subject, puts_swapped);
BUG(queue_subject, message_lost);
BUG(queue_subject, message_doubled);
BUG(queue_subject, flag_forgotten);
BUG_OF_PROCESSES(queue_subject, put_returns_too_early);
BUG(lock_subject, granted_twice);
BUG(lock_subject, look_then_take);
BUG_OF_PROCESSES(lock_subject, death_not_told);

TEST_F_TIMEOUT(bug, is_found, 60)
{
	enum lin_verdict verdict = LIN_OK;
	struct ksft_nap nap = ksft_nap_until(40000);
	struct round r;

	self->subject = *variant->of;
	self->subject.call = variant->call;
	if (variant->call == look_then_take) {
		self->subject.make = make_word;
		self->subject.end = end_word;
		self->subject.sweep = end_word;
	}
	round_init(&r, &self->subject, variant->peers, variant->kills);
	while (verdict == LIN_OK && ksft_nap(&nap)) {
		play(&r);
		verdict = judge(&r, false);
	}
	EXPECT_EQ(LIN_WRONG, verdict);
	ksft_log("after %lu rounds", (unsigned long)r.rounds);
}

TEST_HARNESS_MAIN
