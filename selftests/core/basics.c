// SPDX-License-Identifier: MIT
/* The small parts: options, statistics, names, words for errors, versions, features, stamps, deadlines. */
#include <limits.h>
#include <sys/mman.h>

#include "core/opts.h"
#include "kipc/version.h"

#include "common.h"

/* ---- options ---- */

struct opts_v1 {
	size_t sz;
	uint64_t a;
};

struct opts_v2 {
	size_t sz;
	uint64_t a;
	uint64_t b;
};

#define V1	sizeof(struct opts_v1)
#define V2	sizeof(struct opts_v2)

TEST(opts_null_is_all_defaults)
{
	struct opts_v2 o;

	memset(&o, 0xff, sizeof(o));
	EXPECT_EQ(0, __kipc_opts_read(&o, V2, V1, NULL));
	EXPECT_EQ(V2, o.sz);
	EXPECT_EQ(0, o.a);
	EXPECT_EQ(0, o.b);
}

TEST(opts_of_this_build)
{
	struct opts_v2 in = { .sz = V2, .a = 1, .b = 2 }, o;

	EXPECT_EQ(0, __kipc_opts_read(&o, V2, V1, &in));
	EXPECT_EQ(1, o.a);
	EXPECT_EQ(2, o.b);
}

TEST(opts_of_an_older_header)
{
	struct opts_v1 in = { .sz = V1, .a = 1 };
	struct opts_v2 o;

	memset(&o, 0xff, sizeof(o));
	EXPECT_EQ(0, __kipc_opts_read(&o, V2, V1, &in));
	EXPECT_EQ(1, o.a);
	EXPECT_EQ(0, o.b);
}

TEST(opts_of_a_newer_header)
{
	struct opts_v2 in = { .sz = V2, .a = 1 };
	struct opts_v1 o;

	EXPECT_EQ(0, __kipc_opts_read(&o, V1, V1, &in));
	EXPECT_EQ(1, o.a);
	for (size_t i = V1; i < V2; i++) {
		memset(&in.b, 0, sizeof(in.b));
		((char *)&in)[i] = 1;
		EXPECT_EQ(-E2BIG, __kipc_opts_read(&o, V1, V1, &in));
	}
}

TEST(opts_sizes_that_make_no_sense)
{
	struct opts_v2 in = { .sz = 0 }, o;

	for (size_t sz = 0; sz < V1; sz++) {
		in.sz = sz;
		EXPECT_EQ(-EINVAL, __kipc_opts_read(&o, V2, V1, &in));
	}
	/* never reads that far: valgrind and the sanitizer would see it */
	in.sz = SIZE_MAX;
	EXPECT_EQ(-E2BIG, __kipc_opts_read(&o, V2, V1, &in));
	in.sz = 4097;
	EXPECT_EQ(-E2BIG, __kipc_opts_read(&o, V2, V1, &in));
}

/* ---- statistics ---- */

struct some_stat {
	size_t sz;
	uint64_t a, b;
};

TEST(stat_as_far_as_it_reaches)
{
	struct some_stat now = { .sz = 77, .a = 1, .b = 2 }, st;

	for (size_t sz = 0; sz <= 2 * sizeof(st); sz++) {
		unsigned char buf[2 * sizeof(st)], want[2 * sizeof(st)];
		size_t filled = min_of(sz, sizeof(now));

		memset(buf, 0x77, sizeof(buf));
		memcpy(buf, &sz, sizeof(sz));
		memcpy(want, buf, sizeof(want));
		if (sz < sizeof(sz)) {
			EXPECT_EQ(-EINVAL, __kipc_stat_write(buf, &now, sizeof(now)));
		} else {
			EXPECT_EQ(0, __kipc_stat_write(buf, &now, sizeof(now)));
			memcpy(want, &now, filled);
			memcpy(want, &filled, sizeof(filled));
		}
		EXPECT_MEMEQ(want, buf, sizeof(buf));
	}
}

/* ---- names ---- */

TEST(names_by_character)
{
	for (int i = 1; i < 256; i++) {
		char name[2] = { (char)i, 0 };
		bool ok = (i >= 'a' && i <= 'z') || (i >= 'A' && i <= 'Z') ||
			  (i >= '0' && i <= '9') || i == '.' || i == '_' || i == '-';

		if (!EXPECT_EQ(ok ? 1 : -EINVAL, __kipc_name_check(name)))
			ksft_log("character %d", i);
	}
}

TEST(names_by_length)
{
	char name[70];

	EXPECT_EQ(0, __kipc_name_check(NULL));
	EXPECT_EQ(-EINVAL, __kipc_name_check(""));
	for (size_t len = 1; len < sizeof(name); len++) {
		memset(name, 'n', len);
		name[len] = '\0';
		EXPECT_EQ(len <= 63 ? 1 : -EINVAL, __kipc_name_check(name));
		name[len - 1] = '/';
		EXPECT_EQ(-EINVAL, __kipc_name_check(name));
	}
}

