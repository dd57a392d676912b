// SPDX-License-Identifier: MIT
/* Shared memory and arrays on a segment that is changed under them: their sequence lock above all. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <kipc/kipc.h>

#include "fuzz.h"
#include "use.h"

#define STEPS_MAX	150
#define SHM_SIZE	5000
#define ELEMENTS	60

struct state {
	struct fuzz_pair pair;
	int kind;
	uint64_t seq[2];
};

static void copy_step(struct fuzz_input *in, struct kipc_shm *m)
{
	uint64_t to = fuzz_number(in), from = fuzz_number(in), len = fuzz_number(in);
	bool good = to <= SHM_SIZE && from <= SHM_SIZE && len <= SHM_SIZE - to &&
		    len <= SHM_SIZE - from;

	fuzz_assert(kipc_shm_copy(m, to, m, from, len) == (good ? 0 : -ERANGE));
}

static void shm_step(struct state *s, struct fuzz_input *in, struct kipc_shm *m, int which)
{
	struct kipc_shm_stat st = { .sz = sizeof(st) };

	fuzz_assert(kipc_shm_size(m) == SHM_SIZE);
	switch (fuzz_u8(in) % 14) {
	case 13:
		copy_step(in, m);
		break;
	case 9:
		kipc_shm_lock_shared(m, fuzz_timeout(in));
		break;
	case 10:
		kipc_shm_lock_exclusive(m, fuzz_timeout(in));
		break;
	case 11 ... 12:
		kipc_shm_unlock(m);
		break;
	case 8:
		/* the image can't grow, whatever its words say now */
		fuzz_assert(kipc_shm_resize(m, SHM_SIZE + 1 + fuzz_u16(in)));
		break;
	case 0 ... 1:
		kipc_shm_read_begin(m, &s->seq[which], fuzz_timeout(in));
		break;
	case 2:
		kipc_shm_read_retry(m, s->seq[which]);
		break;
	case 3 ... 4:
		kipc_shm_write_begin(m, fuzz_timeout(in));
		break;
	case 5:
		kipc_shm_write_end(m);
		break;
	case 6:
		fuzz_assert(!kipc_shm_stat(m, &st));
		fuzz_assert(st.size == SHM_SIZE && st.peers <= st.max_peers);
		break;
	case 7:
		fuzz_touch(kipc_shm_addr(m), SHM_SIZE);
		break;
	}
}

/* A view of ours, or anything at all: whatever is let through stays inside the array. */
static void view_step(struct fuzz_input *in, struct kipc_array *a, struct kipc_array *other)
{
	static const uint64_t shape[] = { 6, KIPC_SHAPE_REST, 2 };
	struct kipc_view v, w, *either[2] = { &v, &w };
	struct kipc_range r[8];
	double buf[ELEMENTS], one = 1;
	int64_t index[8];
	int axes[8];

	fuzz_assert(!kipc_array_view(a, &v) && !kipc_array_view(other ? other : a, &w));
	for (int i = 0; i < 8; i++) {
		r[i].start = (int64_t)fuzz_number(in);
		r[i].stop = (int64_t)fuzz_number(in);
		r[i].step = (int64_t)fuzz_number(in);
		axes[i] = fuzz_u8(in) % 8 - 4;
		index[i] = (int64_t)fuzz_number(in);
	}
	for (int i = 0; i < 4 && fuzz_more(in); i++) {
		struct kipc_view *x = either[fuzz_u8(in) & 1];

		switch (fuzz_u8(in) % 8) {
		case 0:
			kipc_view_slice(x, r, x);
			break;
		case 1:
			kipc_view_transpose(x, axes, x);
			break;
		case 2:
			kipc_view_reshape(x, 1 + fuzz_u8(in) % 3, shape, x);
			break;
		case 3:
			kipc_view_index(x, axes[0], index[0], x);
			break;
		case 4:
			x->ndim = fuzz_u8(in) % 10;
			break;
		case 5:
			x->shape[fuzz_u8(in) % 8] = fuzz_number(in);
			break;
		case 6:
			x->strides[fuzz_u8(in) % 8] = (int64_t)(fuzz_number(in) * 8);
			break;
		case 7:
			x->data = (uint8_t *)x->data + (int8_t)fuzz_u8(in) * 8;
			break;
		}
		kipc_view_at(x, index);
		kipc_view_fill(x, &one);
		kipc_view_copy(&v, &w);
		if (kipc_view_size(x) <= ELEMENTS)
			kipc_view_read(x, buf, kipc_view_size(x) * sizeof(*buf));
	}
}

static void array_step(struct state *s, struct fuzz_input *in, struct kipc_array *a, int which)
{
	uint64_t index[3] = { fuzz_u8(in) % 4, fuzz_u8(in) % 5, fuzz_u8(in) % 6 };
	double buf[ELEMENTS], one = 1, *p;
	struct kipc_array *other = kipc_object_array(s->pair.obj[!which]);

	fuzz_assert(kipc_array_size(a) == ELEMENTS);
	switch (fuzz_u8(in) % 10) {
	case 8 ... 9:
		view_step(in, a, other);
		break;
	case 0:
		kipc_array_read_begin(a, &s->seq[which], fuzz_timeout(in));
		break;
	case 1:
		kipc_array_read_retry(a, s->seq[which]);
		break;
	case 2:
		kipc_array_write_begin(a, fuzz_timeout(in));
		break;
	case 3:
		kipc_array_write_end(a);
		break;
	case 4:
		p = kipc_array_at(a, index);
		fuzz_assert(!p == (index[0] > 2 || index[1] > 3 || index[2] > 4));
		if (p)
			*p = 1;
		break;
	case 5:
		fuzz_assert(!kipc_array_fill(a, &one));
		break;
	case 6:
		fuzz_assert(!kipc_array_read(a, buf, sizeof(buf)));
		fuzz_assert(!kipc_array_write(a, buf, sizeof(buf)));
		break;
	case 7:
		if (other)
			kipc_array_copy(a, other);
		break;
	}
}

static void step(struct state *s, struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in);
	int which = op >> 7;
	struct kipc_object *obj = s->pair.obj[which];

	op &= 127;
	if (op < 48)
		fuzz_patch(in, &s->pair.mem);
	else if (op < 110 && obj && s->kind == KIPC_SEG_SHM)
		shm_step(s, in, kipc_object_shm(obj), which);
	else if (op < 110 && obj)
		array_step(s, in, kipc_object_array(obj), which);
	else if (op < 114)
		fuzz_storm_begin(in, &s->pair.mem);
	else if (op < 115)
		fuzz_storm_end();
	else if (op < 120 && fuzz_pair_reopen(&s->pair, s->kind, which)) {
		/* its geometry may be another now: not for the steps */
		fuzz_use(s->pair.obj[which], in);
		kipc_object_close(s->pair.obj[which]);
		s->pair.obj[which] = NULL;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	struct state s = { .kind = fuzz_u8(&in) & 1 ? KIPC_SEG_ARRAY : KIPC_SEG_SHM };
	int fds;

	fuzz_image(s.kind);
	fds = fuzz_fds_begin();
	fuzz_pair_open(&s.pair, s.kind);
	for (int i = 0; i < STEPS_MAX && fuzz_more(&in); i++)
		step(&s, &in);
	fuzz_pair_close(&s.pair);
	fuzz_fds_end(fds);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *buf, size_t max)
{
	(void)max;
	return fuzz_seed_steps(i, buf, 1, 62);
}
