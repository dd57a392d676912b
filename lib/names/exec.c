// SPDX-License-Identifier: MIT
/*
 * Objects over exec, in KIPC_FDS: see kipc/export.h for what is promised.
 *
 * Two sides, which may be in one process.  What this process exported is in a list of its own: only
 * that is closed by unexport, whatever the environment says.  What it imports comes from the
 * environment, which may be anybody's, so nothing that is named there is taken, or changed, unless
 *
 *	- it is inheritable: every descriptor of the library's is close-on-exec, but for exports.
 *	  So an entry that is older than the process (its descriptors were closed by exec, their
 *	  numbers used again), or that was imported before, never leads to a handle's descriptors;
 *	- the first one is the very memfd that the entry means, by its inode;
 *	- all of them are what the object's kind needs (kipc_import()).
 *
 * What a death leaves: nothing.  Descriptors are the kernel's to close, and nothing of this is in
 * shared memory until an import attaches.
 *
 * Not thread-safe, as the environment isn't.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/compiler.h"
#include "core/opts.h"
#include "core/sys.h"
#include "kipc/export.h"
#include "names/env.h"
#include "names/export.h"
#include "names/message.h"

/* Of those that programs inherit: shell scripts like to use 3 to 9 for something else. */
#define FIRST_FD	10

#define PREFIX		KIPC_FDS_ENV "="
#define PREFIX_LEN	(sizeof(PREFIX) - 1)

/* What kipc_export_env() made, until it is taken back. */
struct exported {
	struct exported *next;
	char key[64];
	uint32_t nfds;
	int fds[KIPC_HANDOVER_FDS_MAX];
};

static struct exported *exports;

static struct exported **find_export(const char *key)
{
	struct exported **x = &exports;

	while (*x && strcmp((*x)->key, key))
		x = &(*x)->next;
	return x;
}

static void forget_export(struct exported **x)
{
	struct exported *gone = *x;

	*x = gone->next;
	free(gone);
}

/* ---- this process's environment ---- */

/* A copy of the variable's value with room for another entry, or NULL. */
static char *copy_value(size_t *size)
{
	const char *value = secure_getenv(KIPC_FDS_ENV);
	size_t len = value ? strlen(value) : 0;
	char *copy;

	*size = len + KIPC_EXPORT_STRING;
	copy = malloc(*size);
	if (copy)
		memcpy(copy, value ? value : "", len + 1);
	return copy;
}

/* 0 or -ENOMEM. */
static int set_value(const char *value)
{
	return (int)(*value ? SYS(setenv(KIPC_FDS_ENV, value, 1)) : SYS(unsetenv(KIPC_FDS_ENV)));
}

/* Whatever else is wrong with the variable, it has no such key then. */
static int remove_key(const char *key)
{
	struct kipc_env_entry e;
	size_t size;
	char *value = copy_value(&size);
	int r = 0;

	if (!value)
		return -ENOMEM;
	if (!__kipc_env_find(value, key, &e)) {
		__kipc_env_remove(value, &e);
		r = set_value(value);
	}
	free(value);
	return r;
}

/* ---- exporting ---- */

static int describe(struct kipc_object *obj, int cmd, struct kipc_env_entry *e)
{
	struct stat st;
	int r = __kipc_export(obj, cmd, FIRST_FD, &e->msg, e->fds);

	if (r)
		return r;
	r = (int)SYS(fstat(e->fds[0], &st));
	if (r) {
		__kipc_close_all(e->fds, e->msg.nfds);
		return r;
	}
	e->inode = st.st_ino;
	return 0;
}

