// SPDX-License-Identifier: MIT
/* Where a probe's arguments are: what compilers write into its note, for both machines. */
#include "kselftest_harness.h"

#include "tools/ipc-inspect/trace-args.c"

static struct trace_site site;

static int parse(enum trace_machine machine, const char *text)
{
	memset(&site, 0, sizeof(site));
	return trace_parse_args(&site, text, machine);
}

static void expect_place(int i, int reg, int index, int scale, int64_t value, int memory, int size)
{
	const struct trace_place *p = &site.arg[i];

	EXPECT_EQ(reg, p->reg);
	EXPECT_EQ(index, p->index);
	EXPECT_EQ(scale, p->scale);
	EXPECT_EQ(value, p->value);
	EXPECT_EQ(memory, p->in_memory);
	EXPECT_EQ(size < 0 ? -size : size, p->size);
	EXPECT_EQ(size < 0, p->is_signed);
}

TEST(x86_64)
{
	ASSERT_EQ(0, parse(TRACE_X86_64, "8@56(%rbx) 4@%r15d -4@$-9 1@%r12b"));
	EXPECT_EQ(4, site.nargs);
	expect_place(0, 40, -1, 0, 56, 1, 8);
	expect_place(1, 0, -1, 0, 0, 0, 4);
	expect_place(2, -1, -1, 0, -9, 0, -4);
	expect_place(3, 24, -1, 0, 0, 0, 1);
	ASSERT_EQ(0, parse(TRACE_X86_64, "8@(%rsp) -8@-16(%rbp) 8@8(%rax,%rcx,8) 2@(%rdi,%rsi)"));
	expect_place(0, 152, -1, 0, 0, 1, 8);
	expect_place(1, 32, -1, 0, -16, 1, -8);
	expect_place(2, 80, 88, 3, 8, 1, 8);
	expect_place(3, 112, 104, 0, 0, 1, 2);
	ASSERT_EQ(0, parse(TRACE_X86_64, "8@$0x10 8@$18446744073709551615"));
	expect_place(0, -1, -1, 0, 16, 0, 8);
	expect_place(1, -1, -1, 0, -1, 0, 8);
}

TEST(arm64)
{
	ASSERT_EQ(0, parse(TRACE_ARM64, "8@[x19, 56] 4@w2 -4@-1 8@[sp]"));
	EXPECT_EQ(4, site.nargs);
	expect_place(0, 8 * 19, -1, 0, 56, 1, 8);
	expect_place(1, 16, -1, 0, 0, 0, 4);
	expect_place(2, -1, -1, 0, -1, 0, -4);
	expect_place(3, 8 * 31, -1, 0, 0, 1, 8);
	ASSERT_EQ(0, parse(TRACE_ARM64, "8@x30 8@[x0,-8]"));
	expect_place(0, 8 * 30, -1, 0, 0, 0, 8);
	expect_place(1, 0, -1, 0, -8, 1, 8);
}

TEST(none)
{
	ASSERT_EQ(0, parse(TRACE_X86_64, ""));
	EXPECT_EQ(0, site.nargs);
	EXPECT_EQ(-EINVAL, parse(TRACE_NO_MACHINE, "8@$1"));
}

TEST(what_is_not_understood)
{
	static const char *const x86[] = {
		"8", "8@", "@$1", "3@$1", "16@%rax", "8@%rip", "8@%raxx", "8@%", "8@x0", "8@(%rax",
		"8@(%rax,)", "8@(%rax,%rbx,3)", "8@(,%rbx,8)", "8@8", "8@$", "8@$1x", "8@sym(%rip)",
		"8@%rax8@%rbx", "1@$1 1@$1 1@$1 1@$1 1@$1", "8@$99999999999999999999999", "x",
	};
	static const char *const arm[] = {
		"8@x31", "8@[x0", "8@[x0,]", "8@[x0, x1]", "8@y0", "8@x", "8@[8]", "8@%rax", "8@s",
	};

	for (size_t i = 0; i < sizeof(x86) / sizeof(x86[0]); i++)
		if (!EXPECT_EQ(-EINVAL, parse(TRACE_X86_64, x86[i])))
			ksft_log("%s", x86[i]);
	for (size_t i = 0; i < sizeof(arm) / sizeof(arm[0]); i++)
		if (!EXPECT_EQ(-EINVAL, parse(TRACE_ARM64, arm[i])))
			ksft_log("%s", arm[i]);
}

TEST_HARNESS_MAIN
