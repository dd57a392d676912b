// SPDX-License-Identifier: MIT
/*
 * .npy files: their headers by themselves, and whole files that arrays are made from.
 *
 * Input: the file; or, if it begins with a byte below 128, patches of a good header: mostly text in
 * it exchanged for other words that might stand there.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kipc/kipc.h>

#include "fuzz.h"
#include "shm/npy.h"

#define FILE_MAX	2048

static const char *const words[] = {
	"'descr'", "'fortran_order'", "'shape'", ":", ",", "(", ")", "{", "}", "True", "False", "'<f8'",
	"'>c16'", "'|b1'", "'<U3'", "[", "]", "0", "3", "18446744073709551615", "L", "\"", "'", "\\",
	" ", "\n", "'descr': '<i4'", "'fortran_order': True", "'shape': (2, 3)", "(0,)", "()", "-1",
};

static size_t patched(struct fuzz_input *in, uint8_t *file)
{
	static const char *const good[] = {
		"{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }          \n",
		"{'descr': '>c8', 'fortran_order': True, 'shape': (2, 3, 2), }\n",
		"{'descr': '|u1', 'fortran_order': False, 'shape': (7,), }\n",
	};
	char text[512];
	size_t len, n = fuzz_u8(in) % 6;
	uint8_t version = 1 + fuzz_u8(in) % 3;

	len = (size_t)snprintf(text, sizeof(text), "%s", good[fuzz_u8(in) % ARRAY_SIZE(good)]);
	while (n--) {
		const char *word = words[fuzz_u8(in) % ARRAY_SIZE(words)];
		size_t at = fuzz_u8(in) % (len + 1), cut = fuzz_u8(in) % 12, w = strlen(word);

		cut = min_of(cut, len - at);
		if (len - cut + w > sizeof(text))
			break;
		memmove(text + at + w, text + at + cut, len - at - cut);
		memcpy(text + at, word, w);
		len = len - cut + w;
	}
	memcpy(file, "\x93NUMPY", 6);
	file[6] = version;
	file[7] = 0;
	n = len + (fuzz_u8(in) % 16 ? 0 : fuzz_u8(in));
	for (int i = 0; i < (version == 1 ? 2 : 4); i++)
		file[8 + i] = (uint8_t)(n >> 8 * i);
	n = version == 1 ? 10 : 12;
	memcpy(file + n, text, len);
	return n + len;
}

/* The header that was understood, written and read again, says the same. */
static void again(const struct kipc_npy *npy)
{
	char buf[KIPC_NPY_FORMAT_MAX];
	struct kipc_array_desc d;
	struct kipc_npy same;
	size_t off, len, n;

	if (__kipc_array_describe(&d, npy->dtype, npy->ndim, npy->shape, false))
		return;
	n = __kipc_npy_format(buf, &d, npy->fortran);
	fuzz_assert(n <= sizeof(buf) && n % 64 == 0);
	fuzz_assert(!__kipc_npy_preamble((uint8_t *)buf, n, &off, &len) && off + len == n);
	fuzz_assert(!__kipc_npy_parse(buf + off, len, &same));
	fuzz_assert(same.dtype == npy->dtype && same.fortran == npy->fortran && !same.swap &&
		    same.ndim == npy->ndim &&
		    !memcmp(same.shape, npy->shape, sizeof(same.shape)));
}

static void parse(const uint8_t *file, size_t size)
{
	struct kipc_npy npy;
	size_t off, len;
	char *text;

	if (__kipc_npy_preamble(file, size, &off, &len) || len > size - min_of(off, size))
		return;
	/* no byte more than there are, so that reading beyond them shows */
	text = malloc(len ? len : 1);
	fuzz_assert(text);
	memcpy(text, file + off, len);
	if (!__kipc_npy_parse(text, len, &npy))
		again(&npy);
	free(text);
}

static void load(const uint8_t *file, size_t size)
{
	struct kipc_array *a;
	char path[32];
	int fd = fuzz_memfd(file, size, 0), r;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = kipc_array_load(path, NULL, NULL, &a);
	if (!r) {
		/* no more than the file had */
		fuzz_assert(kipc_array_nbytes(a) <= size);
		fuzz_touch(kipc_array_data(a), kipc_array_nbytes(a));
		kipc_array_close(a);
	} else {
		fuzz_assert(r == -EPROTO || r == -ENOTSUP || r == -EOVERFLOW);
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	static uint8_t file[FILE_MAX];
	size_t n;
	int fds;

	fds = fuzz_fds_begin();
	if (size && *data < 128) {
		fuzz_u8(&in);
		n = patched(&in, file);
		while (n < FILE_MAX && fuzz_more(&in))
			file[n++] = fuzz_u8(&in);
	} else {
		n = min_of(size, (size_t)FILE_MAX);
		memcpy(file, data, n);
	}
	parse(file, n);
	load(file, n);
	fuzz_fds_end(fds);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *buf, size_t max)
{
	struct fuzz_input in = { (const uint8_t[]){ 0, (uint8_t)i, (uint8_t)(i / 3) },
				 (const uint8_t[]){ 0 } };
	size_t n;

	(void)max;
	if (i >= 60)
		return 0;
	/* patches, and files as they are */
	if (i >= 9) {
		n = fuzz_seed_noise(i, buf, 20 + 4 * i);
		buf[0] &= 127;
		return n;
	}
	in.end = in.p + 3;
	n = patched(&in, buf);
	return n + fuzz_seed_noise(i, buf + n, 96);
}
