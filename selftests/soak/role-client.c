// SPDX-License-Identifier: MIT
/*
 * Clients of a manager: a list and a dict that all of them change, counters that three locks
 * protect, one of them that of shared memory, and objects that come and go.
 *
 *	list	elements have fates, as messages have (selftests/queue/fate.h).  What a client was
 *		killed with after it had popped it, and before it could write that down, may be
 *		missing
 *	dict	each key is written by one client, and read by all.  Its row says which value, or
 *		deletion, was stored last for certain, and which may have been: between the two a
 *		reader may see either.  Who takes a dead client's place stores each unsure key anew
 *	locks	two numbers that are equal whenever the lock is free and its last holder did not die,
 *		and while somebody shares it
 */
#include <errno.h>
#include <string.h>

#include "soak.h"

#define LIST_LEN	200	/* more or less */
#define VALUE_MAX	260	/* bytes of a dict's value */

static struct fates *elements(void)
{
	return soak_fates(soak->list_fates);
}

static uint32_t client_of(const struct soak_worker *w)
{
	return w->nr - SOAK_CLIENT_0;
}

/* ---- list ---- */

/* Every other element is a number, every other one is longer than a slot. */
static struct kipc_value element(uint32_t number, uint64_t buf[8])
{
	if (number & 1)
		return kipc_int(number);
	for (int i = 0; i < 8; i++)
		buf[i] = number;
	return kipc_bytes(buf, 8 * sizeof(*buf));
}

/* Which one it is; UINT32_MAX: none that we made.  Ends the value. */
static uint32_t number_of(struct kipc_value *v)
{
	uint64_t buf[8], number = UINT32_MAX;

	if (v->type == KIPC_INT && (v->i & 1)) {
		number = (uint64_t)v->i;
	} else if (v->type == KIPC_BYTES && v->len == sizeof(buf)) {
		memcpy(buf, v->data, sizeof(buf));
		number = buf[0];
		for (int i = 0; i < 8; i++)
			if (buf[i] != number || (number & 1))
				number = UINT32_MAX;
	}
	kipc_value_clear(v);
	if (number >= elements()->n || !load_acquire(&elements()->of[number].tried)) {
		soak_wrong(SOAK_LIST, "an element that nobody made");
		return UINT32_MAX;
	}
	return (uint32_t)number;
}

static void popped(struct kipc_value *v)
{
	uint32_t number = number_of(v);

	if (number != UINT32_MAX && fetch_add(&elements()->of[number].got, 1))
		soak_wrong(SOAK_LIST, "element %u was there twice", number);
}

static int list_add(struct soak_worker *w, int64_t len)
{
	uint32_t n = below(&w->seed, 4) ? 1 : 3, number[3];
	struct kipc_value v[3];
	uint64_t buf[3][8];
	int r;

	for (uint32_t i = 0; i < n; i++) {
		if (!fate_begin(elements(), &number[i]))
			return 0;
		v[i] = element(number[i], buf[i]);
	}
	if (n > 1)
		r = kipc_list_extend(handles.list, v, n);
	else if (below(&w->seed, 2))
		r = kipc_list_append(handles.list, v[0]);
	else
		r = kipc_list_insert(handles.list, below(&w->seed, (uint32_t)len + 1), v[0]);
	for (uint32_t i = 0; !r && i < n; i++)
		fate_put(elements(), number[i]);
	return r;
}

static int list_pop(struct soak_worker *w, int64_t len)
{
	int64_t index = below(&w->seed, 3) ? below(&w->seed, 2) - 1 :
					     below(&w->seed, (uint32_t)len);
	struct kipc_value v;
	int r;

	store_release(&w->place->uncertain, 1);
	r = kipc_list_pop(handles.list, index, &v);
	if (!r)
		popped(&v);
	store_release(&w->place->uncertain, 0);
	return r == -ERANGE ? 0 : r;
}

static int list_turn(struct soak_worker *w)
{
	int64_t len = kipc_list_len(handles.list);
	struct kipc_value v;
	int r;

	w->place->count.list_ops++;
	if (len < 0)
		return (int)len;
	if (below(&w->seed, 2 * LIST_LEN) >= (uint64_t)len)
		return list_add(w, len);
	if (below(&w->seed, 8))
		return list_pop(w, len);
	r = kipc_list_get(handles.list, below(&w->seed, (uint32_t)len), &v);
	if (!r)
		number_of(&v);
	return r == -ERANGE ? 0 : r;
}

/* ---- dict ---- */

struct stored {
	uint64_t number;
	uint32_t client, key;
};

#define STORED(word)	((word) >> 1)	/* the number of a row's word */
#define DELETED(word)	((word) & 1)

