// SPDX-License-Identifier: MIT
/* The checker itself: histories that are right, histories that are wrong, and a simpler search. */
#include "model-dict.h"
#include "model-lock.h"
#include "model-queue.h"

struct call {
	uint32_t who;
	int16_t kind;
	int64_t arg, result, value;
	uint64_t invoked, returned;	/* returned 0: pending */
};

#define AGAIN	0x100	/* with a kind: the message came flagged */

static enum lin_verdict verdict_of(const struct lin_model *model, int32_t param,
				   const struct call *calls, size_t n)
{
	struct lin_history *h = calloc(1, sizeof(*h));
	enum lin_verdict verdict;

	ASSERT_TRUE(h != NULL);
	h->procs = LIN_PROCS;
	h->param = param;
	for (size_t i = 0; i < n; i++) {
		const struct call *c = &calls[i];
		struct lin_calls *of = &h->of[c->who];

		of->op[of->n++] = (struct lin_op){
			.invoked = c->invoked,
			.returned = c->returned ? c->returned : LIN_NEVER,
			.pending = !c->returned,
			.kind = c->kind & ~AGAIN,
			.arg = c->arg,
			.result = c->result,
			.value = c->value,
			.flag = c->kind & AGAIN,
		};
	}
	verdict = lin_check(model, h, false);
	free(h);
	return verdict;
}

#define JUDGE(verdict, model, param, ...)                                                          \
	EXPECT_EQ(verdict,                                                                         \
		  verdict_of(&(model), param, (const struct call[]){ __VA_ARGS__ },                \
			     sizeof((const struct call[]){ __VA_ARGS__ }) / sizeof(struct call)))
#define RIGHT(model, param, ...) JUDGE(LIN_OK, model, param, __VA_ARGS__)
#define WRONG(model, param, ...) JUDGE(LIN_WRONG, model, param, __VA_ARGS__)

/* ---- dict: { who, kind, arg, result, value, invoked, returned } ---- */

TEST(dict_right)
{
	RIGHT(dict_model, 0, { 0, DICT_GET, 0, -ENOENT, 0, 1, 2 });
	RIGHT(dict_model, 0, { 0, DICT_SET, 5, 0, 0, 1, 2 }, { 1, DICT_GET, 0, 0, 5, 3, 4 },
	      { 1, DICT_CONTAINS, 0, 1, 0, 5, 6 }, { 0, DICT_DEL, 0, 0, 0, 7, 8 },
	      { 1, DICT_CONTAINS, 0, 0, 0, 9, 10 });
	/* two at once: in either order */
	RIGHT(dict_model, 0, { 0, DICT_SET, 5, 0, 0, 1, 4 }, { 1, DICT_SET, 6, 0, 0, 2, 3 },
	      { 0, DICT_GET, 0, 0, 5, 5, 6 });
	RIGHT(dict_model, 0, { 0, DICT_SET, 5, 0, 0, 1, 4 }, { 1, DICT_SET, 6, 0, 0, 2, 3 },
	      { 0, DICT_GET, 0, 0, 6, 5, 6 });
	RIGHT(dict_model, 0, { 0, DICT_SETDEFAULT, 5, 0, 6, 1, 4 },
	      { 1, DICT_SETDEFAULT, 6, 1, 6, 2, 3 });
	/* a killed one has happened, has not, or does so late */
	RIGHT(dict_model, 0, { 0, DICT_SET, 5, 0, 0, 1, 0 }, { 1, DICT_GET, 0, 0, 5, 2, 3 });
	RIGHT(dict_model, 0, { 0, DICT_SET, 5, 0, 0, 1, 0 }, { 1, DICT_GET, 0, -ENOENT, 0, 2, 3 });
	RIGHT(dict_model, 0, { 0, DICT_SET, 5, 0, 0, 1, 0 }, { 1, DICT_GET, 0, -ENOENT, 0, 2, 3 },
	      { 1, DICT_GET, 0, 0, 5, 4, 5 });
	RIGHT(dict_model, 0, { 1, DICT_SET, 5, 0, 0, 1, 2 }, { 0, DICT_POP, 0, 0, 0, 3, 0 },
	      { 1, DICT_GET, 0, -ENOENT, 0, 4, 5 });
}

