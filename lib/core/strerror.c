// SPDX-License-Identifier: MIT
/* What the library's errors mean, in its own words; the C library's for the rest. */
#include <errno.h>
#include <string.h>

#include "core/compiler.h"
#include "kipc/base.h"
#include "kipc/version.h"

static const struct {
	int err;
	const char *text;
} words[] = {
	{ 0, "success" },
	{ EACCES, "permission denied" },
	{ EAGAIN, "would have to wait" },
	{ ECONNREFUSED, "no broker answers, and none can be started" },
	{ EDQUOT, "this user's limit of named objects, or of their bytes, is reached" },
	{ EEXIST, "the name is taken" },
	{ EINVAL, "invalid argument, option or flag" },
	{ E2BIG, "option struct has fields that this library doesn't know" },
	{ EMSGSIZE, "message too big; nothing was consumed" },
	{ EOWNERDEAD, "lock acquired, but its last owner died holding it" },
	{ EPERM, "not permitted, or not held by this process" },
	{ EPIPE, "shut down, or the peer is gone" },
	{ EPROTO, "segment or message is damaged or hostile" },
	{ EPROTONOSUPPORT, "made by another version of the library" },
	{ ENOTSUP, "not supported" },
	{ ETIMEDOUT, "timed out" },
	{ EUSERS, "too many processes are attached" },
	{ ESTALE, "the object is gone" },
};

KIPC_API const char *kipc_strerror(int err)
{
	const char *text;

	if (err < 0)
		err = -(unsigned int)err;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].err == err)
			return words[i].text;
	text = strerrordesc_np(err);
	return text ? text : "unknown error";
}

KIPC_API unsigned int kipc_version(void)
{
	return KIPC_VERSION_MAJOR << 16 | KIPC_VERSION_MINOR << 8 | KIPC_VERSION_PATCH;
}
