// SPDX-License-Identifier: MIT
/* The nodes that memory comes from: asked of the kernel, which says where a page is. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/mempolicy.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <kipc/array.h>
#include <kipc/shm.h>

#include "core/compiler.h"
#include "kselftest_harness.h"

#define SIZE	(8 << 20)

/* The policy for an address, and its nodes. */
static int policy_of(void *addr, uint64_t *nodes)
{
	uint64_t mask[16] = { 0 };
	int mode = -1;

	if (syscall(SYS_get_mempolicy, &mode, mask, 1025, addr, MPOL_F_ADDR))
		return -errno;
	*nodes = mask[0];
	return mode;
}

static int node_of(void *addr)
{
	int node = -1;

	return syscall(SYS_get_mempolicy, &node, NULL, 0, addr, MPOL_F_ADDR | MPOL_F_NODE) ? -errno :
											     node;
}

/* Skips where there is nothing to test. */
static void create(struct kipc_shm **s, const struct kipc_shm_opts *o)
{
	int r = kipc_shm_create(NULL, SIZE, o, s);

	if (r == -EOPNOTSUPP)
		SKIP("this kernel knows no NUMA");
	if (r == -EPERM)
		SKIP("mbind(2) is not allowed here");
	ASSERT_EQ(0, r);
}

FIXTURE(placed) {
	struct kipc_shm *s;
};

FIXTURE_VARIANT(placed) {
	enum kipc_numa numa;
	uint32_t flags;
	int mode;
};

FIXTURE_VARIANT_ADD(placed, bind) { KIPC_NUMA_BIND, 0, MPOL_BIND };
FIXTURE_VARIANT_ADD(placed, bind_populated) { KIPC_NUMA_BIND, KIPC_SHM_POPULATE, MPOL_BIND };
FIXTURE_VARIANT_ADD(placed, interleave) { KIPC_NUMA_INTERLEAVE, 0, MPOL_INTERLEAVE };
FIXTURE_VARIANT_ADD(placed, preferred) { KIPC_NUMA_PREFERRED, 0, MPOL_PREFERRED };

FIXTURE_SETUP(placed)
{
	KIPC_OPTS(kipc_shm_opts, o, .numa = variant->numa, .numa_nodes = 1, .flags = variant->flags);

	create(&self->s, &o);
}

FIXTURE_TEARDOWN(placed)
{
	kipc_shm_close(self->s);
}

TEST_F(placed, as_asked)
{
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	uint8_t *p = kipc_shm_addr(self->s);
	uint64_t nodes = 0;

	ASSERT_EQ(0, kipc_shm_stat(self->s, &st));
	EXPECT_EQ(variant->numa, st.numa);
	EXPECT_EQ(1, st.numa_nodes);
	EXPECT_EQ(variant->mode, policy_of(p, &nodes));
	EXPECT_EQ(1, nodes);
	EXPECT_EQ(variant->mode, policy_of(p + SIZE - 1, &nodes));
	p[SIZE / 2] = 1;
	EXPECT_EQ(0, node_of(p + SIZE / 2));
}

struct seen {
	struct kipc_shm *s;
	int mode;
};

static int sees_policy(void *arg)
{
	struct seen *seen = arg;
	uint64_t nodes = 0;

	return policy_of(kipc_shm_addr(seen->s), &nodes) == seen->mode && nodes == 1 ? 0 : 1;
}

/* It is the file's: whoever touches a page first. */
TEST_F(placed, in_other_processes)
{
	struct seen seen = { self->s, variant->mode };

	ksft_join(ksft_fork(sees_policy, &seen));
}

TEST(refused_nodes)
{
	static const uint64_t nodes[] = { 1ULL << 63, 1 | 1ULL << 63, 1ULL << 62 | 1ULL << 63 };
	static const uint64_t shape[] = { 10 };
	struct kipc_shm *s;
	struct kipc_array *a = NULL;

	if (node_of(&s) == -ENOSYS)
		SKIP("this kernel knows no NUMA");
	for (int numa = KIPC_NUMA_BIND; numa <= KIPC_NUMA_INTERLEAVE; numa++)
		for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
			KIPC_OPTS(kipc_shm_opts, o, .numa = (enum kipc_numa)numa,
				  .numa_nodes = nodes[i]);
			int r;

			s = NULL;
			r = kipc_shm_create(NULL, SIZE, &o, &s);
			if (r == -EPERM)
				SKIP("mbind(2) is not allowed here");
			if (!EXPECT_EQ(-ENODEV, r))
				ksft_log("policy %d, nodes %#lx", numa, (unsigned long)nodes[i]);
			EXPECT_TRUE(s == NULL);
		}
	KIPC_OPTS(kipc_array_opts, o, .numa = KIPC_NUMA_PREFERRED, .numa_nodes = 1ULL << 63);
	EXPECT_EQ(-ENODEV, kipc_array_create(NULL, KIPC_UINT8, 1, shape, &o, &a));
	EXPECT_TRUE(a == NULL);
}

TEST(refused_options)
{
	static const struct {
		int numa;
		uint64_t nodes;
	} bad[] = {
		{ KIPC_NUMA_NONE, 1 },
		{ KIPC_NUMA_BIND, 0 },
		{ KIPC_NUMA_INTERLEAVE, 0 },
		{ KIPC_NUMA_PREFERRED, 0 },
		{ KIPC_NUMA_PREFERRED, 3 },
		{ KIPC_NUMA_PREFERRED + 1, 1 },
		{ -1, 1 },
	};
	struct kipc_shm *s;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		KIPC_OPTS(kipc_shm_opts, o, .numa = (enum kipc_numa)bad[i].numa,
			  .numa_nodes = bad[i].nodes);

		EXPECT_EQ(-EINVAL, kipc_shm_create(NULL, SIZE, &o, &s));
	}
}

/* What a kernel without NUMA says, and what a sandbox says. */
FIXTURE(refusing) {
	int unused;
};

FIXTURE_VARIANT(refusing) {
	int error, want;
};

FIXTURE_VARIANT_ADD(refusing, no_numa) { ENOSYS, -EOPNOTSUPP };
FIXTURE_VARIANT_ADD(refusing, sandbox) { EPERM, -EPERM };

FIXTURE_SETUP(refusing)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mbind, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)variant->error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ARRAY_SIZE(filter), .filter = filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog))
		SKIP("needs seccomp filters");
}

FIXTURE_TEARDOWN(refusing)
{
}

TEST_F(refusing, is_said)
{
	KIPC_OPTS(kipc_shm_opts, o, .numa = KIPC_NUMA_BIND, .numa_nodes = 1);
	struct kipc_shm *s = NULL;

	EXPECT_EQ(variant->want, kipc_shm_create(NULL, SIZE, &o, &s));
	EXPECT_TRUE(s == NULL);
	/* who asks for nothing is not concerned */
	ASSERT_EQ(0, kipc_shm_create(NULL, SIZE, NULL, &s));
	kipc_shm_close(s);
}

TEST_HARNESS_MAIN