/* What the key holds after that: a number, or 0. */
static uint64_t left_by(uint64_t word)
{
	return DELETED(word) ? 0 : STORED(word);
}

/* Whatever the key is, it says whose value it is; some are longer than others. */
static int store(uint32_t client, uint32_t key, uint64_t number)
{
	struct stored s = { number, client, key };
	char buf[VALUE_MAX];
	size_t len = sizeof(s) + number % (VALUE_MAX - sizeof(s));

	memset(buf, (int)number, sizeof(buf));
	memcpy(buf, &s, sizeof(s));
	return kipc_dict_set(handles.dict, kipc_int(client * SOAK_KEYS + key),
			     kipc_bytes(buf, len));
}

/* The number of the value that is there, 0: none; negative: an error. */
static int64_t stored(uint32_t client, uint32_t key)
{
	struct stored s = { 0 };
	struct kipc_value v;
	int r = kipc_dict_get(handles.dict, kipc_int(client * SOAK_KEYS + key), &v);
	bool good;

	if (r)
		return r == -ENOENT ? 0 : r;
	if (v.type == KIPC_BYTES && v.len >= sizeof(s))
		memcpy(&s, v.data, sizeof(s));
	good = s.number && s.client == client && s.key == key &&
	       v.len == sizeof(s) + s.number % (VALUE_MAX - sizeof(s));
	for (size_t i = sizeof(s); good && i < v.len; i++)
		good = ((const uint8_t *)v.data)[i] == (uint8_t)s.number;
	kipc_value_clear(&v);
	if (!good)
		soak_wrong(SOAK_DICT, "client %u, key %u: a value that nobody stored", client, key);
	return good ? (int64_t)s.number : -EBADMSG;
}

/* Only the client itself; nobody else changes its rows. */
static int dict_write(uint32_t client, uint32_t key, bool del)
{
	struct soak_row *row = &soak->row[client][key];
	uint64_t to = (STORED(row->intent) + 1) << 1 | del;
	int r;

	store_release(&row->intent, to);
	r = del ? kipc_dict_del(handles.dict, kipc_int(client * SOAK_KEYS + key)) :
		  store(client, key, STORED(to));
	if (r && !(del && r == -ENOENT))
		return r;
	store_release(&row->done, to);
	return 0;
}

/* What is read must be what was certain before, or what was begun until after, or in between. */
static int dict_read(uint32_t client, uint32_t key)
{
	struct soak_row *row = &soak->row[client][key];
	uint64_t before = load_acquire(&row->done), after;
	int64_t n = stored(client, key);
	bool good;

	after = load_acquire(&row->intent);
	if (n < 0)
		return n == -EBADMSG ? 0 : (int)n;
	if (!n)
		good = before != after || DELETED(before) || !before;
	else
		good = (uint64_t)n >= STORED(before) + DELETED(before) &&
		       (uint64_t)n <= STORED(after);
	if (!good)
		soak_wrong(SOAK_DICT, "client %u, key %u: read %lu; stored %lu%s, tried %lu%s",
			   client, key, (unsigned long)n, (unsigned long)STORED(before),
			   DELETED(before) ? " (deleted)" : "", (unsigned long)STORED(after),
			   DELETED(after) ? " (deleted)" : "");
	return 0;
}

static int dict_turn(struct soak_worker *w)
{
	uint32_t key = below(&w->seed, SOAK_KEYS);

	w->place->count.dict_ops++;
	if (below(&w->seed, 2))
		return dict_read(below(&w->seed, SOAK_CLIENTS), key);
	return dict_write(client_of(w), key, !below(&w->seed, 3));
}

/* ---- locks ---- */

/* An rlock may be taken again by its holder, who is told the news once. */
static int acquire_twice(void)
{
	int r = kipc_rlock_acquire(handles.rlock, KIPC_FOREVER), again;

	if (r && r != -EOWNERDEAD)
		return r;
	again = kipc_rlock_acquire(handles.rlock, KIPC_NOWAIT);
	if (again)
		return again == -EOWNERDEAD ? -EBADMSG : again;
	return r;
}

static int acquire(int which)
{
	switch (which) {
	case SOAK_LOCK_PLAIN:
		return kipc_lock_acquire(handles.lock, KIPC_FOREVER);
	case SOAK_LOCK_RECURSIVE:
		return acquire_twice();
	}
	return kipc_shm_lock_exclusive(handles.shm, KIPC_FOREVER);
}

static int release(int which)
{
	int r;

	switch (which) {
	case SOAK_LOCK_PLAIN:
		return kipc_lock_release(handles.lock);
	case SOAK_LOCK_RECURSIVE:
		r = kipc_rlock_release(handles.rlock);
		return r ? r : kipc_rlock_release(handles.rlock);
	}
	return kipc_shm_unlock(handles.shm);
}