TEST(dict_wrong)
{
	/* a value from nowhere; one of before; none where there is one */
	WRONG(dict_model, 0, { 0, DICT_GET, 0, 0, 5, 1, 2 });
	WRONG(dict_model, 0, { 0, DICT_SET, 5, 0, 0, 1, 2 }, { 0, DICT_SET, 6, 0, 0, 3, 4 },
	      { 1, DICT_GET, 0, 0, 5, 5, 6 });
	WRONG(dict_model, 0, { 0, DICT_SET, 5, 0, 0, 1, 2 }, { 1, DICT_GET, 0, -ENOENT, 0, 3, 4 });
	/* new, then old again */
	WRONG(dict_model, 0, { 0, DICT_SET, 5, 0, 0, 1, 2 }, { 0, DICT_SET, 6, 0, 0, 3, 8 },
	      { 1, DICT_GET, 0, 0, 6, 4, 5 }, { 1, DICT_GET, 0, 0, 5, 6, 7 });
	WRONG(dict_model, 0, { 0, DICT_SET, 5, 0, 0, 1, 0 }, { 1, DICT_GET, 0, 0, 5, 2, 3 },
	      { 1, DICT_GET, 0, -ENOENT, 0, 4, 5 });
	/* two winners of one setdefault, two that popped the same */
	WRONG(dict_model, 0, { 0, DICT_SETDEFAULT, 5, 1, 5, 1, 4 },
	      { 1, DICT_SETDEFAULT, 6, 1, 6, 2, 3 });
	WRONG(dict_model, 0, { 0, DICT_SET, 5, 0, 0, 1, 2 }, { 0, DICT_POP, 0, 0, 5, 3, 6 },
	      { 1, DICT_POP, 0, 0, 5, 4, 5 });
	WRONG(dict_model, 0, { 0, DICT_SET, 5, 0, 0, 1, 2 }, { 0, DICT_DEL, 0, 0, 0, 3, 6 },
	      { 1, DICT_DEL, 0, 0, 0, 4, 5 });
	/* nobody can see what had not begun */
	WRONG(dict_model, 0, { 1, DICT_GET, 0, 0, 5, 1, 2 }, { 0, DICT_SET, 5, 0, 0, 3, 0 });
	/* each key by itself is fine, in a history that is not */
	WRONG(dict_model, 0, { 0, DICT_SET, 5, 0, 0, 1, 2 }, { 1, DICT_DEL, 0, -ENOENT, 0, 3, 4 });
}

TEST(keys_are_checked_by_themselves)
{
	struct lin_history *h = calloc(1, sizeof(*h));

	ASSERT_TRUE(h != NULL);
	h->procs = 2;
	h->of[0].n = 2;
	h->of[0].op[0] = (struct lin_op){ .invoked = 1, .returned = 2, .key = 0, .arg = 5 };
	h->of[0].op[1] = (struct lin_op){ .invoked = 5, .returned = 6, .key = 1, .arg = 7 };
	h->of[1].n = 1;
	h->of[1].op[0] = (struct lin_op){
		.invoked = 3, .returned = 4, .key = 1, .kind = DICT_GET, .result = -ENOENT
	};
	EXPECT_EQ(LIN_OK, lin_check_keys(&dict_model, h, 2, true));
	EXPECT_EQ(LIN_WRONG, lin_check(&dict_model, h, false));
	h->of[1].op[0].key = 0;
	EXPECT_EQ(LIN_WRONG, lin_check_keys(&dict_model, h, 2, false));
	free(h);
}

/* ---- lock ---- */

