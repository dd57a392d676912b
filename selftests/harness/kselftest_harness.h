/* SPDX-License-Identifier: MIT */
/*
 * The selftests' harness: a process per test, TAP out.
 *
 * The interface follows the Linux kernel's tools/testing/selftests/kselftest_harness.h; the code is
 * our own. What is here:
 *
 *   tests      TEST, TEST_TIMEOUT, TEST_SIGNAL; FIXTURE*, TEST_F, TEST_F_TIMEOUT, TEST_F_SIGNAL
 *   checks     EXPECT_* go on after a failure, ASSERT_* end the test (or the peer) there
 *   verdicts   SKIP, XFAIL
 *   helpers    ksft_*: processes, threads, conditions, clocks, shared pages (ksft_helpers.h)
 *
 * Each test runs in a process of its own, which leads a process group of its own. When the test ends,
 * or its time is over, the group and whatever else descends from the test is killed. Checks may be
 * used in any thread and in any process forked by the test: failures are counted in a shared page,
 * so a check that fails in a child fails the test whatever the parent does.
 *
 * A test that passes without a single check is a failure: it could not have failed.
 */
#ifndef KSELFTEST_HARNESS_H
#define KSELFTEST_HARNESS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ksft_helpers.h"

/* Exit codes of a test program. */
#define KSFT_PASS 0
#define KSFT_FAIL 1
#define KSFT_SKIP 4 /* every test of the program was skipped */

/* Seconds that a test may take; times ksft_scale(1) under a sanitizer or valgrind. */
#define KSFT_TIMEOUT 30

struct ksft_variant {
	const char *name;
	const void *data;
	struct ksft_variant *next;
};

struct ksft_fixture {
	const char *name;
	void (*setup)(void *self, const void *variant);
	void (*teardown)(void *self, const void *variant);
	struct ksft_variant *variants;
};

struct ksft_test {
	const char *name;
	void (*body)(void *self, const void *variant);
	struct ksft_fixture *fixture;
	void *self;
	size_t self_size;
	int timeout_s;
	int signal; /* the test must die of it; 0: it must return */
	struct ksft_test *next;
};

void __ksft_add_test(struct ksft_test *test);
void __ksft_add_variant(struct ksft_fixture *fixture, struct ksft_variant *variant);
int ksft_main(int argc, char **argv);

#define __ksft_unused __attribute__((unused))
#define __ksft_constructor __attribute__((constructor))

/* ---- tests ---- */

/* TEST(name) { ... }: a test without a fixture. */
#define TEST(name) __KSFT_TEST(name, KSFT_TIMEOUT, 0)
/* A test that may take so many seconds. */
#define TEST_TIMEOUT(name, seconds) __KSFT_TEST(name, seconds, 0)
/* A test that passes only when its process is killed by the signal. */
#define TEST_SIGNAL(name, signo) __KSFT_TEST(name, KSFT_TIMEOUT, signo)

