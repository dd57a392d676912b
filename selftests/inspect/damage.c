// SPDX-License-Identifier: MIT
/*
 * Damaged and hostile segments, made by hand: they are called so, with the reason, and nothing that
 * stands in them, nor what their owner does to the file meanwhile, makes the tool fall.
 */
#include <kipc/array.h>
#include <kipc/dict.h>
#include <kipc/list.h>
#include <kipc/manager.h>
#include <kipc/pipe.h>
#include <kipc/queue.h>
#include <kipc/shm.h>

#include "core/object.h"
#include "inspect.h"
#include "uapi/kipc/array.h"
#include "uapi/kipc/manager.h"
#include "uapi/kipc/pipe.h"
#include "uapi/kipc/queue.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

/* The bytes of a sound segment. */
struct image {
	char *bytes;
	size_t size;
	uint64_t body;
};

static struct image take_image(struct kipc_object *obj)
{
	struct image im = { .size = obj->seg.size, .body = obj->seg.body_off };

	im.bytes = malloc(im.size);
	ASSERT_EQ(im.size, (size_t)pread(obj->seg.fd, im.bytes, im.size, 0));
	/* nobody is attached to the copy */
	memset(im.bytes + KIPC_SEG_PEERS_OFF, 0, obj->seg.npeers * sizeof(struct kipc_peer));
	return im;
}

static struct image queue_image(void)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 4, .msg_size = 32);
	struct kipc_queue *q;
	struct image im;

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, kipc_queue_put(q, "x", 1, KIPC_NOWAIT));
	im = take_image(kipc_queue_object(q));
	kipc_queue_close(q);
	return im;
}

static struct image pipe_image(void)
{
	KIPC_OPTS(kipc_pipe_opts, opts, .ring_size = 4096);
	struct kipc_pipe *ends[2];
	struct image im;

	ASSERT_EQ(0, kipc_pipe_create(&opts, ends));
	ASSERT_EQ(0, kipc_pipe_send(ends[0], "x", 1, KIPC_NOWAIT));
	im = take_image(kipc_pipe_object(ends[0]));
	kipc_pipe_close(ends[0]);
	kipc_pipe_close(ends[1]);
	return im;
}

static struct image array_image(void)
{
	uint64_t shape[] = { 10, 20 };
	struct kipc_array *a;
	struct image im;

	ASSERT_EQ(0, kipc_array_create(NULL, KIPC_INT32, 2, shape, NULL, &a));
	im = take_image(kipc_array_object(a));
	kipc_array_close(a);
	return im;
}

static struct image manager_image(void)
{
	KIPC_OPTS(kipc_manager_opts, opts, .max_size = 4 << 20);
	struct kipc_manager *m;
	struct kipc_list *l;
	struct kipc_dict *d;
	struct image im;

	ASSERT_EQ(0, kipc_manager_create(NULL, &opts, &m));
	ASSERT_EQ(0, kipc_list_create(m, "l", &l));
	ASSERT_EQ(0, kipc_dict_create(m, "d", &d));
	ASSERT_EQ(0, kipc_list_append(l, kipc_int(1)));
	ASSERT_EQ(0, kipc_dict_set(d, kipc_int(1), kipc_int(2)));
	im = take_image(kipc_manager_object(m));
	kipc_list_unref(l);
	kipc_dict_unref(d);
	kipc_manager_close(m);
	return im;
}

/* A memfd with these bytes, under the name that is looked for. */
static int plant(const struct image *im, int seals)
{
	int fd = memfd_create("kipc:queue", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ASSERT_LE(0, fd);
	ASSERT_EQ(im->size, (size_t)pwrite(fd, im->bytes, im->size, 0));
	if (seals)
		ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, seals));
	return fd;
}

static struct kipc_seg_header *header(struct image *im)
{
	return (struct kipc_seg_header *)im->bytes;
}

static void *body(struct image *im)
{
	return im->bytes + im->body;
}

static struct kipc_peer *peer(struct image *im, int slot)
{
	return (struct kipc_peer *)(im->bytes + KIPC_SEG_PEERS_OFF) + slot - 1;
}

