// SPDX-License-Identifier: MIT
/*
 * What reads a list, without its guard as long as that works.
 *
 * An optimistic try reads the sequence, looks, and asks whether the sequence is still the same.
 * Until then nothing seen is believed but for being inside the segment: chunks may have been freed
 * and be anything by now.  After KIPC_LIST_TRIES in vain the guard is taken; what is found damaged
 * without it is looked at again as well, for a writer may have been at work.  Who can only read
 * takes no guard, but looks again and again (readonly.h).
 */
#include <stdlib.h>

#include "manager/list.h"
#include "manager/readonly.h"

struct read {
	struct kipc_list *l;
	struct kipc_guard *g;
	uint64_t seq;
	int tries;
	bool locked;
	/* who can only read: */
	int64_t deadline;
	bool damaged;		/* what the last look saw made no sense */
};

static __always_inline int read_begin(struct read *rd, struct kipc_list *l)
{
	*rd = (struct read){ .l = l, .g = __kipc_list_guard(l) };
	return __kipc_handle_enter_read(&l->h);
}

/* What a reader does instead of taking the guard. */
static __cold int read_again(struct read *rd)
{
	int r;

	do {
		if (!__kipc_handle_alive(&rd->l->h))
			return -ENOENT;
		r = __kipc_readonly_nap(&rd->deadline);
		if (r)
			return rd->damaged ? -EPROTO : r;
		rd->seq = __kipc_guard_read_begin(rd->g);
	} while (rd->seq & 1);
	return 0;
}

/*
 * Before each try: 0, or why the guard can't be had.  The last try of an unlucky one is under the
 * guard.
 */
static int read_try(struct read *rd)
{
	int r;

	if (rd->tries++ < KIPC_LIST_TRIES) {
		rd->seq = __kipc_guard_read_begin(rd->g);
		if (likely(!(rd->seq & 1)))
			return 0;
		while (rd->tries++ < KIPC_LIST_TRIES) {
			for (int i = 0; i < 16; i++)
				cpu_relax();
			rd->seq = __kipc_guard_read_begin(rd->g);
			if (!(rd->seq & 1))
				return 0;
		}
	}
	if (unlikely(__kipc_readonly(rd->l->h.m)))
		return read_again(rd);
	r = __kipc_list_lock(rd->l);
	if (r)
		return r;
	rd->locked = true;
	return 0;
}

/* After each try: whether what was read holds, and so does the verdict on it. */
static bool read_valid(struct read *rd)
{
	return rd->locked || likely(!__kipc_guard_read_retry(rd->g, rd->seq) &&
				    __kipc_handle_alive(&rd->l->h));
}

static void read_end(struct read *rd)
{
	if (unlikely(rd->locked))
		__kipc_list_unlock(rd->l);
	rd->locked = false;
}

/* An error of a try that damage explains, and a writer at work as well. */
static bool doubtful(struct read *rd, int64_t r)
{
	rd->damaged = (r == -EPROTO || r == -ENOENT) && !rd->locked;
	return rd->damaged;
}

static __always_inline uint64_t read_len(struct read *rd)
{
	/* pairs with: commit_len() */
	return min_of(load_acquire(&rd->g->data[KIPC_LIST_LEN]), __kipc_list_len_max(rd->l->h.m));
}

int64_t kipc_list_len(struct kipc_list *l)
{
	struct read rd;
	int64_t n;
	int r;

	if (!l)
		return -EINVAL;
	r = read_begin(&rd, l);
	if (r)
		return r;
	n = (int64_t)read_len(&rd);
	return __kipc_handle_alive(&l->h) ? n : -ENOENT;
}

/* Reads one element; -ERANGE, or what __kipc_slot_read() says. */
static __racy int read_raw(struct read *rd, int64_t index, struct kipc_raw *raw)
{
	struct kipc_slot *p;
	uint64_t at;

	if (!__kipc_list_resolve(index, read_len(rd), &at))
		return -ERANGE;
	p = __kipc_list_slot(rd->l->h.m, rd->g, at);
	return likely(p) ? __kipc_slot_read(rd->l->h.m, p, raw) : -EPROTO;
}

