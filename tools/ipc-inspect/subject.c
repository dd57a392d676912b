// SPDX-License-Identifier: MIT
/* Opening and judging objects: see subject.h. */
#include "tools/ipc-inspect/subject.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "tools/common/text.h"
#include "tools/common/xalloc.h"

const struct kind *kind_of(unsigned int number)
{
	static const struct kind *const kinds[] = {
		&kind_queue, &kind_pipe, &kind_shm, &kind_array, &kind_manager,
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i]->kind == number)
			return kinds[i];
	return NULL;
}

static void judge(struct subject *s, bool deep)
{
	switch (s->view.verdict) {
	case VIEW_UNFINISHED:
		s->sum.states |= STATE_UNFINISHED;
		return;
	case VIEW_FOREIGN:
		s->sum.states |= STATE_FOREIGN;
		return;
	case VIEW_DAMAGED:
		s->sum.states |= STATE_DAMAGED;
		return;
	case VIEW_GOOD:
		break;
	}
	peers_read(&s->view, &s->peers);
	if (s->peers.dead)
		s->sum.states |= STATE_DEAD_OWNER;
	/*
	 * What has a name lives by it (of an image only the name is known that it was given); what
	 * can't be written, by readers, who are no peers.
	 */
	if (!s->peers.alive && !(s->view.image ? s->view.hdr.name[0] : s->object->named) &&
	    (s->view.seals < 0 || !(s->view.seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))))
		s->sum.states |= STATE_ORPHAN;
	if (deep && !s->view.image)
		peers_identify(&s->peers, &s->object->holders);
	s->kind = kind_of(s->view.hdr.kind);
	s->data = s->kind ? s->kind->load(&s->view, deep) : NULL;
	if (s->data)
		s->kind->summary(s->data, &s->sum);
	else
		s->kind = NULL;
	if (s->view.nproblems)
		s->sum.states |= STATE_DAMAGED;
}

/* Any of what it is held by will do, as long as it is still that object's. */
static int open_held(struct subject *s)
{
	const struct object *object = s->object;
	bool refused = false;

	for (size_t i = 0; i < object->holders.n; i++) {
		int r;

		s->via = object->holders.handle[i];
		r = view_open(&s->view, &s->via, object->dev, object->ino);
		refused |= r == -EACCES || r == -EPERM;
		if (!r)
			return 0;
	}
	if (object->kept >= 0) {
		s->via = (struct handle){ .pid = getpid(), .fd = object->kept };
		return view_open(&s->view, &s->via, object->dev, object->ino);
	}
	if (object->holders.n)
		s->via = object->holders.handle[0];
	return refused ? -EACCES : -ENOENT;
}

int subject_open(struct subject *s, const struct object *object, bool deep)
{
	int r;

	memset(s, 0, sizeof(*s));
	s->object = object;
	s->sum.depth = s->sum.capacity = ABSENT;
	r = object->path ? view_open_image(&s->view, object->path) : open_held(s);
	if (!r) {
		s->opened = true;
		judge(s, deep);
		return 0;
	}
	if (object->path || r != -EACCES)
		return r;
	s->sum.states |= STATE_NO_ACCESS;
	return 0;
}

void subject_close(struct subject *s)
{
	if (s->data)
		s->kind->free(s->data);
	free(s->sum.shape);
	peers_free(&s->peers);
	if (s->opened)
		view_close(&s->view);
}

const char *subject_kind(const struct subject *s)
{
	const char *name = NULL;

	if (s->opened && s->view.have_header && s->view.hdr.magic == KIPC_SEG_MAGIC)
		name = view_kind_name(s->view.hdr.kind);
	for (unsigned int i = 0; !name && i <= KIPC_SEG_MANAGER; i++) {
		const char *known = view_kind_name(i);

		if (known && !strncmp(s->object->label, "kipc:", 5) &&
		    !strcmp(s->object->label + 5, known))
			name = known;
	}
	return name ? name : "unknown";
}

char *subject_text(const struct subject *s)
{
	char handle[HANDLE_TEXT];

	if (s->object->path)
		return text_safe(s->object->path, strlen(s->object->path));
	/* our own descriptor is nothing to go by */
	if (!s->object->holders.n && subject_name(s))
		return text_safe(subject_name(s), strlen(subject_name(s)));
	return xstrdup(handle_text(&s->via, handle));
}

const char *subject_name(const struct subject *s)
{
	bool header = s->opened &&
		      (s->view.verdict == VIEW_GOOD || s->view.verdict == VIEW_FOREIGN);

	/* of another version it may not even end */
	return header && *s->view.hdr.name && !s->view.hdr.name[KIPC_NAME_MAX] ?
		       s->view.hdr.name :
		       NULL;
}

char *state_names(unsigned int states, const char *sep)
{
	static const char *const names[STATES] = {
		"damaged", "dead owner", "torn", "shutdown",
		"full", "orphan", "unfinished", "other version", "no access",
	};
	char *text = NULL;

	for (unsigned int i = 0; i < STATES; i++)
		if (states & 1u << i)
			text = text_join(text, sep, "%s", names[i]);
	return text ? text : xstrdup("ok");
}

char *holder_names(const struct holders *h, const char *sep)
{
	char *text = NULL;

	for (size_t i = 0; i < h->n; i++)
		if (!i || h->handle[i].pid != h->handle[i - 1].pid)
			text = text_join(text, sep, "%d", h->handle[i].pid);
	return text;
}
