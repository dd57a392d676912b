// SPDX-License-Identifier: MIT
/* Handles of dicts. */
#include <sys/random.h>

#include "core/sys.h"
#include "manager/dict.h"

int kipc_dict_create(struct kipc_manager *m, const char *name, struct kipc_dict **d)
{
	uint64_t hash_key[2];
	long n;

	/* 16 bytes are never given in part */
	n = SYS_RETRY(getrandom(hash_key, sizeof(hash_key), 0));
	if (n != sizeof(hash_key))
		return (int)n;
	return __kipc_object_create(m, name, &__kipc_dict_type, hash_key, (struct kipc_handle **)d);
}

int kipc_dict_open(struct kipc_manager *m, const char *name, struct kipc_dict **d)
{
	return __kipc_object_open(m, name, &__kipc_dict_type, (struct kipc_handle **)d);
}

int kipc_dict_unref(struct kipc_dict *d)
{
	return d ? __kipc_handle_close(&d->h) : -EINVAL;
}

struct kipc_handle *kipc_dict_handle(struct kipc_dict *d)
{
	return d ? &d->h : NULL;
}

int kipc_dict_from(struct kipc_value *v, struct kipc_dict **d)
{
	return __kipc_handle_from(v, &__kipc_dict_type, (struct kipc_handle **)d);
}