/* list and show of the planted segment: their exit code, a state, and a word of the reason. */
static void judged_as(const struct image *im, int seals, int code, const char *state,
		      const char *reason)
{
	int fd = plant(im, seals);
	struct run r;

	r = inspect("list", "-r", "-n", "-o", "STATE,PROBLEM", pid_target(getpid()));
	EXPECT_EQ(code, r.code);
	if (!EXPECT_TRUE(!strncmp(r.out, state, strlen(state)) && strstr(r.out, reason)))
		ksft_log("%s: %s", reason, r.out);
	run_free(&r);
	r = inspect("show", pid_target(getpid()));
	EXPECT_EQ(code, r.code);
	run_free(&r);
	close(fd);
}

#define DAMAGED(im, reason) judged_as(im, SEALS, 3, "damaged", reason)

TEST(sound)
{
	struct image im;

	skip_without_tool();
	im = queue_image();
	judged_as(&im, SEALS, 0, "orphan", "-");
	free(im.bytes);
	im = pipe_image();
	judged_as(&im, SEALS, 0, "orphan", "-");
	free(im.bytes);
	im = array_image();
	judged_as(&im, SEALS, 0, "orphan", "-");
	free(im.bytes);
	im = manager_image();
	judged_as(&im, F_SEAL_SHRINK, 0, "orphan", "-");
	free(im.bytes);
}

TEST(headers)
{
	struct image im, bad;
	struct kipc_seg_header *h;

	skip_without_tool();
	im = queue_image();
	bad = im;
	bad.bytes = malloc(im.size);
	h = header(&bad);
#define FRESH() memcpy(bad.bytes, im.bytes, im.size)
	FRESH(), h->magic++;
	DAMAGED(&bad, "magic");
	FRESH(), h->endian = 0x04030201;
	DAMAGED(&bad, "endian");
	FRESH(), h->kind = 77;
	DAMAGED(&bad, "kind");
	FRESH(), h->npeers = 0;
	DAMAGED(&bad, "slots");
	FRESH(), h->npeers = UINT32_MAX;
	DAMAGED(&bad, "slots");
	FRESH(), h->body_off = 4096;
	DAMAGED(&bad, "body");
	FRESH(), h->body_off = 1ULL << 63;
	DAMAGED(&bad, "body");
	FRESH(), h->size = UINT64_MAX;
	DAMAGED(&bad, "bytes");
	FRESH(), h->max_size = 0;
	DAMAGED(&bad, "grow");
	FRESH(), h->peer_high = UINT32_MAX;
	DAMAGED(&bad, "slot");
	FRESH(), memset(h->name, 'x', sizeof(h->name));
	DAMAGED(&bad, "name");
	FRESH(), h->page_size = 12345;
	DAMAGED(&bad, "page");
	FRESH(), peer(&bad, 1)->state = 99, h->peer_high = 3;
	DAMAGED(&bad, "state");
	FRESH();
	judged_as(&bad, 0, 3, "damaged", "unsealed");
	judged_as(&bad, F_SEAL_GROW, 3, "damaged", "unsealed");
	bad.size = 100;
	DAMAGED(&bad, "less\\x20than\\x20a\\x20header");
	bad.size = 4096;
	DAMAGED(&bad, "the\\x20file\\x20has\\x204096");
	bad.size = im.size;

	h->magic = 0;
	judged_as(&bad, SEALS, 0, "unfinished", "-");
	bad.size = 0;
	judged_as(&bad, 0, 0, "unfinished", "-");
	bad.size = im.size;
	FRESH(), h->abi_major++;
	judged_as(&bad, SEALS, 0, "other\\x20version", "-");
	FRESH(), h->incompat = 1;
	judged_as(&bad, SEALS, 0, "other\\x20version", "-");
	FRESH(), h->compat = h->ro_compat = 1;
	judged_as(&bad, SEALS, 0, "orphan", "-");
	free(im.bytes);
	free(bad.bytes);
}

