// SPDX-License-Identifier: MIT
/*
 * Opening a segment from arbitrary bytes, and using what was let in.
 *
 * Input: a byte that chooses the kind and the mode, then either patches of a valid image until
 * the number of patches has been made, or (raw) the image itself; perhaps an ambush for those who read
 * a field twice; behind that what the use needs.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kipc/kipc.h>

#include "ambush.h"
#include "fuzz.h"
#include "use.h"

#define RAW_MAX	65536

static uint64_t patched(struct fuzz_input *in, int kind, uint8_t *bytes)
{
	const struct fuzz_image *img = fuzz_image(kind);
	struct fuzz_memory mem = { bytes, img->size, img->body_off, 0 };
	unsigned int n = fuzz_u8(in) % 16;

	memcpy(bytes, img->bytes, img->size);
	while (n--)
		fuzz_patch(in, &mem);
	return img->size;
}

static uint64_t raw(struct fuzz_input *in, uint8_t *bytes)
{
	uint64_t size = fuzz_u16(in), n = min_of((uint64_t)(in->end - in->p), (uint64_t)RAW_MAX);

	memset(bytes, 0, RAW_MAX);
	memcpy(bytes, in->p, n);
	in->p += n;
	return max_of(size, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	static uint8_t *bytes;
	struct fuzz_memory mem;
	struct kipc_object *obj;
	struct fuzz_company company;
	uint8_t mode = fuzz_u8(&in);
	int kind = 1 + mode % 5, fds, fd;
	uint64_t n;

	if (!bytes) {
		uint64_t max = RAW_MAX;

		for (int k = 1; k <= 5; k++)
			max = max_of(max, fuzz_image(k)->size);
		bytes = aligned_alloc(4096, max);
		fuzz_assert(bytes);
	}
	fds = fuzz_fds_begin();
	n = mode & 128 ? raw(&in, bytes) : patched(&in, kind, bytes);
	mem = (struct fuzz_memory){ bytes, n, fuzz_image(kind)->body_off, 0 };
	if (mode & 32 && n >= 4096)
		fuzz_ambush_begin(&in, &mem);
	fuzz_company_open(&company);
	fd = fuzz_memfd(bytes, n, fuzz_seals(kind));
	if (!fuzz_import(kind, fd, &company, mode >> 6 & 1, &obj)) {
		fuzz_use(obj, &in);
		kipc_object_close(obj);
	}
	close(fd);
	fuzz_company_close(&company);
	fuzz_fds_end(fds);
	return 0;
}

/* Each kind as it is, as raw bytes, and with patches. */
size_t fuzz_seed(unsigned int i, uint8_t *buf, size_t max)
{
	const struct fuzz_image *img = fuzz_image(1 + (int)i % 5);
	size_t n;

	switch (i / 5) {
	case 0:
		buf[0] = (uint8_t)(i % 5);
		buf[1] = 0;
		return 2 + fuzz_seed_noise(i, buf + 2, 30);
	case 1:
		n = min_of(img->size, (uint64_t)max - 3);
		buf[0] = (uint8_t)(128 + i % 5);
		buf[1] = (uint8_t)img->size;
		buf[2] = (uint8_t)(img->size >> 8);
		memcpy(buf + 3, img->bytes, n);
		return 3 + n;
	case 2 ... 9:
		n = fuzz_seed_noise(i, buf, 150);
		buf[0] = (uint8_t)(i % 5);
		return n;
	default:
		return 0;
	}
}