KIPC_API int kipc_export_string(struct kipc_object *obj, const char *key, char *env, size_t size,
				int *fds, size_t maxfds)
{
	struct kipc_env_entry e;
	size_t len;
	int r;

	if (!obj || !env || !fds || !key || __kipc_name_check(key) != 1)
		return -EINVAL;
	len = strnlen(env, size);
	if (len == size || (!len && size <= PREFIX_LEN))
		return -ENOSPC;
	if (len && strncmp(env, PREFIX, PREFIX_LEN))
		return -EPROTO;
	r = describe(obj, F_DUPFD_CLOEXEC, &e);
	if (r)
		return r;
	if (!len)
		memcpy(env, PREFIX, PREFIX_LEN + 1);
	r = e.msg.nfds > maxfds ? -ENOSPC :
	    __kipc_env_add(env + PREFIX_LEN, size - PREFIX_LEN, key, &e);
	if (r) {
		env[len] = '\0';
		__kipc_close_all(e.fds, e.msg.nfds);
		return r;
	}
	memcpy(fds, e.fds, e.msg.nfds * sizeof(int));
	return (int)e.msg.nfds;
}

KIPC_API int kipc_export_env(struct kipc_object *obj, const char *key)
{
	struct kipc_env_entry e;
	struct exported *x = NULL;
	size_t size;
	char *value;
	int r;

	if (!obj || !key || __kipc_name_check(key) != 1)
		return -EINVAL;
	if (getauxval(AT_SECURE))
		return -EPERM;
	if (*find_export(key))
		return -EEXIST;	/* somebody else has removed it from the environment */
	value = copy_value(&size);
	if (value)
		x = malloc(sizeof(*x));
	if (!x) {
		r = -ENOMEM;
		goto out_free;
	}
	r = describe(obj, F_DUPFD, &e);
	if (r)
		goto out_free;
	r = __kipc_env_add(value, size, key, &e);
	if (!r)
		r = set_value(value);
	if (r) {
		__kipc_close_all(e.fds, e.msg.nfds);
		goto out_free;
	}
	strcpy(x->key, key);
	x->nfds = e.msg.nfds;
	memcpy(x->fds, e.fds, sizeof(x->fds));
	x->next = exports;
	exports = x;
	x = NULL;

out_free:
	free(x);
	free(value);
	return r;
}

KIPC_API int kipc_unexport_env(const char *key)
{
	struct exported **x;
	int r;

	if (!key || __kipc_name_check(key) != 1)
		return -EINVAL;
	x = find_export(key);
	if (!*x)
		return -ENOENT;
	r = remove_key(key);
	if (r)
		return r;
	__kipc_close_all((*x)->fds, (*x)->nfds);
	forget_export(x);
	return 0;
}

/* ---- importing ---- */

/* Whether these are descriptors that this process inherited, or exported, and the ones meant. */
static bool inherited(const struct kipc_env_entry *e)
{
	struct stat st;

	for (uint32_t i = 0; i < e->msg.nfds; i++)
		if (SYS(fcntl(e->fds[i], F_GETFD)))	/* FD_CLOEXEC, or not open */
			return false;
	return !SYS(fstat(e->fds[0], &st)) && st.st_ino == e->inode;
}

KIPC_API int kipc_import_env(const char *key, struct kipc_object **obj)
{
	const char *value = secure_getenv(KIPC_FDS_ENV);
	struct kipc_env_entry e;
	struct exported **x;
	int r;

	if (!key || !obj || __kipc_name_check(key) != 1)
		return -EINVAL;
	r = value ? __kipc_env_find(value, key, &e) : -ENOENT;
	if (r)
		return r;
	if (!inherited(&e))
		return -EBADF;
	r = __kipc_import(&e.msg, e.fds, e.msg.nfds, obj);
	if (r)
		return r == -EINVAL ? -EPROTO : r;	/* the same descriptor twice */
	/* an export of our own, taken back: its descriptors are the handle's now */
	for (x = &exports; *x; x = &(*x)->next)
		if ((*x)->fds[0] == e.fds[0]) {
			forget_export(x);
			break;
		}
	/* if there is no memory for that: what stays there is not inheritable any more, so -EBADF */
	remove_key(key);
	return 0;
}