TEST(queues)
{
	struct image im, bad;
	struct kipc_queue_shared *sh;
	struct kipc_cell *cell;

	skip_without_tool();
	im = queue_image();
	bad = im;
	bad.bytes = malloc(im.size);
	sh = body(&bad);
	FRESH(), sh->capacity = 0;
	DAMAGED(&bad, "capacity");
	FRESH(), sh->capacity = UINT32_MAX;
	DAMAGED(&bad, "capacity");
	FRESH(), sh->capacity = 1 << 24;
	DAMAGED(&bad, "cells");
	FRESH(), sh->cell_size = 63;
	DAMAGED(&bad, "cells");
	FRESH(), sh->cells_off = UINT64_MAX & ~63ULL;
	DAMAGED(&bad, "cells");
	FRESH(), sh->msg_size = 1 << 20;
	DAMAGED(&bad, "payload");
	FRESH(), sh->msg_size = 1 << 20, sh->payload_stride = 1ULL << 63, sh->payload_off = 64;
	DAMAGED(&bad, "payload");
	FRESH(), sh->overflow = 9;
	DAMAGED(&bad, "overflow");
	FRESH(), sh->tail = 400;
	DAMAGED(&bad, "tail");
	FRESH(), sh->head = 1000;
	DAMAGED(&bad, "head");
	FRESH();
	cell = (struct kipc_cell *)(bad.bytes + sh->cells_off + 2 * sh->cell_size);
	cell->state = UINT64_MAX;
	DAMAGED(&bad, "tail");
	free(im.bytes);
	free(bad.bytes);
}

/* Only show looks at all cells. */
TEST(cells)
{
	struct kipc_queue_shared *sh;
	struct kipc_cell *cell;
	struct image im;
	struct run r;
	int fd;

	skip_without_tool();
	im = queue_image();
	sh = body(&im);
	cell = (struct kipc_cell *)(im.bytes + sh->cells_off + 3 * sh->cell_size);
	cell->state |= 7ULL << KIPC_CELL_PHASE_SHIFT;
	cell = (struct kipc_cell *)(im.bytes + sh->cells_off);
	cell->state = (uint64_t)KIPC_CELL_READING << KIPC_CELL_PHASE_SHIFT | 2000;
	fd = plant(&im, SEALS);
	r = inspect("show", "-J", pid_target(getpid()));
	EXPECT_EQ(3, r.code);
	EXPECT_JSON(r.out, "assert any('phase 7' in p for p in o['problems']), o['problems']\n"
			   "assert any('slot 2000' in p for p in o['problems']), o['problems']\n"
			   "assert o['summary']['state'][0] == 'damaged'\n"
			   "assert o['queue']['cells_examined'] == 4");
	run_free(&r);
	close(fd);
	free(im.bytes);
}

TEST(pipes)
{
	struct image im, bad;
	struct kipc_pipe_header *sh;

	skip_without_tool();
	im = pipe_image();
	bad = im;
	bad.bytes = malloc(im.size);
	sh = body(&bad);
	FRESH(), sh->ring_size = 4095;
	DAMAGED(&bad, "ring");
	FRESH(), sh->ring_size = 1ULL << 30;
	DAMAGED(&bad, "ring");
	FRESH(), sh->ring_off[1] = UINT64_MAX & ~4095ULL;
	DAMAGED(&bad, "ring");
	FRESH(), sh->way[0].head += 1 << 20;
	DAMAGED(&bad, "head");
	FRESH(), sh->way[1].tail += 3;
	DAMAGED(&bad, "tail");
	free(im.bytes);
	free(bad.bytes);
}

TEST(arrays)
{
	struct image im, bad;
	struct kipc_array_head *h;

	skip_without_tool();
	im = array_image();
	bad = im;
	bad.bytes = malloc(im.size);
	h = body(&bad);
	FRESH(), h->shm.data_off = UINT64_MAX & ~4095ULL;
	DAMAGED(&bad, "data");
	FRESH(), h->shm.size = UINT64_MAX;
	DAMAGED(&bad, "data");
	FRESH(), h->dtype = UINT32_MAX;
	DAMAGED(&bad, "type");
	FRESH(), h->ndim = UINT32_MAX;
	DAMAGED(&bad, "dimensions");
	FRESH(), h->shape[0] = UINT64_MAX;
	DAMAGED(&bad, "shape");
	FRESH(), h->strides[0] = -1;
	DAMAGED(&bad, "shape");
	FRESH(), h->strides[1] = INT64_MAX;
	DAMAGED(&bad, "shape");
	FRESH(), h->elements++;
	DAMAGED(&bad, "shape");
	free(im.bytes);
	free(bad.bytes);
}