int kipc_list_get(struct kipc_list *l, int64_t index, struct kipc_value *v)
{
	struct kipc_raw raw;
	struct read rd;
	int r;

	if (!l || !v)
		return -EINVAL;
	r = read_begin(&rd, l);
	if (unlikely(r))
		return r;
	for (;;) {
		r = read_try(&rd);
		if (unlikely(r))
			return r;
		r = read_raw(&rd, index, &raw);
		if (unlikely(!read_valid(&rd))) {
			if (!r)
				__kipc_raw_drop(&raw);
			continue;
		}
		if (likely(!r))
			r = __kipc_raw_value(l->h.m, &raw, v);
		if (unlikely(doubtful(&rd, r)))
			continue;
		break;
	}
	read_end(&rd);
	return r == -ENOENT ? -EPROTO : r;	/* under the guard, a ref's object is there */
}

/* One try: the first match in [from, to), or with `all` the number of matches; -ENOENT, -EPROTO. */
static __racy int64_t scan(struct read *rd, const struct kipc_value *v, int64_t start,
			   int64_t stop, bool all)
{
	struct kipc_manager *m = rd->l->h.m;
	int64_t len = (int64_t)read_len(rd), found = 0;
	int64_t i = __kipc_list_bound(start, len, 0, len);
	int64_t end = __kipc_list_bound(stop, len, 0, len);

	for (; i < end; i++) {
		struct kipc_slot *p = __kipc_list_slot(m, rd->g, (uint64_t)i);
		int equal = likely(p) ? __kipc_slot_equal(m, p, v) : -EPROTO;

		if (equal < 0)
			return equal;
		if (equal && !all)
			return i;
		found += equal;
		/* a writer was here: what comes is for nothing */
		if (!((i + 1) & (KIPC_LIST_CHUNK - 1)) && !read_valid(rd))
			return -EPROTO;
	}
	return all ? found : -ENOENT;
}

static int64_t search(struct kipc_list *l, const struct kipc_value *v, int64_t start, int64_t stop,
		      bool all)
{
	struct read rd;
	int64_t n;
	int r;

	if (!l)
		return -EINVAL;
	r = __kipc_value_check(l->h.m, v);
	if (!r)
		r = read_begin(&rd, l);
	if (r)
		return r;
	do {
		r = read_try(&rd);
		if (r)
			return r;
		n = scan(&rd, v, start, stop, all);
	} while (!read_valid(&rd) || (n == -EPROTO && doubtful(&rd, n)));
	read_end(&rd);
	return n;
}

int64_t kipc_list_index(struct kipc_list *l, struct kipc_value v, int64_t start, int64_t stop)
{
	return search(l, &v, start, stop, false);
}

int64_t kipc_list_count(struct kipc_list *l, struct kipc_value v)
{
	return search(l, &v, 0, INT64_MAX, true);
}

struct slice {
	int64_t start, stop, step;
	uint64_t max;		/* of them wanted */
	uint64_t n;		/* of the list in the slice */
	uint64_t have, room;	/* of raws */
	struct kipc_raw *raws;
};

static void drop_raws(struct slice *s)
{
	for (uint64_t i = 0; i < s->have; i++)
		__kipc_raw_drop(&s->raws[i]);
	s->have = 0;
}