/* Held: makes good what a dead holder left, or sees that there was none. */
static void look_after(struct soak_worker *w, struct soak_counter *c, int which, bool died)
{
	uint64_t a = load_relaxed(&c->a), b = load_relaxed(&c->b);
	uint32_t inside = load_relaxed(&c->inside);

	if (died) {
		w->place->count.takeovers++;
		if (a != b && a != b + 1)
			soak_wrong(SOAK_LOCK, "lock %d: the dead one left %lu and %lu", which,
				   (unsigned long)a, (unsigned long)b);
		store_relaxed(&c->b, a);
	} else if (inside) {
		soak_wrong(SOAK_LOCK, "lock %d: place %u is inside as well", which, inside - 1);
	} else if (a != b) {
		soak_wrong(SOAK_LOCK, "lock %d: %lu and %lu, and nobody died", which,
			   (unsigned long)a, (unsigned long)b);
	}
}

static int lock_turn(struct soak_worker *w, int which)
{
	struct soak_counter *c = &soak->counter[which];
	uint32_t me = client_of(w);
	int r;

	w->place->count.lock_ops++;
	r = acquire(which);
	if (r && r != -EOWNERDEAD)
		return r;
	look_after(w, c, which, r == -EOWNERDEAD);
	store_release(&c->inside, w->nr + 1);
	store_release(&c->intent[me], c->done[me] + 1);
	store_release(&c->a, load_relaxed(&c->a) + 1);
	/* now and then it is killed here */
	if (!below(&w->seed, 64))
		soak_nap_us(below(&w->seed, 500));
	store_release(&c->b, load_relaxed(&c->b) + 1);
	store_release(&c->done[me], c->intent[me]);
	if (load_relaxed(&c->inside) != w->nr + 1)
		soak_wrong(SOAK_LOCK, "lock %d: somebody else came in", which);
	store_release(&c->inside, 0);
	return release(which);
}

/* Shared: nobody is inside, and all is whole, unless a death is told. */
static int share_turn(struct soak_worker *w)
{
	struct soak_counter *c = &soak->counter[SOAK_LOCK_SHM];
	int r = kipc_shm_lock_shared(handles.shm, KIPC_FOREVER);

	w->place->count.lock_ops++;
	if (r && r != -EOWNERDEAD)
		return r;
	/* now and then it is killed here */
	if (!below(&w->seed, 64))
		soak_nap_us(below(&w->seed, 500));
	if (!r && (load_acquire(&c->inside) || load_relaxed(&c->a) != load_relaxed(&c->b)))
		soak_wrong(SOAK_LOCK, "shared lock: place %d is inside; %lu and %lu",
			   (int)c->inside - 1, (unsigned long)c->a, (unsigned long)c->b);
	return kipc_shm_unlock(handles.shm);
}

/* ---- objects that come and go ---- */

static int churn(struct soak_worker *w)
{
	struct kipc_value key = kipc_int(-1 - (int64_t)client_of(w)), v;
	struct kipc_list *l;
	int r;

	w->place->count.dict_ops++;
	if (below(&w->seed, 2)) {
		r = kipc_list_create(handles.manager, NULL, &l);
		if (r)
			return r;
		r = kipc_list_append(l, kipc_str("an element that does not fit into its slot"));
		if (!r)
			r = kipc_dict_set(handles.dict, key, kipc_ref(kipc_list_handle(l)));
		kipc_list_unref(l);
		return r;
	}
	r = below(&w->seed, 2) ? kipc_dict_pop(handles.dict, key, &v) :
				 kipc_dict_get(handles.dict, key, &v);
	if (r)
		return r == -ENOENT ? 0 : r;
	r = kipc_list_from(&v, &l);
	if (r)
		return r;
	r = kipc_list_get(l, 0, &v);
	if (!r)
		kipc_value_clear(&v);
	kipc_list_unref(l);
	return r;
}

/* ---- a client ---- */

static int turn(struct soak_worker *w)
{
	switch (below(&w->seed, 10)) {
	case 0:
	case 1:
	case 2:
		soak_begin(w, CALL_LIST);
		return list_turn(w);
	case 3:
	case 4:
		soak_begin(w, CALL_DICT);
		return dict_turn(w);
	case 5:
		soak_begin(w, CALL_LOCK);
		return lock_turn(w, SOAK_LOCK_PLAIN);
	case 6:
		soak_begin(w, CALL_RLOCK);
		return lock_turn(w, SOAK_LOCK_RECURSIVE);
	case 7:
	case 8:
		soak_begin(w, CALL_SHM_LOCK);
		return below(&w->seed, 2) ? lock_turn(w, SOAK_LOCK_SHM) : share_turn(w);
	}
	soak_begin(w, CALL_CHURN);
	return churn(w);
}