/* ---- errors and versions ---- */

TEST(strerror_of_everything)
{
	static const int ours[] = { EAGAIN, ETIMEDOUT, EPIPE,	  EMSGSIZE, ENOENT,	   EEXIST,
				    EACCES, EOWNERDEAD, EPROTO, EINVAL,	  EPROTONOSUPPORT, EUSERS };

	for (int err = -300; err <= 300; err++) {
		ASSERT_NE(NULL, kipc_strerror(err));
		EXPECT_NE('\0', kipc_strerror(err)[0]);
		EXPECT_STREQ(kipc_strerror(err), kipc_strerror(-err));
	}
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		EXPECT_STRNE("unknown error", kipc_strerror(-ours[i]));
	EXPECT_STREQ("success", kipc_strerror(0));
	EXPECT_STREQ("unknown error", kipc_strerror(INT_MAX));
	EXPECT_STREQ("unknown error", kipc_strerror(-INT_MAX));
	EXPECT_STREQ("unknown error", kipc_strerror(INT_MIN));
}

TEST(version_is_the_header_s)
{
	EXPECT_EQ(KIPC_VERSION_MAJOR << 16 | KIPC_VERSION_MINOR << 8 | KIPC_VERSION_PATCH,
		  kipc_version());
}

/* ---- features ---- */

TEST(features_answer_and_leave_nothing)
{
	int fds = core_count_fds(NULL), first[KIPC_FEATURE_MAX];

	errno = 4711;
	for (int f = 0; f < KIPC_FEATURE_MAX; f++) {
		first[f] = kipc_feature_supported((enum kipc_feature)f);
		EXPECT_TRUE(first[f] == 0 || first[f] == 1);
	}
	for (int f = 0; f < KIPC_FEATURE_MAX; f++)
		EXPECT_EQ(first[f], kipc_feature_supported((enum kipc_feature)f));
	EXPECT_EQ(-EINVAL, kipc_feature_supported(KIPC_FEATURE_MAX));
	EXPECT_EQ(-EINVAL, kipc_feature_supported((enum kipc_feature)-1));
	EXPECT_EQ(-EINVAL, kipc_feature_supported((enum kipc_feature)INT_MAX));
	EXPECT_EQ(4711, errno);
	EXPECT_EQ(fds, core_count_fds(NULL));
	/* without these nothing works, so nothing that is tested here would */
	EXPECT_EQ(1, first[KIPC_FEATURE_OFD_LOCKS]);
	EXPECT_EQ(1, first[KIPC_FEATURE_PROC_FD]);
}

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

TEST(feature_collapse_is_what_the_kernel_does)
{
	size_t len = 2 << 20;
	char *p = mmap(NULL, 2 * len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool works;

	ASSERT_NE(MAP_FAILED, p);
	p = (char *)align_up((uintptr_t)p, len);
	*p = 1;
	works = !madvise(p, len, MADV_COLLAPSE) || errno != EINVAL;
	EXPECT_EQ(works, kipc_feature_supported(KIPC_FEATURE_MADV_COLLAPSE));
}

/* ---- stamps, deadlines ---- */

TEST(stamps)
{
	static const uint32_t sizes[] = { 64, 0x12345678, 0, UINT32_MAX };
	uint32_t swapped[] = { 0x12345678, 64, 0, UINT32_MAX };

	EXPECT_EQ(KIPC_STAMP(KIPC_STAMP(KIPC_STAMP(KIPC_STAMP(KIPC_STAMP_INIT, 64), 0x12345678), 0),
			     UINT32_MAX),
		  __kipc_stamp(sizes, 4));
	EXPECT_NE(__kipc_stamp(sizes, 4), __kipc_stamp(swapped, 4));
	EXPECT_NE(__kipc_stamp(sizes, 3), __kipc_stamp(sizes, 4));
}

TEST(deadlines)
{
	int64_t before, d;

	EXPECT_EQ(0, __kipc_deadline(KIPC_NOWAIT));
	EXPECT_EQ(KIPC_DEADLINE_NEVER, __kipc_deadline(KIPC_FOREVER));
	EXPECT_EQ(KIPC_DEADLINE_NEVER, __kipc_deadline(INT64_MIN));
	EXPECT_EQ(KIPC_DEADLINE_NEVER, __kipc_deadline(INT64_MAX));
	EXPECT_EQ(KIPC_DEADLINE_NEVER, __kipc_deadline(INT64_MAX - 1));
	before = __kipc_now_ns();
	d = __kipc_deadline(NSEC_PER_SEC);
	EXPECT_GE(d, before + NSEC_PER_SEC);
	EXPECT_LE(d, __kipc_now_ns() + NSEC_PER_SEC);
}

TEST_HARNESS_MAIN