/* One try: the number of elements and copies of the first max of them. */
static __racy int slice_try(struct read *rd, struct slice *s)
{
	struct kipc_manager *m = rd->l->h.m;
	int64_t len = (int64_t)read_len(rd);
	int64_t lo = s->step < 0 ? -1 : 0, hi = s->step < 0 ? len - 1 : len;
	int64_t from = __kipc_list_bound(s->start, len, lo, hi);
	int64_t to = __kipc_list_bound(s->stop, len, lo, hi);
	uint64_t gap = s->step < 0 ? (uint64_t)(from > to ? from - to : 0) :
				     (uint64_t)(to > from ? to - from : 0);
	uint64_t stride = s->step < 0 ? -(uint64_t)s->step : (uint64_t)s->step;
	uint64_t want;

	s->n = gap ? (gap - 1) / stride + 1 : 0;
	want = min_of(s->n, s->max);
	if (want > s->room) {
		struct kipc_raw *raws = reallocarray(s->raws, want, sizeof(*raws));

		if (!raws)
			return -ENOMEM;
		s->raws = raws;
		s->room = want;
	}
	s->have = 0;
	while (s->have < want) {
		uint64_t at = (uint64_t)from + s->have * (uint64_t)s->step;
		struct kipc_slot *p = __kipc_list_slot(m, rd->g, at);
		int r = likely(p) ? __kipc_slot_read(m, p, &s->raws[s->have]) : -EPROTO;

		if (r)
			return r;
		s->have++;	/* ours to drop, whatever comes */
		/* a writer was here: what comes is for nothing */
		if (!(s->have & (KIPC_LIST_CHUNK - 1)) && !read_valid(rd))
			return -EPROTO;
	}
	return 0;
}

/*
 * Makes values of all copies, each in its place of v; the copies are used up.  On error nothing is
 * left in v.
 */
static int make_values(struct kipc_manager *m, struct slice *s, struct kipc_value *v)
{
	int r = 0;

	for (uint64_t i = 0; i < s->have; i++) {
		if (!r)
			r = __kipc_raw_value(m, &s->raws[i], &v[i]);
		else
			__kipc_raw_drop(&s->raws[i]);
		if (r)
			v[i] = kipc_none();
	}
	for (uint64_t i = 0; r && i < s->have; i++)
		kipc_value_clear(&v[i]);
	s->have = 0;
	return r;
}

/*
 * The slice at one moment.  *out is where the values go; if it is NULL, an array of s->n is made
 * for them once their number is known.
 */
static int snapshot(struct kipc_list *l, struct slice *s, struct kipc_value **out)
{
	struct kipc_value *made = NULL;
	struct read rd;
	int r;

	r = read_begin(&rd, l);
	if (r)
		return r;
	for (;;) {
		r = read_try(&rd);
		if (r)
			break;
		r = slice_try(&rd, s);
		if (!read_valid(&rd)) {
			drop_raws(s);
			continue;
		}
		if (!r && !*out && s->have) {
			made = calloc(s->have, sizeof(*made));
			r = made ? 0 : -ENOMEM;
		}
		if (r)
			drop_raws(s);
		else
			r = make_values(l->h.m, s, *out ? *out : made);
		if (!doubtful(&rd, r)) {
			r = r == -ENOENT ? -EPROTO : r;	/* as in kipc_list_get() */
			break;
		}
		free(made);
		made = NULL;
	}
	read_end(&rd);
	free(s->raws);
	s->raws = NULL;
	if (r) {
		free(made);
		return r;
	}
	if (!*out)
		*out = made;
	return 0;
}

int64_t kipc_list_slice(struct kipc_list *l, int64_t start, int64_t stop, int64_t step,
			struct kipc_value *v, size_t max)
{
	struct slice s = { .start = start, .stop = stop, .step = step, .max = max };
	int r;

	if (!l || !step || (!v && max))
		return -EINVAL;
	r = snapshot(l, &s, &v);
	return r ? r : (int64_t)s.n;
}

int kipc_list_foreach(struct kipc_list *l,
		      int (*fn)(int64_t index, struct kipc_value *v, void *arg), void *arg)
{
	struct slice s = { .start = 0, .stop = INT64_MAX, .step = 1, .max = UINT64_MAX };
	struct kipc_value *v = NULL;
	int r;

	if (!l || !fn)
		return -EINVAL;
	r = snapshot(l, &s, &v);
	if (r)
		return r;
	for (uint64_t i = 0; i < s.n; i++) {
		if (!r)
			r = fn((int64_t)i, &v[i], arg);
		kipc_value_clear(&v[i]);
	}
	free(v);
	return r;
}