TEST(lock_right)
{
	RIGHT(lock_model, 0, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 2 },
	      { 1, LOCK_ACQUIRE, 0, -EAGAIN, 0, 3, 4 }, { 1, LOCK_RELEASE, 0, -EPERM, 0, 5, 6 },
	      { 0, LOCK_ACQUIRE, 0, -ETIMEDOUT, 0, 7, 8 }, { 0, LOCK_RELEASE, 0, 0, 0, 9, 10 },
	      { 1, LOCK_ACQUIRE, 0, 0, 0, 11, 12 });
	/* it gets it while the other is about to give it back */
	RIGHT(lock_model, 0, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 2 }, { 0, LOCK_RELEASE, 0, 0, 0, 3, 6 },
	      { 1, LOCK_ACQUIRE, 0, 0, 0, 4, 5 });
	/* of the dead: told once; and again when that one dies, too */
	RIGHT(lock_model, 0, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 2 }, { 0, LOCK_DEATH, 0, 0, 0, 3, 20 },
	      { 1, LOCK_ACQUIRE, 0, -EAGAIN, 0, 4, 5 },
	      { 1, LOCK_ACQUIRE, 0, -EOWNERDEAD, 0, 6, 7 },
	      { 1, LOCK_DEATH, 0, 0, 0, 8, 20 }, { 2, LOCK_ACQUIRE, 0, -EOWNERDEAD, 0, 9, 10 },
	      { 2, LOCK_RELEASE, 0, 0, 0, 11, 12 }, { 3, LOCK_ACQUIRE, 0, 0, 0, 13, 14 });
	/* killed in acquire or release: both are possible */
	RIGHT(lock_model, 0, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 0 }, { 0, LOCK_DEATH, 0, 0, 0, 2, 9 },
	      { 1, LOCK_ACQUIRE, 0, 0, 0, 10, 11 });
	RIGHT(lock_model, 0, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 0 }, { 0, LOCK_DEATH, 0, 0, 0, 2, 9 },
	      { 1, LOCK_ACQUIRE, 0, -EOWNERDEAD, 0, 10, 11 });
	RIGHT(lock_model, 0, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 2 }, { 0, LOCK_RELEASE, 0, 0, 0, 3, 0 },
	      { 0, LOCK_DEATH, 0, 0, 0, 4, 9 }, { 1, LOCK_ACQUIRE, 0, 0, 0, 10, 11 });
	/* an rlock's holder comes again, and leaves as often */
	RIGHT(lock_model, 1, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 2 }, { 0, LOCK_ACQUIRE, 0, 0, 0, 3, 4 },
	      { 0, LOCK_RELEASE, 0, 0, 0, 5, 6 }, { 1, LOCK_ACQUIRE, 0, -EAGAIN, 0, 7, 8 },
	      { 0, LOCK_RELEASE, 0, 0, 0, 9, 10 }, { 1, LOCK_ACQUIRE, 0, 0, 0, 11, 12 });
}

TEST(lock_wrong)
{
	/* two holders */
	WRONG(lock_model, 0, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 2 },
	      { 1, LOCK_ACQUIRE, 0, 0, 0, 3, 4 });
	WRONG(lock_model, 0, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 4 },
	      { 1, LOCK_ACQUIRE, 0, 0, 0, 2, 3 });
	WRONG(lock_model, 0, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 2 },
	      { 1, LOCK_ACQUIRE, 0, -EOWNERDEAD, 0, 3, 4 }, { 0, LOCK_DEATH, 0, 0, 0, 5, 6 });
	/* refused, though nobody has it */
	WRONG(lock_model, 0, { 0, LOCK_ACQUIRE, 0, -EAGAIN, 0, 1, 2 });
	WRONG(lock_model, 0, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 2 },
	      { 0, LOCK_RELEASE, 0, -EPERM, 0, 3, 4 });
	WRONG(lock_model, 0, { 0, LOCK_RELEASE, 0, 0, 0, 1, 2 });
	/* told without a death, not told, told twice, told of one who had nothing */
	WRONG(lock_model, 0, { 0, LOCK_ACQUIRE, 0, -EOWNERDEAD, 0, 1, 2 });
	WRONG(lock_model, 0, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 2 }, { 0, LOCK_DEATH, 0, 0, 0, 3, 4 },
	      { 1, LOCK_ACQUIRE, 0, 0, 0, 5, 6 });
	WRONG(lock_model, 0, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 2 }, { 0, LOCK_DEATH, 0, 0, 0, 3, 4 },
	      { 1, LOCK_ACQUIRE, 0, -EOWNERDEAD, 0, 5, 6 }, { 1, LOCK_RELEASE, 0, 0, 0, 7, 8 },
	      { 1, LOCK_ACQUIRE, 0, -EOWNERDEAD, 0, 9, 10 });
	WRONG(lock_model, 0, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 2 }, { 0, LOCK_RELEASE, 0, 0, 0, 3, 4 },
	      { 0, LOCK_DEATH, 0, 0, 0, 5, 6 }, { 1, LOCK_ACQUIRE, 0, -EOWNERDEAD, 0, 7, 8 });
	/* not healed by the end */
	WRONG(lock_model, 0, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 2 }, { 0, LOCK_DEATH, 0, 0, 0, 3, 4 },
	      { 1, LOCK_ACQUIRE, 0, -EAGAIN, 0, 5, 6 });
	/* a lock is not an rlock; an rlock is not released by half */
	WRONG(lock_model, 0, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 2 },
	      { 0, LOCK_ACQUIRE, 0, 0, 0, 3, 4 });
	WRONG(lock_model, 1, { 0, LOCK_ACQUIRE, 0, 0, 0, 1, 2 }, { 0, LOCK_ACQUIRE, 0, 0, 0, 3, 4 },
	      { 0, LOCK_RELEASE, 0, 0, 0, 5, 6 }, { 1, LOCK_ACQUIRE, 0, 0, 0, 7, 8 });
}