/* What a key may hold when its writer has died: what one of the writes left that did not end. */
static bool may_be_left(const struct soak_row *row, uint64_t n)
{
	/* several, if the next one died as well while it stored the key anew */
	if (STORED(row->intent) - STORED(row->done) > 1)
		return !n || (n >= STORED(row->done) + DELETED(row->done) && n <= STORED(row->intent));
	return n == left_by(row->intent) || n == left_by(row->done);
}

/*
 * What the one before it may have done: a key is unsure only until it is stored anew; a step of a
 * counter stays unsure until the next checkpoint counts.
 */
static int begin(struct soak_worker *w)
{
	uint32_t me = client_of(w);
	int64_t n;
	int r = 0;

	for (int which = 0; which < SOAK_LOCKS; which++) {
		struct soak_counter *c = &soak->counter[which];

		if (c->intent[me] != c->done[me]) {
			c->unsure[me]++;
			store_release(&c->intent[me], c->done[me]);
		}
	}
	for (uint32_t key = 0; key < SOAK_KEYS && !r; key++) {
		struct soak_row *row = &soak->row[me][key];

		if (row->intent == row->done)
			continue;
		n = stored(me, key);
		if (n >= 0 && !may_be_left(row, (uint64_t)n))
			soak_wrong(SOAK_DICT,
				   "client %u, key %u: found %lu after a death; stored %lx, tried %lx",
				   me, key, (unsigned long)n, (unsigned long)row->done,
				   (unsigned long)row->intent);
		r = n < 0 ? (int)n : dict_write(me, key, false);
	}
	return r;
}

int serve(struct soak_worker *w)
{
	int r = begin(w);

	while (!r) {
		soak_pause(w);
		r = turn(w);
		soak_end(w);
	}
	return soak_failed(w, "a call of a client", r);
}

/* ---- checkpoint ---- */

static void count_list(void)
{
	struct fates *f = elements();
	struct fate_sum sum;
	struct kipc_value v;
	int r;

	while (!(r = kipc_list_pop(handles.list, 0, &v)))
		popped(&v);
	if (r != -ERANGE || kipc_list_len(handles.list))
		soak_wrong(SOAK_LIST, "emptying it: %s", kipc_strerror(r));
	sum = fates_sum(f);
	sums.elements += sum.put;
	if (sum.lost > sums.uncertain_elements)
		soak_wrong(SOAK_LIST, "%lu elements lost, not %lu at most; first %u",
			   (unsigned long)sum.lost, (unsigned long)sums.uncertain_elements,
			   sum.first_lost);
	memset(f->of, 0, min_of(f->next, f->n) * sizeof(f->of[0]));
	f->next = 0;
	sums.uncertain_elements = 0;
}

static void count_dict(void)
{
	int64_t keys = 0, refs = 0;

	for (uint32_t client = 0; client < SOAK_CLIENTS; client++) {
		for (uint32_t key = 0; key < SOAK_KEYS; key++) {
			const struct soak_row *row = &soak->row[client][key];
			uint64_t want = left_by(row->done);
			int64_t n = stored(client, key);

			keys += n > 0;
			if ((uint64_t)n != want)
				soak_wrong(SOAK_DICT, "client %u, key %u: holds %ld, not %lu",
					   client, key, (long)n, (unsigned long)want);
		}
		refs += kipc_dict_contains(handles.dict, kipc_int(-1 - (int64_t)client)) == 1;
	}
	if (kipc_dict_len(handles.dict) != keys + refs)
		soak_wrong(SOAK_DICT, "%ld keys, and a length of %ld", (long)(keys + refs),
			   (long)kipc_dict_len(handles.dict));
}

static void count_steps(int which)
{
	struct soak_counter *c = &soak->counter[which];
	uint64_t done = 0, unsure = 0;

	for (int i = 0; i < SOAK_CLIENTS; i++) {
		done += c->done[i];
		unsure += c->unsure[i];
		c->unsure[i] = 0;
	}
	if (c->a < done || c->a > done + unsure)
		soak_wrong(SOAK_LOCK, "lock %d: counted %lu, made %lu and at most %lu more", which,
			   (unsigned long)c->a, (unsigned long)done, (unsigned long)unsure);
	/* those that were made after all are the first client's from now on */
	c->done[0] += c->a - done;
	c->intent[0] = c->done[0];
}

void manager_count(void)
{
	count_list();
	count_dict();
	for (int which = 0; which < SOAK_LOCKS; which++)
		count_steps(which);
}