#define __KSFT_TEST(name_, timeout_s_, signal_)                                                    \
	static void __ksft_body_##name_(void);                                                     \
	static void __ksft_call_##name_(__ksft_unused void *self, __ksft_unused const void *v)     \
	{                                                                                          \
		__ksft_body_##name_();                                                             \
	}                                                                                          \
	static struct ksft_test __ksft_test_##name_ = {                                            \
		.name = #name_,                                                                    \
		.body = __ksft_call_##name_,                                                       \
		.timeout_s = (timeout_s_),                                                         \
		.signal = (signal_),                                                               \
	};                                                                                         \
	__ksft_constructor static void __ksft_add_##name_(void)                                    \
	{                                                                                          \
		__ksft_add_test(&__ksft_test_##name_);                                             \
	}                                                                                          \
	static void __ksft_body_##name_(void)

/* FIXTURE(name) { int fd; ... };   what the tests of a group see as `self`, zeroed for each */
#define FIXTURE(name_)                                                                             \
	struct __ksft_variant_of_##name_;                                                          \
	static __ksft_unused struct ksft_fixture __ksft_fixture_##name_ = { .name = #name_ };      \
	struct __ksft_self_of_##name_

/*
 * FIXTURE_VARIANT(name) { int flags; ... };
 * FIXTURE_VARIANT_ADD(name, variant) { .flags = 1 };
 * With variants, each test of the fixture is run once for each; `variant` points at the values.
 */
#define FIXTURE_VARIANT(name_) struct __ksft_variant_of_##name_

#define FIXTURE_VARIANT_ADD(name_, variant_)                                                       \
	static const struct __ksft_variant_of_##name_ __ksft_data_##name_##_##variant_;            \
	static struct ksft_variant __ksft_variant_##name_##_##variant_ = {                         \
		.name = #variant_,                                                                 \
		.data = &__ksft_data_##name_##_##variant_,                                         \
	};                                                                                         \
	__ksft_constructor static void __ksft_add_##name_##_##variant_(void)                       \
	{                                                                                          \
		__ksft_add_variant(&__ksft_fixture_##name_, &__ksft_variant_##name_##_##variant_); \
	}                                                                                          \
	static const struct __ksft_variant_of_##name_ __ksft_data_##name_##_##variant_ =

/* Run before each test of the fixture, in the test's process. When it fails, the test is not run. */
#define FIXTURE_SETUP(name_) __KSFT_HOOK(name_, setup)
/* Run after each test whose setup ended, also when an ASSERT_ ended the test. */
#define FIXTURE_TEARDOWN(name_) __KSFT_HOOK(name_, teardown)

#define __KSFT_ARGS(name_)                                                                         \
	__ksft_unused struct __ksft_self_of_##name_ *self,                                         \
		__ksft_unused const struct __ksft_variant_of_##name_ *variant

#define __KSFT_HOOK(name_, hook_)                                                                  \
	static void __ksft_##hook_##_##name_(__KSFT_ARGS(name_));                                  \
	static void __ksft_call_##hook_##_##name_(void *self, const void *variant)                 \
	{                                                                                          \
		__ksft_##hook_##_##name_(self, variant);                                           \
	}                                                                                          \
	__ksft_constructor static void __ksft_add_##hook_##_##name_(void)                          \
	{                                                                                          \
		__ksft_fixture_##name_.hook_ = __ksft_call_##hook_##_##name_;                      \
	}                                                                                          \
	static void __ksft_##hook_##_##name_(__KSFT_ARGS(name_))

/* TEST_F(fixture, name) { ... }: `self` and `variant` (NULL without variants) are there. */
#define TEST_F(fixture, name) __KSFT_TEST_F(fixture, name, KSFT_TIMEOUT, 0)
#define TEST_F_TIMEOUT(fixture, name, seconds) __KSFT_TEST_F(fixture, name, seconds, 0)
#define TEST_F_SIGNAL(fixture, name, signo) __KSFT_TEST_F(fixture, name, KSFT_TIMEOUT, signo)

#define __KSFT_TEST_F(fixture_, name_, timeout_s_, signal_)                                        \
	static void __ksft_body_##fixture_##_##name_(__KSFT_ARGS(fixture_));                       \
	static void __ksft_call_##fixture_##_##name_(void *self, const void *variant)              \
	{                                                                                          \
		__ksft_body_##fixture_##_##name_(self, variant);                                   \
	}                                                                                          \
	static struct __ksft_self_of_##fixture_ __ksft_self_##fixture_##_##name_;                  \
	static struct ksft_test __ksft_test_##fixture_##_##name_ = {                               \
		.name = #name_,                                                                    \
		.body = __ksft_call_##fixture_##_##name_,                                          \
		.fixture = &__ksft_fixture_##fixture_,                                             \
		.self = &__ksft_self_##fixture_##_##name_,                                         \
		.self_size = sizeof(__ksft_self_##fixture_##_##name_),                             \
		.timeout_s = (timeout_s_),                                                         \
		.signal = (signal_),                                                               \
	};                                                                                         \
	__ksft_constructor static void __ksft_add_test_##fixture_##_##name_(void)                  \
	{                                                                                          \
		__ksft_add_test(&__ksft_test_##fixture_##_##name_);                                \
	}                                                                                          \
	static void __ksft_body_##fixture_##_##name_(__KSFT_ARGS(fixture_))

/* The last line of a test program. */
#define TEST_HARNESS_MAIN                                                                          \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return ksft_main(argc, argv);                                                      \
	}

/* ---- verdicts ---- */

/*
 * SKIP("why, with %s", ...): end the test here, as skipped; say what is missing. In the test's own
 * thread only. The teardown runs.
 */
#define SKIP(...) __ksft_skip(__VA_ARGS__)
/*
 * XFAIL("why"): from here on a failing check is expected. The test goes on; it is reported as XFAIL
 * when a check fails and as a failure when none does. A crash or a timeout stays a failure.
 */
#define XFAIL(...) __ksft_xfail(__VA_ARGS__)

void __ksft_skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void __ksft_xfail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- checks: each is an expression, true when it held ---- */

enum ksft_op { KSFT_EQ, KSFT_NE, KSFT_LT, KSFT_LE, KSFT_GT, KSFT_GE };

struct ksft_site {
	const char *file;
	const char *what; /* the check as it was written */
	int line;
	bool fatal;
};

/* A value of any scalar type; signed and unsigned ones compare as the numbers that they are. */
struct ksft_value {
	enum { KSFT_SIGNED, KSFT_UNSIGNED, KSFT_DOUBLE, KSFT_POINTER } kind;
	union {
		int64_t s;
		uint64_t u;
		double d;
	};
};

static inline struct ksft_value __ksft_signed(int64_t v)
{
	return (struct ksft_value){ .kind = KSFT_SIGNED, .s = v };
}

static inline struct ksft_value __ksft_unsigned(uint64_t v)
{
	return (struct ksft_value){ .kind = KSFT_UNSIGNED, .u = v };
}

static inline struct ksft_value __ksft_double(double v)
{
	return (struct ksft_value){ .kind = KSFT_DOUBLE, .d = v };
}

static inline struct ksft_value __ksft_pointer(const volatile void *v)
{
	return (struct ksft_value){ .kind = KSFT_POINTER, .u = (uintptr_t)v };
}

/* clang-format off */
#define __KSFT_VALUE(x)                                                                            \
	_Generic((x),                                                                              \
		_Bool: __ksft_unsigned,			char: __ksft_signed,                       \
		signed char: __ksft_signed,		unsigned char: __ksft_unsigned,            \
		short: __ksft_signed,			unsigned short: __ksft_unsigned,           \
		int: __ksft_signed,			unsigned int: __ksft_unsigned,             \
		long: __ksft_signed,			unsigned long: __ksft_unsigned,            \
		long long: __ksft_signed,		unsigned long long: __ksft_unsigned,       \
		float: __ksft_double,			double: __ksft_double,                     \
		default: __ksft_pointer)(x)
/* clang-format on */

bool __ksft_compare(const struct ksft_site *at, enum ksft_op op, struct ksft_value a,
		    struct ksft_value b);
bool __ksft_truth(const struct ksft_site *at, bool want, bool seen);
bool __ksft_streq(const struct ksft_site *at, bool want, const char *a, const char *b);
bool __ksft_memeq(const struct ksft_site *at, const void *a, const void *b, size_t len);

#define __KSFT_AT(what_, fatal_)                                                                   \
	(&(const struct ksft_site){                                                                \
		.file = __FILE__, .what = (what_), .line = __LINE__, .fatal = (fatal_) })
#define __KSFT_CMP(what, fatal, op, a, b)                                                          \
	__ksft_compare(__KSFT_AT(what, fatal), op, __KSFT_VALUE(a), __KSFT_VALUE(b))
#define __KSFT_WHAT(name, a, b) name "(" a ", " b ")"

#define EXPECT_EQ(a, b) __KSFT_CMP(__KSFT_WHAT("EXPECT_EQ", #a, #b), false, KSFT_EQ, a, b)
#define EXPECT_NE(a, b) __KSFT_CMP(__KSFT_WHAT("EXPECT_NE", #a, #b), false, KSFT_NE, a, b)
#define EXPECT_LT(a, b) __KSFT_CMP(__KSFT_WHAT("EXPECT_LT", #a, #b), false, KSFT_LT, a, b)
#define EXPECT_LE(a, b) __KSFT_CMP(__KSFT_WHAT("EXPECT_LE", #a, #b), false, KSFT_LE, a, b)
#define EXPECT_GT(a, b) __KSFT_CMP(__KSFT_WHAT("EXPECT_GT", #a, #b), false, KSFT_GT, a, b)
#define EXPECT_GE(a, b) __KSFT_CMP(__KSFT_WHAT("EXPECT_GE", #a, #b), false, KSFT_GE, a, b)
#define EXPECT_TRUE(x) __ksft_truth(__KSFT_AT("EXPECT_TRUE(" #x ")", false), true, !!(x))
#define EXPECT_FALSE(x) __ksft_truth(__KSFT_AT("EXPECT_FALSE(" #x ")", false), false, !!(x))
#define EXPECT_STREQ(a, b)                                                                         \
	__ksft_streq(__KSFT_AT(__KSFT_WHAT("EXPECT_STREQ", #a, #b), false), true, a, b)
#define EXPECT_STRNE(a, b)                                                                         \
	__ksft_streq(__KSFT_AT(__KSFT_WHAT("EXPECT_STRNE", #a, #b), false), false, a, b)
#define EXPECT_MEMEQ(a, b, len)                                                                    \
	__ksft_memeq(__KSFT_AT(__KSFT_WHAT("EXPECT_MEMEQ", #a, #b), false), a, b, len)

#define ASSERT_EQ(a, b) __KSFT_CMP(__KSFT_WHAT("ASSERT_EQ", #a, #b), true, KSFT_EQ, a, b)
#define ASSERT_NE(a, b) __KSFT_CMP(__KSFT_WHAT("ASSERT_NE", #a, #b), true, KSFT_NE, a, b)
#define ASSERT_LT(a, b) __KSFT_CMP(__KSFT_WHAT("ASSERT_LT", #a, #b), true, KSFT_LT, a, b)
#define ASSERT_LE(a, b) __KSFT_CMP(__KSFT_WHAT("ASSERT_LE", #a, #b), true, KSFT_LE, a, b)
#define ASSERT_GT(a, b) __KSFT_CMP(__KSFT_WHAT("ASSERT_GT", #a, #b), true, KSFT_GT, a, b)
#define ASSERT_GE(a, b) __KSFT_CMP(__KSFT_WHAT("ASSERT_GE", #a, #b), true, KSFT_GE, a, b)
#define ASSERT_TRUE(x) __ksft_truth(__KSFT_AT("ASSERT_TRUE(" #x ")", true), true, !!(x))
#define ASSERT_FALSE(x) __ksft_truth(__KSFT_AT("ASSERT_FALSE(" #x ")", true), false, !!(x))
#define ASSERT_STREQ(a, b)                                                                         \
	__ksft_streq(__KSFT_AT(__KSFT_WHAT("ASSERT_STREQ", #a, #b), true), true, a, b)
#define ASSERT_STRNE(a, b)                                                                         \
	__ksft_streq(__KSFT_AT(__KSFT_WHAT("ASSERT_STRNE", #a, #b), true), false, a, b)
#define ASSERT_MEMEQ(a, b, len)                                                                    \
	__ksft_memeq(__KSFT_AT(__KSFT_WHAT("ASSERT_MEMEQ", #a, #b), true), a, b, len)

#endif /* KSELFTEST_HARNESS_H */
