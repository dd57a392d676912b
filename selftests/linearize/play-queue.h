/* SPDX-License-Identifier: MIT */
/* Short histories of small queues: puts, gets, messages kept, acknowledged and given back. */
#ifndef SELFTESTS_LINEARIZE_PLAY_QUEUE_H
#define SELFTESTS_LINEARIZE_PLAY_QUEUE_H

#include <kipc/check.h>

#include "queue/queue.h"

#include "model-queue.h"
#include "round.h"

static void make_queue(struct round *r)
{
	KIPC_OPTS(kipc_queue_opts, opts, .msg_size = sizeof(uint64_t));
	struct kipc_queue *q;

	opts.capacity = 1 + below(&r->seed, QUEUE_CAPACITY_MAX);
	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	r->object = q;
	r->sh->h.param = (int32_t)opts.capacity;
}

static void end_queue(struct round *r)
{
	KIPC_OPTS(kipc_report, report, .flags = KIPC_CHECK_SETTLE | KIPC_CHECK_IDLE);

	if (!EXPECT_EQ(0, kipc_check(kipc_queue_object(r->object), &report)))
		ksft_log("%s", report.first);
	EXPECT_EQ(0, report.dead_claims);
	kipc_queue_close(r->object);
}

static void sweep_queue(struct round *r)
{
	struct kipc_queue *q = r->object;

	__kipc_peer_sweep(&q->obj.seg, 0);
}

/* Who has taken a message does nothing before it has given it away, one way or the other. */
static void queue_choose(struct worker *w, struct lin_op *op, bool last)
{
	if (w->holds) {
		/* a process may end with a message, threads don't */
		op->kind = below(&w->seed, 3) || (last && w->r->peers == KSFT_THREAD) ?
				   QUEUE_DONE :
				   QUEUE_REQUEUE;
		op->arg = w->holds;
		return;
	}
	if (w->who < 2 ? below(&w->seed, 4) : !below(&w->seed, 5)) {
		op->kind = QUEUE_PUT;
		op->arg = new_value(w->r);
	} else if (last && w->r->peers == KSFT_THREAD) {
		op->kind = QUEUE_GET;
	} else {
		op->kind = below(&w->seed, 2) ? QUEUE_GET : QUEUE_TAKE;
	}
}

static void queue_call(struct worker *w, struct lin_op *op)
{
	struct kipc_queue *q = w->r->object;
	int64_t timeout = some_timeout(&w->seed);
	uint64_t v = (uint64_t)op->arg;

	switch (op->kind) {
	case QUEUE_PUT:
		op->result = kipc_queue_put(q, &v, sizeof(v), timeout);
		break;
	case QUEUE_GET:
		op->result = kipc_queue_get(q, &v, sizeof(v), timeout);
		op->value = (int64_t)v;
		break;
	case QUEUE_TAKE:
		op->result = kipc_queue_take(q, &w->msg, timeout);
		if (op->result)
			break;
		memcpy(&v, w->msg.data, sizeof(v));
		w->holds = op->value = (int64_t)v;
		op->flag = w->msg.flags & KIPC_MSG_REDELIVERED;
		break;
	default:
		op->result = op->kind == QUEUE_DONE ? kipc_queue_done(q, &w->msg) :
						      kipc_queue_requeue(q, &w->msg);
		EXPECT_EQ(0, op->result);
		w->holds = 0;
	}
}

/* Takes what is there, to the last. */
static bool queue_rest(struct worker *w, struct lin_op *op)
{
	const struct lin_calls *of = &w->r->sh->h.of[w->who];
	const struct lin_op *before = of->n ? &of->op[of->n - 1] : NULL;

	if (w->holds) {
		op->kind = QUEUE_DONE;
		op->arg = w->holds;
		return true;
	}
	op->kind = QUEUE_TAKE;
	return !before || before->kind == QUEUE_DONE;
}

static __ksft_unused const struct subject queue_subject = {
	.model = &queue_model,
	.death = QUEUE_DEATH,
	.len = 350,
	.make = make_queue,
	.end = end_queue,
	.choose = queue_choose,
	.call = queue_call,
	.sweep = sweep_queue,
	.look = queue_rest,
};

#endif
