// SPDX-License-Identifier: MIT
/* See use.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kipc/kipc.h>

#include "use.h"

#define COPY_MAX	(1 << 20)

static void use_queue(struct kipc_queue *q, struct fuzz_input *in)
{
	struct kipc_queue_stat st = { .sz = sizeof(st) };
	static uint8_t buf[5000];
	struct kipc_msg msg;

	for (int i = 0; i < 8; i++)
		kipc_queue_get(q, buf, fuzz_u16(in) % sizeof(buf), fuzz_timeout(in));
	for (int i = 0; i < 4; i++)
		kipc_queue_put(q, buf, fuzz_u16(in) % sizeof(buf), fuzz_timeout(in));
	if (!kipc_queue_take(q, &msg, KIPC_NOWAIT)) {
		fuzz_touch(msg.data, msg.len);
		kipc_queue_requeue(q, &msg);
	}
	if (!kipc_queue_reserve(q, fuzz_u16(in), &msg, KIPC_NOWAIT)) {
		memset(msg.data, 1, msg.len);
		kipc_queue_commit(q, &msg);
	}
	kipc_queue_fd(q, KIPC_READABLE);
	kipc_queue_join(q, fuzz_timeout(in));
	kipc_queue_stat(q, &st);
	kipc_queue_shutdown(q);
}

static void use_pipe(struct kipc_pipe *p, struct fuzz_input *in)
{
	struct kipc_pipe_stat st = { .sz = sizeof(st) };
	static uint8_t buf[5000];
	struct kipc_pipe_msg msg;
	int fd;

	for (int i = 0; i < 8; i++)
		kipc_pipe_recv(p, buf, fuzz_u16(in) % sizeof(buf), fuzz_timeout(in));
	for (int i = 0; i < 4; i++)
		kipc_pipe_send(p, buf, fuzz_u16(in) % sizeof(buf), fuzz_timeout(in));
	if (!kipc_pipe_peek(p, &msg, KIPC_NOWAIT)) {
		fuzz_touch(msg.data, msg.len);
		kipc_pipe_release(p, &msg);
	}
	if (!kipc_pipe_reserve(p, fuzz_u16(in), &msg, KIPC_NOWAIT)) {
		memset(msg.data, 1, msg.len);
		kipc_pipe_commit(p, &msg);
	}
	kipc_pipe_poll(p, fuzz_timeout(in));
	if (!kipc_pipe_recv_fd(p, &fd, KIPC_NOWAIT))
		close(fd);
	kipc_pipe_fd(p, KIPC_READABLE);
	kipc_pipe_stat(p, &st);
	kipc_pipe_shutdown(p);
}

static void use_shm(struct kipc_shm *s, struct fuzz_input *in)
{
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	uint64_t seq;

	fuzz_touch(kipc_shm_addr(s), kipc_shm_size(s));
	for (int i = 0; i < 3; i++)
		if (!kipc_shm_read_begin(s, &seq, fuzz_timeout(in)))
			kipc_shm_read_retry(s, seq);
	switch (kipc_shm_write_begin(s, fuzz_timeout(in))) {
	case 0:
	case -EOWNERDEAD:
		memset(kipc_shm_addr(s), 1, kipc_shm_size(s));
		kipc_shm_write_end(s);
	}
	if (!kipc_shm_lock_shared(s, fuzz_timeout(in)))
		kipc_shm_unlock(s);
	if (!kipc_shm_lock_exclusive(s, fuzz_timeout(in)))
		kipc_shm_unlock(s);
	fuzz_assert(!kipc_shm_stat(s, &st));
	kipc_shm_resize(s, (size_t)min_of(st.max_size, 1ULL << 20));
	if (fuzz_u8(in) % 4)
		return;
	kipc_shm_seal(s, fuzz_u8(in) % 16);
	kipc_shm_resize(s, (size_t)min_of(st.max_size, 1ULL << 20));
	fuzz_touch(kipc_shm_addr(s), kipc_shm_size(s));
}

static void use_array(struct kipc_array *a, struct fuzz_input *in)
{
	static const uint8_t item[16] = { 1 };
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	size_t n = kipc_array_nbytes(a);
	uint64_t index[8], seq;
	void *buf, *p;

	fuzz_assert(kipc_array_ndim(a) <= 8 && kipc_array_itemsize(a) <= 16);
	for (int i = 0; i < 8; i++)
		index[i] = fuzz_number(in);
	p = kipc_array_at(a, index);
	fuzz_assert(!kipc_array_stat(a, &st));
	if (p && !st.readonly)
		memset(p, 1, kipc_array_itemsize(a));
	if (!kipc_array_read_begin(a, &seq, fuzz_timeout(in)))
		kipc_array_read_retry(a, seq);
	if (!kipc_array_write_begin(a, fuzz_timeout(in)))
		kipc_array_write_end(a);
	if (n > COPY_MAX)
		return;		/* one that overlaps itself by its strides may say more than it has */
	buf = malloc(n ? n : 1);
	fuzz_assert(buf);
	kipc_array_fill(a, item);
	kipc_array_read(a, buf, n);
	kipc_array_write(a, buf, n);
	kipc_array_copy(a, a);
	free(buf);
}

static void use_manager(struct kipc_manager *m, struct fuzz_input *in)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	struct kipc_value v;
	struct kipc_list *l;
	struct kipc_dict *d;
	struct kipc_lock *k;

	if (!kipc_list_open(m, "l", &l)) {
		for (int i = 0; i < 4; i++)
			if (!kipc_list_get(l, (int64_t)fuzz_number(in), &v))
				kipc_value_clear(&v);
		kipc_list_append(l, kipc_str("a text that is too long for a slot"));
		if (!kipc_list_pop(l, 0, &v))
			kipc_value_clear(&v);
		kipc_list_sort(l);
		kipc_list_unref(l);
	}
	if (!kipc_dict_open(m, "d", &d)) {
		for (int i = 0; i < 4; i++)
			if (!kipc_dict_get(d, kipc_int(fuzz_u8(in) % 64), &v))
				kipc_value_clear(&v);
		kipc_dict_set(d, kipc_int(fuzz_u8(in)), kipc_int(1));
		kipc_dict_del(d, kipc_int(fuzz_u8(in) % 64));
		kipc_dict_unref(d);
	}
	if (!kipc_lock_open(m, "k", &k)) {
		kipc_lock_acquire(k, fuzz_timeout(in));
		kipc_lock_unref(k);
	}
	if (!kipc_dict_create(m, "new", &d)) {
		kipc_dict_set(d, kipc_str("key"), kipc_int(1));
		kipc_dict_unref(d);
	}
	kipc_manager_remove(m, "l");
	kipc_manager_stat(m, &st);
}

void fuzz_use(struct kipc_object *obj, struct fuzz_input *in)
{
	switch (kipc_object_kind(obj)) {
	case KIPC_KIND_QUEUE:
		use_queue(kipc_object_queue(obj), in);
		break;
	case KIPC_KIND_PIPE:
		use_pipe(kipc_object_pipe(obj), in);
		break;
	case KIPC_KIND_SHM:
		use_shm(kipc_object_shm(obj), in);
		break;
	case KIPC_KIND_ARRAY:
		use_array(kipc_object_array(obj), in);
		break;
	case KIPC_KIND_MANAGER:
		use_manager(kipc_object_manager(obj), in);
		break;
	}
}
