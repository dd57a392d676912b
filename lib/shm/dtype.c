// SPDX-License-Identifier: MIT
/* The element types: NumPy's names, and how many bytes each takes. */
#include <errno.h>
#include <string.h>

#include "core/compiler.h"
#include "kipc/array.h"
#include "uapi/kipc/array.h"

static const struct {
	const char *name;
	uint32_t size;
} dtypes[] = {
	[KIPC_BOOL8]		= { "bool", 1 },
	[KIPC_INT8]		= { "int8", 1 },
	[KIPC_UINT8]		= { "uint8", 1 },
	[KIPC_INT16]		= { "int16", 2 },
	[KIPC_UINT16]		= { "uint16", 2 },
	[KIPC_INT32]		= { "int32", 4 },
	[KIPC_UINT32]		= { "uint32", 4 },
	[KIPC_INT64]		= { "int64", 8 },
	[KIPC_UINT64]		= { "uint64", 8 },
	[KIPC_FLOAT16]		= { "float16", 2 },
	[KIPC_FLOAT32]		= { "float32", 4 },
	[KIPC_FLOAT64]		= { "float64", 8 },
	[KIPC_COMPLEX64]	= { "complex64", 8 },
	[KIPC_COMPLEX128]	= { "complex128", 16 },
};

/* The public numbers are the ABI's. */
#define SAME(name) _Static_assert((int)KIPC_##name == (int)KIPC_ARRAY_TYPE_##name, #name)
_Static_assert((int)KIPC_BOOL8 == (int)KIPC_ARRAY_TYPE_BOOL, "BOOL");
SAME(INT8);
SAME(UINT8);
SAME(INT16);
SAME(UINT16);
SAME(INT32);
SAME(UINT32);
SAME(INT64);
SAME(UINT64);
SAME(FLOAT16);
SAME(FLOAT32);
SAME(FLOAT64);
SAME(COMPLEX64);
SAME(COMPLEX128);
_Static_assert(KIPC_ARRAY_MAX_DIMS == KIPC_ARRAY_DIMS, "dimensions");

KIPC_API const char *kipc_dtype_name(enum kipc_dtype dtype)
{
	return (unsigned int)dtype < ARRAY_SIZE(dtypes) ? dtypes[dtype].name : NULL;
}

KIPC_API size_t kipc_dtype_size(enum kipc_dtype dtype)
{
	return (unsigned int)dtype < ARRAY_SIZE(dtypes) ? dtypes[dtype].size : 0;
}

KIPC_API int kipc_dtype_from_name(const char *name)
{
	if (!name)
		return -EINVAL;
	for (size_t i = KIPC_BOOL8; i < ARRAY_SIZE(dtypes); i++)
		if (!strcmp(dtypes[i].name, name))
			return (int)i;
	return -EINVAL;
}
