// SPDX-License-Identifier: MIT
/* Valid objects to damage, and handles on damaged ones: see fuzz.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kipc/kipc.h>

#include "fuzz.h"
#include "world.h"

#define KINDS 6

/* ---- small objects with something in them ---- */

static struct kipc_object *make_queue(void)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 5, .msg_size = 300, .max_peers = 6);
	struct kipc_queue *q;
	uint8_t buf[300] = { 1, 2, 3 };
	struct kipc_msg msg;

	fuzz_assert(!kipc_queue_create(NULL, &opts, &q));
	for (int i = 0; i < 7; i++) {
		fuzz_assert(!kipc_queue_put(q, buf, (size_t)i * 50, KIPC_NOWAIT));
		if (i < 3)
			fuzz_assert(kipc_queue_get(q, buf, sizeof(buf), KIPC_NOWAIT) == i * 50);
	}
	fuzz_assert(!kipc_queue_take(q, &msg, KIPC_NOWAIT));
	return kipc_queue_object(q);
}

static struct kipc_object *make_pipe(void)
{
	KIPC_OPTS(kipc_pipe_opts, opts, .ring_size = 4096);
	struct kipc_pipe *ends[2];
	uint8_t buf[100] = { 1, 2, 3 };

	fuzz_assert(!kipc_pipe_create(&opts, ends));
	for (size_t i = 0; i < 4; i++) {
		fuzz_assert(!kipc_pipe_send(ends[0], buf, i * 25, KIPC_NOWAIT));
		fuzz_assert(!kipc_pipe_send(ends[1], buf, i * 30, KIPC_NOWAIT));
	}
	return kipc_pipe_object(ends[0]);	/* the other end stays: this is done once */
}

static struct kipc_object *make_shm(void)
{
	KIPC_OPTS(kipc_shm_opts, opts, .max_peers = 6);
	struct kipc_shm *s;

	fuzz_assert(!kipc_shm_create(NULL, 5000, &opts, &s));
	return kipc_shm_object(s);
}

static struct kipc_object *make_array(void)
{
	static const uint64_t shape[] = { 3, 4, 5 };
	KIPC_OPTS(kipc_array_opts, opts, .max_peers = 6);
	struct kipc_array *a;

	fuzz_assert(!kipc_array_create(NULL, KIPC_FLOAT64, 3, shape, &opts, &a));
	return kipc_array_object(a);
}

static struct kipc_object *make_manager(void)
{
	KIPC_OPTS(kipc_manager_opts, opts, .max_peers = 6, .size = 12 << 16, .max_size = 20 << 16);
	static const char text[] = "a string that is too long for a slot";
	struct kipc_manager *m;
	struct kipc_list *l, *inner;
	struct kipc_dict *d;
	struct kipc_lock *k;
	struct kipc_rlock *r;

	fuzz_assert(!kipc_manager_create(NULL, &opts, &m));
	fuzz_assert(!kipc_list_create(m, "l", &l));
	fuzz_assert(!kipc_list_create(m, NULL, &inner));
	fuzz_assert(!kipc_dict_create(m, "d", &d));
	fuzz_assert(!kipc_lock_create(m, "k", &k));
	fuzz_assert(!kipc_rlock_create(m, "r", &r));
	for (int i = 0; i < 40; i++) {
		fuzz_assert(!kipc_list_append(l, i % 3 ? kipc_int(i) : kipc_str(text)));
		fuzz_assert(!kipc_dict_set(d, kipc_int(i), i % 5 ? kipc_double(i) :
								   kipc_bytes(text, 20)));
	}
	fuzz_assert(!kipc_list_append(inner, kipc_str(text)));
	fuzz_assert(!kipc_list_append(l, kipc_ref(kipc_list_handle(inner))));
	fuzz_assert(!kipc_dict_set(d, kipc_str(text), kipc_ref(kipc_list_handle(l))));
	fuzz_assert(!kipc_dict_set(d, kipc_str("short"), kipc_none()));
	fuzz_assert(!kipc_lock_acquire(k, KIPC_NOWAIT));
	fuzz_assert(!kipc_rlock_acquire(r, KIPC_NOWAIT));
	return kipc_manager_object(m);
}

const struct fuzz_image *fuzz_image(int kind)
{
	static struct fuzz_image images[KINDS];
	static struct kipc_object *(*const make[KINDS])(void) = {
		[KIPC_SEG_QUEUE] = make_queue,	   [KIPC_SEG_PIPE] = make_pipe,
		[KIPC_SEG_SHM] = make_shm,	   [KIPC_SEG_ARRAY] = make_array,
		[KIPC_SEG_MANAGER] = make_manager,
	};
	struct fuzz_image *img = &images[kind];
	struct kipc_object *obj;

	if (img->bytes)
		return img;
	/* as it is when its process is killed: the copy is what the dead one's segment would be */
	obj = make[kind]();
	img->size = obj->seg.size;
	img->body_off = obj->seg.body_off;
	img->bytes = malloc(img->size);
	fuzz_assert(img->bytes);
	memcpy(img->bytes, obj->seg.base, img->size);
	/* the handles inside of a manager keep it: once a run, a few hundred kilobytes */
	kipc_object_close(obj);
	return img;
}

