// SPDX-License-Identifier: MIT
/*
 * What is in shared memory, as bytes, and in an array, as numbers.
 *
 * An array is copied under its sequence lock, as readers do it; when writers don't let us, what was
 * read last is printed, and said not to be of one moment.  Memory that is written without the lock
 * looks quiet all the same.
 */
#include <inttypes.h>
#include <math.h>

#include <kipc/array.h>

#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/dump.h"
#include "tools/ipc-inspect/kind-shm.h"

#define TRIES	16

static bool quiet(struct view *v, uint64_t *seq)
{
	return !view_read(v, v->hdr.body_off + offsetof(struct kipc_shm_head, seq), seq,
			  sizeof(*seq)) &&
	       !(*seq & KIPC_SHM_SEQ_WRITING);
}

void shm_dump(const void *data, struct view *v, struct dump *d)
{
	const struct kipc_shm_head *h = &((const struct shm *)data)->head.shm;
	uint64_t before = 0, after = 0;
	bool whole = quiet(v, &before);

	dump_number(d, "data_bytes", h->size);
	dump_title(d, "%s", "");
	dump_range(d, v, h->data_off, h->size);
	whole &= quiet(v, &after) && before == after;
	dump_bool(d, "consistent", whole);
	if (!whole)
		dump_title(d, "written to meanwhile: not of one moment");
}

/* ---- arrays ---- */

/* Copies the data; whole: of one moment. */
static char *copy_data(struct view *v, const struct kipc_shm_head *h, bool *whole)
{
	uint64_t before, after;
	char *buf = NULL;

	*whole = false;
	for (int i = 0; i < TRIES && !*whole; i++) {
		*whole = quiet(v, &before);
		free(buf);
		buf = dump_read(v, h->data_off, h->size);
		if (!buf)
			break;
		*whole &= quiet(v, &after) && before == after;
	}
	return buf;
}

static double half(uint16_t h)
{
	int exponent = h >> 10 & 31;
	double m = h & 1023, sign = h >> 15 ? -1 : 1;

	if (exponent == 31)
		return m != 0 ? (double)NAN : sign * HUGE_VAL;
	return sign * (exponent ? ldexp(m + 1024, exponent - 25) : ldexp(m, -24));
}

#define LOAD(type) ({ type __x; memcpy(&__x, p, sizeof(__x)); __x; })

struct float_pair {
	float re, im;
};

struct double_pair {
	double re, im;
};

static void put_complex(double re, double im, bool single, bool json)
{
	if (json)
		putchar('[');
	dump_double(re, single, json);
	fputs(json ? ", " : signbit(im) ? "" : "+", stdout);
	dump_double(im, single, json);
	putchar(json ? ']' : 'j');
}

static void put_element(uint32_t dtype, const char *p, bool json)
{
	switch (dtype) {
	case KIPC_ARRAY_TYPE_BOOL:
		fputs(*p ? "true" : "false", stdout);
		break;
	case KIPC_ARRAY_TYPE_INT8:
		printf("%d", LOAD(int8_t));
		break;
	case KIPC_ARRAY_TYPE_UINT8:
		printf("%u", LOAD(uint8_t));
		break;
	case KIPC_ARRAY_TYPE_INT16:
		printf("%d", LOAD(int16_t));
		break;
	case KIPC_ARRAY_TYPE_UINT16:
		printf("%u", LOAD(uint16_t));
		break;
	case KIPC_ARRAY_TYPE_INT32:
		printf("%" PRId32, LOAD(int32_t));
		break;
	case KIPC_ARRAY_TYPE_UINT32:
		printf("%" PRIu32, LOAD(uint32_t));
		break;
	case KIPC_ARRAY_TYPE_INT64:
		printf("%" PRId64, LOAD(int64_t));
		break;
	case KIPC_ARRAY_TYPE_UINT64:
		printf("%" PRIu64, LOAD(uint64_t));
		break;
	case KIPC_ARRAY_TYPE_FLOAT16:
		dump_double(half(LOAD(uint16_t)), true, json);
		break;
	case KIPC_ARRAY_TYPE_FLOAT32:
		dump_double((double)LOAD(float), true, json);
		break;
	case KIPC_ARRAY_TYPE_FLOAT64:
		dump_double(LOAD(double), false, json);
		break;
	case KIPC_ARRAY_TYPE_COMPLEX64:
		put_complex((double)LOAD(struct float_pair).re, (double)LOAD(struct float_pair).im,
			    true, json);
		break;
	case KIPC_ARRAY_TYPE_COMPLEX128:
		put_complex(LOAD(struct double_pair).re, LOAD(struct double_pair).im, false, json);
		break;
	}
}

struct elements {
	const struct kipc_array_head *a;
	const char *data;
	uint64_t index[KIPC_ARRAY_DIMS];
};

/* All with the first `dim` indices given; every element is in the data: kind-shm.c. */
static void put_json(struct elements *e, uint32_t dim, const char *p)
{
	const struct kipc_array_head *a = e->a;

	if (dim == a->ndim) {
		put_element(a->dtype, p, true);
		return;
	}
	putchar('[');
	for (uint64_t i = 0; i < a->shape[dim]; i++) {
		fputs(i ? ", " : "", stdout);
		put_json(e, dim + 1, p + i * (uint64_t)a->strides[dim]);
	}
	putchar(']');
}

/* A line for each row of the last dimension, which begins with the indices of the others. */
static void put_text(struct elements *e, uint32_t dim, const char *p)
{
	const struct kipc_array_head *a = e->a;

	for (uint64_t i = 0; dim + 1 < a->ndim && i < a->shape[dim]; i++) {
		e->index[dim] = i;
		put_text(e, dim + 1, p + i * (uint64_t)a->strides[dim]);
	}
	if (dim + 1 < a->ndim)
		return;
	fputs("  [", stdout);
	for (uint32_t i = 0; i + 1 < a->ndim; i++)
		printf("%lu,", (unsigned long)e->index[i]);
	fputs(a->ndim ? "]" : "", stdout);
	for (uint64_t i = 0; a->ndim && i < a->shape[dim]; i++) {
		putchar(' ');
		put_element(a->dtype, p + i * (uint64_t)a->strides[dim], false);
	}
	if (!a->ndim) {
		fputs("] ", stdout);
		put_element(a->dtype, p, false);
	}
	putchar('\n');
}

void array_dump(const void *data, struct view *v, struct dump *d)
{
	const struct shm *s = data;
	struct elements e = { .a = &s->head };
	_cleanup_free_ char *buf = NULL;
	bool whole;

	if (d->format.raw || d->how || s->head.shm.size > DUMP_MAX) {
		shm_dump(data, v, d);
		return;
	}
	buf = copy_data(v, &s->head.shm, &whole);
	if (!buf) {
		view_problem(v, "array: its data can't be read");
		return;
	}
	e.data = buf;
	dump_word(d, "dtype", s->dtype);
	dump_bool(d, "consistent", whole);
	dump_title(d, "\n%s%s", s->label, whole ? "" : ", written to meanwhile: not of one moment");
	if (!d->format.json) {
		put_text(&e, 0, buf);
		return;
	}
	json_value(&d->json, "value", "");
	put_json(&e, 0, buf);
}
