// SPDX-License-Identifier: MIT
/* Adding, changing and removing members. */
#include "kipc/pipe.h"
#include "kipc/queue.h"
#include "waitset/kernel.h"

/* A queue doesn't hang up: without events it would be a member for nothing. */
static bool allowed(const struct member_kind *kind, uint32_t events)
{
	return !(events & ~kind->can) && (events || kind->always || kind->take);
}

/* As described by *like. */
static int64_t add(struct kipc_waitset *ws, const struct member *like)
{
	struct member *m;
	int64_t r;

	if (!allowed(like->kind, like->events))
		return -EINVAL;
	r = __kipc_waitset_enter(ws);
	if (r)
		return r;
	m = __kipc_waitset_new_member(ws);
	if (!m) {
		r = -ENOMEM;
		goto out_leave;
	}
	m->kind = like->kind;
	m->data = like->data;
	m->events = like->events;
	m->of = like->of;
	r = __kipc_waitset_add_watches(ws, m);
	if (r)
		__kipc_waitset_free_member(ws, m);
	else
		r = m->id;
out_leave:
	leave(ws);
	return r;
}

KIPC_API int64_t kipc_waitset_add_queue(struct kipc_waitset *ws, struct kipc_queue *q,
					uint32_t events, void *data)
{
	struct member like = {
		.kind = &__kipc_waitset_queue,
		.data = data,
		.events = events,
		.of.object = kipc_queue_object(q),
	};

	return q ? add(ws, &like) : -EINVAL;
}

KIPC_API int64_t kipc_waitset_add_pipe(struct kipc_waitset *ws, struct kipc_pipe *p,
				       uint32_t events, void *data)
{
	struct member like = {
		.kind = &__kipc_waitset_pipe,
		.data = data,
		.events = events,
		.of.object = kipc_pipe_object(p),
	};

	return p ? add(ws, &like) : -EINVAL;
}

KIPC_API int64_t kipc_waitset_add_listener(struct kipc_waitset *ws, struct kipc_pipe_listener *l,
					   void *data)
{
	struct member like = {
		.kind = &__kipc_waitset_listener,
		.data = data,
		.of.listener = l,
	};

	return l ? add(ws, &like) : -EINVAL;
}

KIPC_API int64_t kipc_waitset_add_fd(struct kipc_waitset *ws, int fd, uint32_t events, void *data)
{
	struct member like = {
		.kind = &__kipc_waitset_plain,
		.data = data,
		.events = events,
		.of.fd = fd,
	};

	return fd >= 0 ? add(ws, &like) : -EBADF;
}

KIPC_API int64_t kipc_waitset_add_timer(struct kipc_waitset *ws, int64_t first_ns,
					int64_t interval_ns, void *data)
{
	struct member like = { .kind = &__kipc_waitset_timer, .data = data };
	int r = __kipc_waitset_timer_spec(first_ns, interval_ns, &like.of.timer);

	return r ? r : add(ws, &like);
}

KIPC_API int64_t kipc_waitset_add_signal(struct kipc_waitset *ws, const sigset_t *signals,
					 void *data)
{
	struct member like = { .kind = &__kipc_waitset_signal, .data = data };

	if (!signals)
		return -EINVAL;
	like.of.signals = *signals;
	return add(ws, &like);
}

KIPC_API int64_t kipc_waitset_add_child(struct kipc_waitset *ws, pid_t pid, void *data)
{
	struct member like = { .kind = &__kipc_waitset_child, .data = data, .of.pid = pid };

	return pid > 0 ? add(ws, &like) : -EINVAL;
}

/* Enters and finds, or -ENOENT. */
static int find(struct kipc_waitset *ws, int64_t id, struct member **m)
{
	int r = __kipc_waitset_enter(ws);

	if (r)
		return r;
	*m = __kipc_waitset_find(ws, id);
	if (*m)
		return 0;
	leave(ws);
	return -ENOENT;
}

KIPC_API int kipc_waitset_set_timer(struct kipc_waitset *ws, int64_t id, int64_t first_ns,
				    int64_t interval_ns)
{
	struct itimerspec its;
	struct member *m;
	int r = __kipc_waitset_timer_spec(first_ns, interval_ns, &its);

	if (!r)
		r = find(ws, id, &m);
	if (r)
		return r;
	if (m->kind == &__kipc_waitset_timer) {
		m->of.timer = its;
		r = __kipc_waitset_start_timer(m);
	} else {
		r = -EINVAL;
	}
	leave(ws);
	return r;
}

/* First what may fail; then what is wanted no more goes. */
static int change_object(struct kipc_waitset *ws, struct member *m, uint32_t events)
{
	int r = 0;

	for (uint32_t event = KIPC_READABLE; event <= KIPC_WRITABLE && !r; event <<= 1) {
		struct watch *w = watch_of(m, event);

		if (!(events & event) || w->event)
			continue;
		r = __kipc_waitset_add_watch(ws, m, w, event);
		if (r)
			events = m->events;	/* as it was */
	}
	for (uint32_t event = KIPC_READABLE; event <= KIPC_WRITABLE; event <<= 1)
		if (!(events & event))
			__kipc_waitset_drop_watch(ws, m, watch_of(m, event));
	m->events = events;
	return r;
}

static int change_plain(struct kipc_waitset *ws, struct member *m, uint32_t events)
{
	uint32_t poll = __kipc_waitset_poll_events(events);
	int r = __kipc_waitset_epoll_change(ws, m->of.fd, poll, m->watch[0].token);

	if (r)
		return r;
	m->events = events;
	m->poll = poll;
	return 0;
}

KIPC_API int kipc_waitset_modify(struct kipc_waitset *ws, int64_t id, uint32_t events)
{
	struct member *m;
	int r = find(ws, id, &m);

	if (r)
		return r;
	if (!m->kind->can || !allowed(m->kind, events))
		r = -EINVAL;
	else if (is_object(m))
		r = change_object(ws, m, events);
	else
		r = change_plain(ws, m, events);
	leave(ws);
	return r;
}

KIPC_API int kipc_waitset_remove(struct kipc_waitset *ws, int64_t id)
{
	struct member *m;
	int r = find(ws, id, &m);

	if (r)
		return r;
	__kipc_waitset_free_member(ws, m);
	leave(ws);
	return 0;
}