/* ---- segments made of bytes ---- */

int fuzz_seals(int kind)
{
	return kind == KIPC_SEG_MANAGER ? F_SEAL_SHRINK : F_SEAL_SHRINK | F_SEAL_GROW;
}

int fuzz_memfd(const void *bytes, uint64_t size, int seals)
{
	static const uint8_t zeroes[4096];
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	fuzz_assert(fd >= 0);
	fuzz_assert(!ftruncate(fd, (off_t)size));
	/* most of an arena is empty, and stays a hole */
	for (uint64_t off = 0; off < size; off += sizeof(zeroes)) {
		size_t n = min_of(size - off, sizeof(zeroes));

		if (memcmp((const uint8_t *)bytes + off, zeroes, n))
			fuzz_assert(pwrite(fd, (const uint8_t *)bytes + off, n, (off_t)off) ==
				    (ssize_t)n);
	}
	if (seals)
		fuzz_assert(!fcntl(fd, F_ADD_SEALS, seals));
	return fd;
}

void fuzz_company_open(struct fuzz_company *c)
{
	for (int i = 0; i < 4; i++) {
		c->bells[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		fuzz_assert(c->bells[i] >= 0);
	}
	fuzz_assert(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, c->sock));
	fuzz_world_peer(c->sock[0]);
}

void fuzz_company_close(struct fuzz_company *c)
{
	for (int i = 0; i < 4; i++)
		close(c->bells[i]);
	close(c->sock[0]);
	close(c->sock[1]);
}

static const struct kipc_object_ops *const kinds[KINDS] = {
	[KIPC_SEG_QUEUE] = &__kipc_queue_object,     [KIPC_SEG_PIPE] = &__kipc_pipe_object,
	[KIPC_SEG_SHM] = &__kipc_shm_object,	     [KIPC_SEG_ARRAY] = &__kipc_array_object,
	[KIPC_SEG_MANAGER] = &__kipc_manager_object,
};

int fuzz_import(int kind, int fd, const struct fuzz_company *c, uint64_t arg,
		struct kipc_object **out)
{
	struct kipc_transfer t = { .nfds = kinds[kind]->nfds };
	int r;

	t.args[0] = kinds[kind]->nargs ? arg : 0;
	for (uint32_t i = 0; i < t.nfds; i++) {
		int from = i == 0 ? fd : i < 5 ? c->bells[i - 1] : c->sock[arg & 1];

		t.fds[i] = fcntl(from, F_DUPFD_CLOEXEC, 3);
		fuzz_assert(t.fds[i] >= 0);
	}
	r = kinds[kind]->import(&t, out);
	if (!r) {
		fuzz_live(&(*out)->seg);
		return 0;
	}
	fuzz_assert(r < 0);
	for (uint32_t i = 0; i < t.nfds; i++)
		close(t.fds[i]);
	return r;
}

void fuzz_live(struct kipc_segment *seg)
{
	fuzz_world_live(seg->slot);
}

/* ---- pairs ---- */

void fuzz_pair_open(struct fuzz_pair *p, int kind)
{
	const struct fuzz_image *img = fuzz_image(kind);

	fuzz_company_open(&p->company);
	p->fd = fuzz_memfd(img->bytes, img->size, fuzz_seals(kind));
	p->mem.size = img->size;
	p->mem.body_off = img->body_off;
	p->mem.cursor = img->body_off;
	p->mem.base = mmap(NULL, img->size, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	fuzz_assert(p->mem.base != MAP_FAILED);
	for (int i = 0; i < 2; i++) {
		p->obj[i] = NULL;
		fuzz_assert(fuzz_pair_reopen(p, kind, i));
	}
}

bool fuzz_pair_reopen(struct fuzz_pair *p, int kind, int i)
{
	kipc_object_close(p->obj[i]);
	p->obj[i] = NULL;
	return !fuzz_import(kind, p->fd, &p->company, (uint64_t)i, &p->obj[i]);
}

void fuzz_pair_close(struct fuzz_pair *p)
{
	fuzz_storm_end();
	for (int i = 0; i < 2; i++)
		kipc_object_close(p->obj[i]);
	munmap(p->mem.base, p->mem.size);
	close(p->fd);
	fuzz_company_close(&p->company);
}
