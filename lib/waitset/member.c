// SPDX-License-Identifier: MIT
/* The table of members, their ids and tokens, and what is looked at: see waitset.h. */
#include <stdlib.h>
#include <string.h>

#include "waitset/waitset.h"

static int grow_places(struct kipc_waitset *ws)
{
	uint32_t n = ws->nplaces ? 2 * ws->nplaces : 64;
	struct place *places;

	if (n > INDEX_MASK + 1)
		return -ENOSPC;
	places = realloc(ws->places, n * sizeof(*places));
	if (!places)
		return -ENOMEM;
	for (uint32_t i = n - 1; i >= max_of(ws->nplaces, 1u); i--) {
		places[i] = (struct place){ .next_free = ws->first_free };
		ws->first_free = i;
	}
	places[0] = (struct place){ 0 };
	ws->places = places;
	ws->nplaces = n;
	return 0;
}

struct member *__kipc_waitset_new_member(struct kipc_waitset *ws)
{
	struct member *m;
	uint32_t index;

	if (!ws->first_free && grow_places(ws))
		return NULL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	for (int i = 0; i < WATCHES; i++)
		m->watch[i].src.fd = -1;
	index = ws->first_free;
	ws->first_free = ws->places[index].next_free;
	ws->places[index].member = m;
	m->id = (int64_t)(++ws->last_number << INDEX_BITS | index);
	return m;
}

void __kipc_waitset_free_member(struct kipc_waitset *ws, struct member *m)
{
	uint32_t index = index_of(m);

	for (int i = 0; i < WATCHES; i++)
		__kipc_waitset_drop_watch(ws, m, &m->watch[i]);
	if (m->is_hot) {
		TAILQ_REMOVE(&ws->hot, m, hot);
		ws->nhot--;
	}
	if (m->is_unarmed)
		TAILQ_REMOVE(&ws->unarmed, m, unarmed);
	ws->places[index] = (struct place){ .next_free = ws->first_free };
	ws->first_free = index;
	free(m);
}

static struct member *member_at(struct kipc_waitset *ws, uint32_t index)
{
	return index < ws->nplaces ? ws->places[index].member : NULL;
}

struct member *__kipc_waitset_find(struct kipc_waitset *ws, int64_t id)
{
	struct member *m = member_at(ws, (uint32_t)id & INDEX_MASK);

	return m && m->id == id ? m : NULL;
}

uint64_t __kipc_waitset_token(struct kipc_waitset *ws, struct member *m, struct watch *w)
{
	uint64_t which = (uint64_t)(w - m->watch);

	return ++ws->last_number << NUMBER_SHIFT | which << INDEX_BITS | index_of(m);
}

struct watch *__kipc_waitset_watch(struct kipc_waitset *ws, uint64_t token, struct member **mp)
{
	uint32_t which = (token >> INDEX_BITS) & ((1u << WATCH_BITS) - 1);
	struct member *m = member_at(ws, token & INDEX_MASK);

	if (!m || which >= WATCHES || m->watch[which].token != token)
		return NULL;
	*mp = m;
	return &m->watch[which];
}

/* Each descriptor stands in the epoll instance once, so it is in the set once. */
static int claim_fd(struct kipc_waitset *ws, struct member *m, int fd)
{
	uint32_t n = ws->nby_fd, *by_fd;

	if ((uint32_t)fd >= n) {
		n = max_of((uint32_t)fd + 1, 2 * n);
		by_fd = realloc(ws->by_fd, n * sizeof(*by_fd));
		if (!by_fd)
			return -ENOMEM;
		memset(by_fd + ws->nby_fd, 0, (n - ws->nby_fd) * sizeof(*by_fd));
		ws->by_fd = by_fd;
		ws->nby_fd = n;
	}
	if (ws->by_fd[fd])
		return -EEXIST;
	ws->by_fd[fd] = index_of(m);
	return 0;
}

int __kipc_waitset_add_watch(struct kipc_waitset *ws, struct member *m, struct watch *w,
			     uint32_t event)
{
	int r;

	w->event = event;
	r = m->kind->open(m, w);
	if (!r)
		r = claim_fd(ws, m, w->src.fd);
	if (!r && !m->done)
		r = __kipc_waitset_arm(ws, m, w);
	return r;
}

void __kipc_waitset_drop_watch(struct kipc_waitset *ws, struct member *m, struct watch *w)
{
	int fd = w->src.fd;

	if (w->token)
		__kipc_waitset_disarm(ws, m, w);
	/* not when it is another's: adding it failed for that */
	if (fd >= 0 && (uint32_t)fd < ws->nby_fd && ws->by_fd[fd] == index_of(m))
		ws->by_fd[fd] = 0;
	if (fd >= 0 && m->kind->close)
		m->kind->close(m, w);
	*w = (struct watch){ .src.fd = -1 };
}

int __kipc_waitset_add_watches(struct kipc_waitset *ws, struct member *m)
{
	uint32_t events = m->events | m->kind->always;
	int r = 0;

	if (!is_object(m))
		return __kipc_waitset_add_watch(ws, m, &m->watch[0], KIPC_READABLE);
	for (uint32_t event = 1; event <= KIPC_WAITSET_HANGUP && !r; event <<= 1)
		if (events & event)
			r = __kipc_waitset_add_watch(ws, m, watch_of(m, event), event);
	return r;
}

void __kipc_waitset_heat(struct kipc_waitset *ws, struct member *m, struct watch *w)
{
	w->seen = __kipc_source_seen(&w->src);	/* after the event */
	w->hot = true;
	if (m->is_hot)
		return;
	m->is_hot = true;
	TAILQ_INSERT_TAIL(&ws->hot, m, hot);
	ws->nhot++;
}

void __kipc_waitset_queue_unarmed(struct kipc_waitset *ws, struct member *m)
{
	if (m->is_unarmed)
		return;
	m->is_unarmed = true;
	TAILQ_INSERT_TAIL(&ws->unarmed, m, unarmed);
}

void __kipc_waitset_describe(const struct member *m, struct kipc_waitset_event *ev)
{
	*ev = (struct kipc_waitset_event){
		.id = m->id,
		.data = m->data,
		.kind = m->kind->number,
	};
	/* each handle begins with its struct kipc_object */
	if (is_object(m))
		ev->object = m->of.object;
}
