/* SPDX-License-Identifier: MIT */
/*
 * Arrays as NumPy's .npy files (numpy.lib.format): a few bytes, then a header, which is the text of
 * a Python dictionary, then the elements without gaps.
 *
 *	6	"\x93NUMPY"
 *	2	version: 1.0, 2.0, 3.0
 *	2, 4	length of the header, little-endian; from version 2.0 on 4 bytes
 *		{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }, spaces, "\n"
 *
 * A file may come from anybody: what it says is checked before anything is made of it.
 */
#ifndef KIPC_SHM_NPY_H
#define KIPC_SHM_NPY_H

#include "shm/array.h"

#define KIPC_NPY_PREAMBLE	12	/* bytes, at most; a file that is no longer isn't one */
#define KIPC_NPY_HEADER_MAX	65536	/* of a type that we have; NumPy itself reads 10,000 */

struct kipc_npy {
	enum kipc_dtype dtype;
	bool swap;		/* the elements are big-endian */
	bool fortran;
	uint32_t ndim;
	uint64_t shape[KIPC_ARRAY_DIMS];
};

/*
 * The beginning of a file: where its header is, and how long.  0; -EPROTO: no .npy file; -ENOTSUP:
 * of a later version, or a header longer than any that we could read.
 */
int __kipc_npy_preamble(const uint8_t *buf, size_t len, size_t *header_off, size_t *header_len);

/* The header's text.  0; -EPROTO: damaged; -ENOTSUP: not one of our types, more than 8 axes. */
int __kipc_npy_parse(const char *text, size_t len, struct kipc_npy *npy);

/*
 * All that stands before the elements, version 1.0, a multiple of 64 bytes: how many they are.  buf
 * has room for KIPC_NPY_FORMAT_MAX.
 */
#define KIPC_NPY_FORMAT_MAX	512
size_t __kipc_npy_format(char *buf, const struct kipc_array_desc *d, bool fortran);

#endif
