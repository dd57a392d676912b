// SPDX-License-Identifier: MIT
/* The tutorial's array (100 x 100 uint8, all 255), read by processes that came to it in every way. */
#include <sys/socket.h>
#include <unistd.h>

#include <kipc/array.h>
#include <kipc/object.h>

#include "kselftest_harness.h"

static const uint64_t shape[] = { 100, 100 };

static int check_array(struct kipc_array *a, uint8_t want)
{
	uint64_t index[2];

	if (kipc_array_dtype(a) != KIPC_UINT8 || kipc_array_ndim(a) != 2 ||
	    kipc_array_shape(a)[0] != 100 || kipc_array_shape(a)[1] != 100 ||
	    kipc_array_strides(a)[0] != 100 || kipc_array_strides(a)[1] != 1 ||
	    kipc_array_nbytes(a) != 10000)
		return 1;
	for (index[0] = 0; index[0] < 100; index[0]++)
		for (index[1] = 0; index[1] < 100; index[1]++)
			if (*(uint8_t *)kipc_array_at(a, index) != want)
				return 2;
	return 0;
}

static int inherited(void *arg)
{
	int r = check_array(arg, 255);

	*(uint8_t *)kipc_array_data(arg) = 7;
	return r;
}

TEST(fork_after_creation)
{
	struct kipc_array *a;
	uint8_t full = 255;

	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_UINT8, 2, shape, NULL, &a));
	EXPECT_EQ(0, check_array(a, 0));
	ASSERT_EQ(0, kipc_array_fill(a, &full));
	ksft_join(ksft_fork(inherited, a));
	EXPECT_EQ(7, *(uint8_t *)kipc_array_data(a));
	kipc_array_close(a);
}

/* Forked before there was an array: it gets it over the socket alone, and answers through it. */
static int received(void *arg)
{
	int sock = *(int *)arg, r;
	struct kipc_object *obj;
	struct kipc_array *a;
	uint8_t v;

	if (kipc_recv(sock, &obj))
		return 10;
	if (kipc_object_kind(obj) != KIPC_KIND_ARRAY || kipc_object_shm(obj))
		return 11;
	a = kipc_object_array(obj);
	r = check_array(a, 255);
	v = 9;
	if (!r)
		r = kipc_array_write_begin(a, KIPC_FOREVER) || kipc_array_fill(a, &v) ||
		    kipc_array_write_end(a);
	kipc_array_close(a);
	return r;
}

TEST(fork_before_creation)
{
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	struct kipc_array *a;
	uint8_t full = 255;
	int socks[2];
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks));
	pid = ksft_fork(received, &socks[1]);
	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_UINT8, 2, shape, NULL, &a));
	ASSERT_EQ(0, kipc_array_fill(a, &full));
	ASSERT_EQ(0, kipc_send(socks[0], kipc_array_object(a)));
	ksft_join(pid);
	EXPECT_EQ(0, check_array(a, 9));
	ASSERT_EQ(0, kipc_array_stat(a, &st));
	EXPECT_EQ(1, st.writes);
	EXPECT_EQ(1, st.peers);
	kipc_array_close(a);
}

TEST_HARNESS_MAIN