TEST(managers)
{
	struct image im, bad;
	struct kipc_mgr_header *h;
	uint64_t *registry;

	skip_without_tool();
	im = manager_image();
	bad = im;
	bad.bytes = malloc(im.size);
	h = body(&bad);
	FRESH(), h->span_shift = 63;
	DAMAGED(&bad, "spans");
	FRESH(), h->max_spans = UINT64_MAX;
	DAMAGED(&bad, "spans");
	FRESH(), h->nspans = UINT64_MAX;
	DAMAGED(&bad, "spans");
	FRESH(), h->first_span = UINT64_MAX;
	DAMAGED(&bad, "spans");
	FRESH(), h->registry[0] = UINT64_MAX & ~7ULL;
	DAMAGED(&bad, "registry");
	FRESH();
	registry = (uint64_t *)(bad.bytes + h->registry[0]);
	registry[0] = 1ULL << 50;
	DAMAGED(&bad, "registry");
	FRESH(), registry[1] = 4096;
	DAMAGED(&bad, "registry");
	/* a registry without end, over the same memory again and again */
	FRESH(), h->reg_high = UINT64_MAX;
	for (int i = 1; i < KIPC_REG_CHUNKS; i++)
		h->registry[i] = h->registry[0];
	DAMAGED(&bad, "registry");
	free(im.bytes);
	free(bad.bytes);
}

/* What a name or a command may hold does not reach the terminal. */
TEST(control_characters)
{
	struct image im;
	struct run r;
	int fd;

	skip_without_tool();
	im = queue_image();
	strcpy(header(&im)->name, "\x1b]0;owned\x07\xff\n\"\\");
	header(&im)->peer_high = 1;
	peer(&im, 1)->state = KIPC_PEER_LIVE;
	memset(peer(&im, 1)->comm, '\x9b', 16);	/* without an end, too */
	fd = plant(&im, SEALS);
	for (int i = 0; i < 4; i++) {
		char *how[] = { "list", "-n", "list", "-J", "show", "-b", "show", "-J" };

		r = inspect(how[2 * i], how[2 * i + 1], pid_target(getpid()));
		EXPECT_EQ(0, r.code);
		for (char *p = r.out; *p; p++)
			if (!EXPECT_TRUE(*p == '\n' || (*p >= ' ' && *p <= '~')))
				break;
		EXPECT_TRUE(strstr(r.out, i % 2 ? "\\\\x1b]0;owned\\\\x07\\\\xff\\\\x0a\\\"" :
						  "\\x1b]0;owned\\x07\\xff\\x0a\""));
		if (i == 1)
			EXPECT_JSON(r.out, "assert o['name'] == "
					   "r'\\x1b]0;owned\\x07\\xff\\x0a\"' + '\\\\' * 2");
		run_free(&r);
	}
	close(fd);
	free(im.bytes);
}

/* A dead slot of a process that never lived: PID and start time are of no kin here. */
TEST(strange_peers)
{
	struct image im;
	struct run r;
	int fd;

	skip_without_tool();
	im = queue_image();
	header(&im)->peer_high = 3;
	for (int i = 1; i <= 3; i++)
		peer(&im, i)->state = KIPC_PEER_LIVE;
	peer(&im, 1)->pid = UINT32_MAX;
	peer(&im, 2)->pid = (uint32_t)getpid();
	peer(&im, 2)->start_time = 1;
	peer(&im, 3)->pid = 0;
	peer(&im, 3)->start_time = UINT64_MAX;
	memset(peer(&im, 3)->sleeping, 0xff, sizeof(peer(&im, 3)->sleeping));
	fd = plant(&im, SEALS);
	r = inspect("show", "-J", pid_target(getpid()));
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert [p['state'] for p in o['peers']] == ['dead'] * 3\n"
			   "assert [p['process'] for p in o['peers']] == "
			   "['unknown', 'other', 'unknown']\n"
			   "assert all(p['pid'] is None for p in o['peers'])");
	run_free(&r);
	close(fd);
	free(im.bytes);
}

