// SPDX-License-Identifier: MIT
/* Handles of lists. */
#include "manager/list.h"

int kipc_list_create(struct kipc_manager *m, const char *name, struct kipc_list **l)
{
	return __kipc_object_create(m, name, &__kipc_list_type, NULL, (struct kipc_handle **)l);
}

int kipc_list_open(struct kipc_manager *m, const char *name, struct kipc_list **l)
{
	return __kipc_object_open(m, name, &__kipc_list_type, (struct kipc_handle **)l);
}

int kipc_list_unref(struct kipc_list *l)
{
	return l ? __kipc_handle_close(&l->h) : -EINVAL;
}

struct kipc_handle *kipc_list_handle(struct kipc_list *l)
{
	return l ? &l->h : NULL;
}

int kipc_list_from(struct kipc_value *v, struct kipc_list **l)
{
	return __kipc_handle_from(v, &__kipc_list_type, (struct kipc_handle **)l);
}