/* ---- queue ---- */

TEST(queue_right)
{
	RIGHT(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 0, QUEUE_PUT, 2, 0, 0, 3, 4 },
	      { 0, QUEUE_PUT, 3, -EAGAIN, 0, 5, 6 }, { 1, QUEUE_GET, 0, 8, 1, 7, 8 },
	      { 0, QUEUE_PUT, 3, 0, 0, 9, 10 }, { 1, QUEUE_GET, 0, 8, 2, 11, 12 },
	      { 1, QUEUE_GET, 0, 8, 3, 13, 14 }, { 1, QUEUE_GET, 0, -EAGAIN, 0, 15, 16 });
	/* of two at once either may come first */
	RIGHT(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 4 }, { 1, QUEUE_PUT, 2, 0, 0, 2, 3 },
	      { 2, QUEUE_GET, 0, 8, 2, 5, 6 }, { 2, QUEUE_GET, 0, 8, 1, 7, 8 });
	/* a put that stands still holds up the one behind it */
	RIGHT(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 8 }, { 1, QUEUE_PUT, 2, 0, 0, 2, 3 },
	      { 2, QUEUE_GET, 0, -EAGAIN, 0, 4, 5 }, { 2, QUEUE_GET, 0, 8, 1, 6, 9 },
	      { 2, QUEUE_GET, 0, 8, 2, 10, 11 });
	/* places are used in turn: one in use makes it full, whatever became of the others */
	RIGHT(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 0, QUEUE_PUT, 2, 0, 0, 3, 4 },
	      { 1, QUEUE_TAKE, 0, 0, 1, 5, 6 }, { 2, QUEUE_GET, 0, 8, 2, 7, 8 },
	      { 0, QUEUE_PUT, 3, -ETIMEDOUT, 0, 9, 10 }, { 1, QUEUE_DONE, 1, 0, 0, 11, 12 },
	      { 0, QUEUE_PUT, 3, 0, 0, 13, 14 });
	/* given back: flagged, and out of order */
	RIGHT(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 0, QUEUE_PUT, 2, 0, 0, 3, 4 },
	      { 1, QUEUE_TAKE, 0, 0, 1, 5, 6 }, { 2, QUEUE_GET, 0, 8, 2, 7, 8 },
	      { 1, QUEUE_REQUEUE, 1, 0, 0, 9, 10 }, { 2, QUEUE_TAKE | AGAIN, 0, 0, 1, 11, 12 },
	      { 2, QUEUE_DONE, 1, 0, 0, 13, 14 });
	/* what is given back during a look may be missed */
	RIGHT(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 1, QUEUE_TAKE, 0, 0, 1, 3, 4 },
	      { 0, QUEUE_PUT, 2, 0, 0, 5, 6 }, { 2, QUEUE_GET, 0, -EAGAIN, 0, 7, 12 },
	      { 1, QUEUE_REQUEUE, 1, 0, 0, 8, 9 }, { 0, QUEUE_GET, 0, 8, 2, 7, 11 },
	      { 1, QUEUE_GET, 0, 8, 1, 13, 14 });
}