/* Random damage everywhere, many segments at once. */
TEST_TIMEOUT(random_damage, 60)
{
	struct image (*const make[])(void) = { queue_image, pipe_image, array_image,
					       manager_image };
	enum { COPIES = 24 };
	unsigned int seed = 1;
	struct run r;
	int fds[COPIES];

	skip_without_tool();
	for (int kind = 0; kind < 4; kind++) {
		struct image im = make[kind](), bad = im;
		size_t reach = im.body + 4096 < im.size ? im.body + 4096 : im.size;

		bad.bytes = malloc(im.size);
		for (int i = 0; i < COPIES; i++) {
			FRESH();
			for (int n = 0; n < 1 + i; n++) {
				size_t at = (size_t)rand_r(&seed) % reach & ~7ULL;

				/* the table of peers is big and dull: the header or the body */
				if (at >= 1024 && at < im.body)
					at = im.body + at % (reach - im.body);
				if (at < 64)
					continue;	/* they would all end there */
				*(uint64_t *)(bad.bytes + at) =
					n % 3 ? 1ULL << rand_r(&seed) % 64 :
						(uint64_t)rand_r(&seed) << 33 | rand_r(&seed);
			}
			fds[i] = plant(&bad, SEALS);
		}
		r = inspect("list", "-J", pid_target(getpid()));
		EXPECT_TRUE(r.code == 0 || r.code == 3);
		EXPECT_JSON(r.out, "assert len(objects) == 24");
		run_free(&r);
		r = inspect("show", "-J", pid_target(getpid()));
		EXPECT_TRUE(r.code == 0 || r.code == 3);
		EXPECT_JSON(r.out, "assert len(objects) == 24");
		run_free(&r);
		for (int i = 0; i < COPIES; i++)
			close(fds[i]);
		free(im.bytes);
		free(bad.bytes);
	}
}

static int breathe(void *arg)
{
	int *fd = arg;

	for (;;) {
		if (ftruncate(*fd, 0) || ftruncate(*fd, 1 << 20))
			return 1;
	}
}

/* An unsealed file that shrinks and grows under our hands kills nobody. */
TEST(cut_short_meanwhile)
{
	struct image im;
	pid_t pid;
	int fd;

	skip_without_tool();
	im = queue_image();
	fd = plant(&im, 0);
	pid = ksft_fork(breathe, &fd);
	for (int i = 0; i < 10; i++) {
		struct run r = inspect(i % 2 ? "list" : "show", pid_target(getpid()));

		EXPECT_TRUE(r.code == 0 || r.code == 3);
		run_free(&r);
	}
	ksft_kill(pid);
	close(fd);
	free(im.bytes);
}

/* A huge sparse queue costs bounded time, and no memory. */
TEST_TIMEOUT(huge_and_sparse, 60)
{
	struct kipc_queue_shared *sh;
	struct stat before, after;
	struct image im;
	struct run r;
	int fd;

	skip_without_tool();
	im = queue_image();
	sh = body(&im);
	sh->capacity = KIPC_QUEUE_CAPACITY_MAX;
	sh->cell_size = 4096;
	sh->msg_size = 8;
	sh->cells_off = 1 << 20;
	sh->tail = sh->head = 0;
	header(&im)->max_size = 1ULL << 40;
	fd = plant(&im, 0);
	ASSERT_EQ(0, ftruncate(fd, 1LL << 40));
	ASSERT_EQ(0, fcntl(fd, F_ADD_SEALS, SEALS));
	ASSERT_EQ(0, fstat(fd, &before));
	r = inspect("show", "-J", pid_target(getpid()));
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['queue']['cells_examined'] == 1 << 18\n"
			   "assert o['summary']['depth'] == 0");
	run_free(&r);
	ASSERT_EQ(0, fstat(fd, &after));
	EXPECT_EQ(before.st_blocks, after.st_blocks);
	close(fd);
	free(im.bytes);
}

/* Not everything that is called so is ours, and not everything can be opened harmlessly. */
TEST(strangers)
{
	struct run r;
	int fd;

	skip_without_tool();
	fd = memfd_create("kipc:\x1b[31m", MFD_CLOEXEC);	/* can't be sealed */
	ASSERT_EQ(0, ftruncate(fd, 8192));
	ASSERT_EQ(1, pwrite(fd, "x", 1, 0));
	r = inspect("list", "-n", "-r", "-o", "KIND,STATE", pid_target(getpid()));
	EXPECT_EQ(3, r.code);
	EXPECT_STREQ("unknown damaged\n", r.out);
	run_free(&r);
	close(fd);
	fd = memfd_create("other", MFD_CLOEXEC);
	r = inspect("list", "-n", pid_target(getpid()));
	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("", r.out);
	run_free(&r);
	close(fd);
}

TEST_HARNESS_MAIN
