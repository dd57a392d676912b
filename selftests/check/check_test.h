/* SPDX-License-Identifier: MIT */
/* What the tests of the auditor share: objects of every kind, and what they expect of a report. */
#ifndef SELFTESTS_CHECK_CHECK_TEST_H
#define SELFTESTS_CHECK_CHECK_TEST_H

#include <kipc/kipc.h>
#include <stdio.h>
#include <string.h>

#include "core/object.h"
#include "kselftest_harness.h"

enum { QUEUE, PIPE, SHM, ARRAY, MANAGER, KINDS };

struct findings {
	char text[8192];
	uint32_t n;
	uint32_t codes;			/* bits */
};

static inline void collect(void *arg, const struct kipc_finding *f)
{
	static const char *const classes[] = { "?", "violation", "dead", "in flight" };
	struct findings *all = arg;
	size_t used = strlen(all->text);

	all->n++;
	all->codes |= 1u << f->code;
	snprintf(all->text + used, sizeof(all->text) - used, "%s: %s\n",
		 classes[f->cls <= 3 ? f->cls : 0], f->text);
}

/* The handles of a pipe whose other end is kept open for the test's time. */
static inline struct kipc_object *make_object(int kind)
{
	static const uint64_t shape[] = { 3, 4 };
	struct kipc_object *obj = NULL;
	static struct kipc_pipe *ends[2];	/* so that valgrind sees who has it */
	struct kipc_manager *m;
	struct kipc_queue *q;
	struct kipc_array *a;
	struct kipc_shm *s;

	KIPC_OPTS(kipc_queue_opts, qo, .capacity = 5, .msg_size = 300);

	switch (kind) {
	case QUEUE:
		ASSERT_EQ(0, kipc_queue_create(NULL, &qo, &q));
		obj = kipc_queue_object(q);
		break;
	case PIPE:
		ASSERT_EQ(0, kipc_pipe_create(NULL, ends));
		obj = kipc_pipe_object(ends[0]);
		break;
	case SHM:
		ASSERT_EQ(0, kipc_shm_create(NULL, 10000, NULL, &s));
		obj = kipc_shm_object(s);
		break;
	case ARRAY:
		ASSERT_EQ(0, kipc_array_create(NULL, KIPC_FLOAT64, 2, shape, NULL, &a));
		obj = kipc_array_object(a);
		break;
	case MANAGER:
		ASSERT_EQ(0, kipc_manager_create(NULL, NULL, &m));
		obj = kipc_manager_object(m);
		break;
	}
	return obj;
}

static inline void check_none(struct kipc_object *obj, uint32_t flags, bool fd)
{
	struct findings all = { .n = 0 };

	KIPC_OPTS(kipc_report, r, .flags = flags, .found = collect, .arg = &all);

	EXPECT_EQ(0, fd ? kipc_check_fd(obj->seg.fd, &r) : kipc_check(obj, &r));
	EXPECT_EQ(0, r.violations);
	EXPECT_EQ(0, r.dead_claims);
	EXPECT_EQ(0, r.in_flight);
	EXPECT_EQ(1, r.quiescent);
	EXPECT_EQ(0, r.dead_peers);
	EXPECT_GT(r.live_peers, 0);
	EXPECT_GT(r.checks, 10);
	EXPECT_EQ(kipc_object_kind(obj), r.kind);
	EXPECT_STREQ("", r.first);
	if (all.n)
		ksft_log("%s", all.text);
}

/* By the handle, settled or not, and by the descriptor. */
static inline void check_clean(struct kipc_object *obj, uint32_t flags)
{
	check_none(obj, flags, false);
	check_none(obj, flags | KIPC_CHECK_SETTLE, false);
	check_none(obj, flags, true);
}

/* The report must have this violation, in these words, by both ways in; idle: see kipc/check.h. */
static inline void expect_found(struct kipc_object *obj, enum kipc_finding_code code,
				const char *words)
{
	for (int fd = 0; fd < 2; fd++) {
		struct findings all = { .n = 0 };

		KIPC_OPTS(kipc_report, r, .flags = KIPC_CHECK_IDLE, .found = collect, .arg = &all);

		EXPECT_GE(fd ? kipc_check_fd(obj->seg.fd, &r) : kipc_check(obj, &r), 1);
		EXPECT_GE(r.violations, 1);
		EXPECT_NE('\0', r.first[0]);
		if (!EXPECT_TRUE(all.codes >> code & 1) || !EXPECT_TRUE(strstr(all.text, words)))
			ksft_log("wanted \"%s\", found:\n%s", words, all.text);
	}
}

/*
 * The word (8 or 4 bytes) is given another value, which must be found; then it is put back, and the
 * object must be clean again.
 */
#define damage(obj, word, value, code, words)                                                      \
	({                                                                                         \
		__typeof__(&(word)) __at = &(word);                                                \
		__typeof__(word) __old = *__at;                                                    \
		*__at = (value);                                                                   \
		expect_found(obj, code, words);                                                    \
		*__at = __old;                                                                     \
	})

#endif