TEST(queue_right_with_deaths)
{
	/* killed in a put: it comes, or does not and leaves nothing */
	RIGHT(queue_model, 1, { 0, QUEUE_PUT, 1, 0, 0, 1, 0 }, { 0, QUEUE_DEATH, 0, 0, 0, 2, 7 },
	      { 1, QUEUE_GET, 0, -EAGAIN, 0, 3, 4 }, { 1, QUEUE_GET, 0, 8, 1, 5, 6 });
	RIGHT(queue_model, 1, { 0, QUEUE_PUT, 1, 0, 0, 1, 0 }, { 0, QUEUE_DEATH, 0, 0, 0, 2, 7 },
	      { 1, QUEUE_PUT, 2, -EAGAIN, 0, 3, 4 }, { 1, QUEUE_PUT, 2, 0, 0, 5, 6 },
	      { 1, QUEUE_GET, 0, 8, 2, 8, 9 });
	/* died with a message, or in the middle of acknowledging it */
	RIGHT(queue_model, 1, { 1, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 0, QUEUE_TAKE, 0, 0, 1, 3, 4 },
	      { 0, QUEUE_DEATH, 0, 0, 0, 5, 9 }, { 1, QUEUE_GET, 0, -EAGAIN, 0, 6, 7 },
	      { 1, QUEUE_TAKE | AGAIN, 0, 0, 1, 8, 10 });
	for (int again = 0; again < 2; again++)
		RIGHT(queue_model, 1, { 1, QUEUE_PUT, 1, 0, 0, 1, 2 },
		      { 0, QUEUE_TAKE, 0, 0, 1, 3, 4 }, { 0, QUEUE_DONE, 1, 0, 0, 5, 0 },
		      { 0, QUEUE_DEATH, 0, 0, 0, 6, 9 },
		      { 1, QUEUE_TAKE | AGAIN, 0, again ? 0 : -EAGAIN, again, 10, 11 });
	/* a get that did not return: it took it, or not, or freed the place, too */
	for (int how = 0; how < 3; how++)
		RIGHT(queue_model, 1, { 1, QUEUE_PUT, 1, 0, 0, 1, 2 },
		      { 0, QUEUE_GET, 0, 0, 0, 3, 0 }, { 0, QUEUE_DEATH, 0, 0, 0, 4, 9 },
		      { 1, how == 2 ? QUEUE_TAKE | AGAIN : QUEUE_TAKE, 0, how ? 0 : -EAGAIN,
			how > 0, 10, 11 });
}

TEST(queue_wrong)
{
	/* lost, doubled, from nowhere */
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 },
	      { 1, QUEUE_GET, 0, -EAGAIN, 0, 3, 4 });
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 1, QUEUE_GET, 0, 8, 1, 3, 6 },
	      { 2, QUEUE_GET, 0, 8, 1, 4, 5 });
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 1, QUEUE_GET, 0, 8, 7, 3, 4 });
	WRONG(queue_model, 2, { 1, QUEUE_GET, 0, 8, 1, 1, 2 }, { 0, QUEUE_PUT, 1, 0, 0, 3, 4 });
	/* one producer's in the wrong order; two producers' in the wrong order */
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 0, QUEUE_PUT, 2, 0, 0, 3, 4 },
	      { 1, QUEUE_GET, 0, 8, 2, 5, 6 }, { 1, QUEUE_GET, 0, 8, 1, 7, 8 });
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 2, QUEUE_PUT, 2, 0, 0, 3, 4 },
	      { 1, QUEUE_GET, 0, 8, 2, 5, 6 }, { 1, QUEUE_GET, 0, 8, 1, 7, 8 });
	/* more than it holds; full with room; empty with a message */
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 0, QUEUE_PUT, 2, 0, 0, 3, 4 },
	      { 1, QUEUE_PUT, 3, 0, 0, 5, 6 });
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 },
	      { 1, QUEUE_PUT, 2, -EAGAIN, 0, 3, 4 });
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 1, QUEUE_TAKE, 0, 0, 1, 3, 4 },
	      { 1, QUEUE_DONE, 1, 0, 0, 5, 6 }, { 0, QUEUE_PUT, 2, -EAGAIN, 0, 7, 8 });
	/* the flag: without a reason, missing, after the acknowledgement */
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 },
	      { 1, QUEUE_TAKE | AGAIN, 0, 0, 1, 3, 4 });
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 1, QUEUE_TAKE, 0, 0, 1, 3, 4 },
	      { 1, QUEUE_REQUEUE, 1, 0, 0, 5, 6 }, { 2, QUEUE_TAKE, 0, 0, 1, 7, 8 });
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 1, QUEUE_TAKE, 0, 0, 1, 3, 4 },
	      { 1, QUEUE_DONE, 1, 0, 0, 5, 6 }, { 2, QUEUE_TAKE | AGAIN, 0, 0, 1, 7, 8 });
	/* given back before the call, and passed over */
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 1, QUEUE_TAKE, 0, 0, 1, 3, 4 },
	      { 1, QUEUE_REQUEUE, 1, 0, 0, 5, 6 }, { 2, QUEUE_GET, 0, -EAGAIN, 0, 7, 8 });
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 1, QUEUE_TAKE, 0, 0, 1, 3, 4 },
	      { 0, QUEUE_PUT, 2, 0, 0, 5, 6 }, { 1, QUEUE_REQUEUE, 1, 0, 0, 7, 8 },
	      { 2, QUEUE_GET, 0, 8, 2, 9, 10 });
	/* acknowledged by one that does not have it */
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 1, QUEUE_TAKE, 0, 0, 1, 3, 4 },
	      { 2, QUEUE_DONE, 1, 0, 0, 5, 6 });
}

