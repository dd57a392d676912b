// SPDX-License-Identifier: MIT
/*
 * KIPC_FDS as text: see env.h.
 *
 * A parser of one pass, without memory of its own: each function takes the place where it stands
 * and moves it on, or says no.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "kipc/export.h"
#include "names/env.h"

#define KEY_MAX		63
#define DIGITS_MAX	21	/* of 64 bits, with what stands before them */
/* "1 ", a key and "=", a kind, arguments, an inode, descriptors, NUL */
#define ENTRY_MAX                                                                                  \
	(2 + KEY_MAX + 1 + (2 + KIPC_HANDOVER_ARGS + KIPC_HANDOVER_FDS_MAX) * DIGITS_MAX + 1)

_Static_assert(KIPC_FDS_VERSION == 1, "the version is written out below");
_Static_assert(sizeof(KIPC_FDS_ENV "=") + ENTRY_MAX <= KIPC_EXPORT_STRING, "what is promised");

/* 0..max, in decimal. */
static bool number(const char **p, uint64_t max, uint64_t *n)
{
	const char *s = *p;

	*n = 0;
	for (; *s >= '0' && *s <= '9'; s++) {
		uint64_t digit = (uint64_t)(*s - '0');

		if (*n > (max - digit) / 10)
			return false;
		*n = *n * 10 + digit;
	}
	if (s == *p || (**p == '0' && s != *p + 1))
		return false;
	*p = s;
	return true;
}

static bool is(const char **p, char c)
{
	if (**p != c)
		return false;
	++*p;
	return true;
}

static size_t key_length(const char *s)
{
	return strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
}

/* kind *( "," arg ) ":" inode ":" fd *( "," fd ) */
static bool description(const char **p, struct kipc_env_entry *e)
{
	uint64_t n;

	memset(e, 0, sizeof(*e));
	e->msg.magic = KIPC_HANDOVER_MAGIC;
	e->msg.version = KIPC_HANDOVER_VERSION;
	if (!number(p, UINT16_MAX, &n))
		return false;
	e->msg.kind = (uint16_t)n;
	for (int i = 0; is(p, ','); i++) {
		if (i == KIPC_HANDOVER_ARGS || !number(p, UINT64_MAX, &n))
			return false;
		e->msg.args[i] = n;
	}
	if (!is(p, ':') || !number(p, UINT64_MAX, &e->inode) || !is(p, ':'))
		return false;
	do {
		if (e->msg.nfds == KIPC_HANDOVER_FDS_MAX || !number(p, INT_MAX, &n) ||
		    n < KIPC_FDS_MIN)
			return false;
		e->fds[e->msg.nfds++] = (int)n;
	} while (is(p, ','));
	return true;
}

int __kipc_env_find(const char *value, const char *key, struct kipc_env_entry *e)
{
	struct kipc_env_entry here;
	const char *p = value;
	bool found = false;
	uint64_t version;

	if (!number(&p, UINT64_MAX, &version) || (*p && *p != ' '))
		return -EPROTO;
	if (version != KIPC_FDS_VERSION)
		return -EPROTONOSUPPORT;
	while (*p) {
		size_t begin = (size_t)(p - value), len;
		bool this;

		if (!is(&p, ' '))
			return -EPROTO;
		len = key_length(p);
		if (!len || len > KEY_MAX)
			return -EPROTO;
		this = len == strlen(key) && !memcmp(p, key, len);
		p += len;
		if (!is(&p, '=') || !description(&p, &here) || (this && found))
			return -EPROTO;
		if (!this)
			continue;
		found = true;
		here.begin = begin;
		here.end = (size_t)(p - value);
		*e = here;
	}
	return found ? 0 : -ENOENT;
}

int __kipc_env_add(char *value, size_t size, const char *key, const struct kipc_env_entry *e)
{
	int nargs = KIPC_HANDOVER_ARGS, n, r;
	struct kipc_env_entry old;
	size_t len = strlen(value);
	char text[ENTRY_MAX];

	r = len ? __kipc_env_find(value, key, &old) : -ENOENT;
	if (r != -ENOENT)
		return r ? r : -EEXIST;
	while (nargs && !e->msg.args[nargs - 1])
		nargs--;
	n = snprintf(text, sizeof(text), "%s %s=%u", len ? "" : "1", key, e->msg.kind);
	for (int i = 0; i < nargs; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ",%" PRIu64,
			      (uint64_t)e->msg.args[i]);
	n += snprintf(text + n, sizeof(text) - (size_t)n, ":%" PRIu64, e->inode);
	for (uint32_t i = 0; i < e->msg.nfds; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%c%d", i ? ',' : ':', e->fds[i]);
	if ((size_t)n >= size - len)
		return -ENOSPC;
	memcpy(value + len, text, (size_t)n + 1);
	return 0;
}

void __kipc_env_remove(char *value, const struct kipc_env_entry *e)
{
	memmove(value + e->begin, value + e->end, strlen(value + e->end) + 1);
	if (!strchr(value, ' '))
		*value = '\0';	/* the version alone */
}