TEST(queue_wrong_with_deaths)
{
	/* a message of the dead comes twice, or is forgotten, or comes without the flag */
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 0 }, { 0, QUEUE_DEATH, 0, 0, 0, 2, 9 },
	      { 1, QUEUE_GET, 0, 8, 1, 3, 4 }, { 1, QUEUE_GET, 0, 8, 1, 5, 6 });
	WRONG(queue_model, 2, { 1, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 0, QUEUE_TAKE, 0, 0, 1, 3, 4 },
	      { 0, QUEUE_DEATH, 0, 0, 0, 5, 9 }, { 1, QUEUE_GET, 0, -EAGAIN, 0, 10, 11 });
	WRONG(queue_model, 2, { 1, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 0, QUEUE_TAKE, 0, 0, 1, 3, 4 },
	      { 0, QUEUE_DEATH, 0, 0, 0, 5, 9 }, { 1, QUEUE_TAKE, 0, 0, 1, 10, 11 });
	/* a put that returned before its process died is lost */
	WRONG(queue_model, 2, { 0, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 0, QUEUE_DEATH, 0, 0, 0, 3, 9 },
	      { 1, QUEUE_GET, 0, -EAGAIN, 0, 10, 11 });
	/* a place of the dead that nobody frees */
	WRONG(queue_model, 1, { 0, QUEUE_PUT, 1, 0, 0, 1, 0 }, { 0, QUEUE_DEATH, 0, 0, 0, 2, 9 },
	      { 1, QUEUE_GET, 0, -EAGAIN, 0, 10, 11 }, { 1, QUEUE_PUT, 2, -EAGAIN, 0, 12, 13 });
	/* acknowledged, then its process died: it is over */
	WRONG(queue_model, 2, { 1, QUEUE_PUT, 1, 0, 0, 1, 2 }, { 0, QUEUE_TAKE, 0, 0, 1, 3, 4 },
	      { 0, QUEUE_DONE, 1, 0, 0, 5, 6 }, { 0, QUEUE_DEATH, 0, 0, 0, 7, 9 },
	      { 1, QUEUE_TAKE | AGAIN, 0, 0, 1, 10, 11 });
}

/* ---- against a search that is too simple to be wrong ---- */

#define RANDOM_PROCS	3
#define RANDOM_OPS	3

/* Every order, without memory; who may be next is looked up call by call. */
static bool some_order(const struct lin_search *l, const struct lin_config *c)
{
	bool all = true;

	for (uint32_t p = 0; p < l->h->procs; p++) {
		const struct lin_point *point = &l->point[p][c->done[p]];
		struct lin_state next[LIN_NEXT];
		bool must_wait = false;
		int n;

		if (c->done[p] == l->npoints[p])
			continue;
		all = false;
		for (uint32_t q = 0; q < l->h->procs; q++)
			for (uint32_t i = c->done[q]; i < l->npoints[q]; i++)
				must_wait |= l->point[q][i].op->returned < point->op->invoked;
		if (must_wait)
			continue;
		n = l->model->step(point->op, p, point->nr, &c->state, next);
		for (int k = 0; k < n; k++) {
			struct lin_config then = *c;

			then.state = next[k];
			then.done[p]++;
			if (some_order(l, &then))
				return true;
		}
	}
	return all;
}

static uint32_t below(unsigned int *seed, uint32_t n)
{
	return (uint32_t)rand_r(seed) % n;
}

static void random_op(const struct lin_model *model, struct lin_op *op, unsigned int *seed)
{
	static const int64_t of_lock[] = { 0, 0, -EAGAIN, -EPERM, -EOWNERDEAD };

	op->pending = !below(seed, 6);
	op->flag = !below(seed, 4);
	op->arg = 1 + below(seed, 2);
	op->value = 1 + below(seed, 2);
	if (model == &lock_model) {
		op->kind = (int16_t)below(seed, 3);
		op->result = of_lock[below(seed, 5)];
	} else if (model == &dict_model) {
		op->kind = (int16_t)below(seed, 6);
		op->result = below(seed, 3) ? (int64_t)below(seed, 2) : -ENOENT;
	} else {
		op->kind = (int16_t)below(seed, 3);
		op->result = below(seed, 3) ? 0 : -EAGAIN;
	}
	if (op->pending)
		op->returned = LIN_NEVER;
}

/* Calls of three processes that begin and end at random moments, and return anything. */
static void random_history(const struct lin_model *model, struct lin_history *h, unsigned int *seed)
{
	uint32_t left[RANDOM_PROCS];
	uint64_t now = 0;

	memset(h, 0, sizeof(*h));
	h->procs = RANDOM_PROCS;
	h->param = 1 + (int32_t)below(seed, 2);
	if (model == &lock_model)
		h->param--;
	for (int p = 0; p < RANDOM_PROCS; p++)
		left[p] = 2 * (1 + below(seed, RANDOM_OPS));
	for (;;) {
		uint32_t p = below(seed, RANDOM_PROCS);
		struct lin_calls *of = &h->of[p];

		if (!(left[0] + left[1] + left[2]))
			return;
		if (!left[p])
			continue;
		now++;
		if (left[p]-- % 2 == 0) {
			of->op[of->n].invoked = now;
			random_op(model, &of->op[of->n++], seed);
		} else if (!of->op[of->n - 1].pending) {
			of->op[of->n - 1].returned = now;
		} else {
			left[p] = 0;	/* it was its last one */
		}
	}
}

static void compare(const struct lin_model *model, int rounds)
{
	struct lin_history *h = malloc(sizeof(*h));
	struct lin_search *l = malloc(sizeof(*l));
	struct lin_config start;
	unsigned int seed = 1;
	int right = 0, wrong = 0;

	ASSERT_TRUE(h && l);
	for (int i = 0; i < rounds; i++) {
		enum lin_verdict want;

		random_history(model, h, &seed);
		lin_begin(l, model, h, &start);
		want = some_order(l, &start) ? LIN_OK : LIN_WRONG;
		if (!EXPECT_EQ(want, lin_check(model, h, false))) {
			lin_print(l);
			break;
		}
		right += want == LIN_OK;
		wrong += want == LIN_WRONG;
	}
	ksft_log("%d right, %d wrong", right, wrong);
	EXPECT_GT(right, rounds / 50);
	EXPECT_GT(wrong, rounds / 50);
	free(h);
	free(l);
}

TEST(agrees_with_a_simple_search_dict)
{
	compare(&dict_model, ksft_slow() ? 1000 : 5000);
}

TEST(agrees_with_a_simple_search_lock)
{
	compare(&lock_model, ksft_slow() ? 1000 : 5000);
}

TEST(agrees_with_a_simple_search_queue)
{
	compare(&queue_model, ksft_slow() ? 1000 : 5000);
}

/* Many calls at once that all succeed, and one that spoils it: the memory keeps it feasible. */
TEST(many_at_once)
{
	struct lin_history *h = calloc(1, sizeof(*h));
	enum lin_verdict verdict;

	ASSERT_TRUE(h != NULL);
	h->procs = 5;
	h->param = 4;
	for (uint32_t p = 0; p < 4; p++) {
		for (uint32_t i = 0; i < 12; i++)
			h->of[p].op[i] = (struct lin_op){
				.invoked = 1 + 50 * i,
				.returned = 49 + 50 * i,
				.kind = p < 2 ? QUEUE_PUT : QUEUE_GET,
				.arg = 1 + i * 2 + p,
				.value = 1 + i * 2 + p % 2,
			};
		h->of[p].n = 12;
	}
	EXPECT_EQ(LIN_OK, lin_check(&queue_model, h, true));
	/* what the second process has got last is what the first one has got, too */
	h->of[3].op[11].value = h->of[2].op[11].value;
	verdict = lin_check(&queue_model, h, false);
	EXPECT_EQ(LIN_WRONG, verdict);
	free(h);
}

TEST_HARNESS_MAIN
