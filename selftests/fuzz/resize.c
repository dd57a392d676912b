// SPDX-License-Identifier: MIT
/*
 * Files that change their size, have holes punched, or lack their seals: before a segment is opened,
 * and while it is in use.  What the library lets in must never be SIGBUS.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <kipc/kipc.h>

#include "fuzz.h"
#include "use.h"

#define STEPS_MAX	40
#define FILE_MAX	(4u << 20)

static uint64_t some_size(struct fuzz_input *in, uint64_t now)
{
	static const uint64_t sizes[] = { 0, 1, 511, 512, 4095, 4096, 8192, 65536, 1 << 20 };
	uint8_t b = fuzz_u8(in);

	switch (b % 4) {
	case 0:
		return sizes[b / 4 % ARRAY_SIZE(sizes)];
	case 1:
		return now + (uint64_t)b * 64;
	case 2:
		return now - min_of((uint64_t)b * 64, now);
	default:
		return fuzz_u32(in) % FILE_MAX;
	}
}

/* May fail, as the seals say. */
static void change(struct fuzz_input *in, int fd)
{
	static const int seals[] = { F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_WRITE,
				     F_SEAL_FUTURE_WRITE, F_SEAL_SHRINK | F_SEAL_GROW };
	uint8_t how = fuzz_u8(in) % 8;
	off_t end = lseek(fd, 0, SEEK_END), at;

	switch (how) {
	case 0 ... 2:
		if (ftruncate(fd, (off_t)some_size(in, (uint64_t)end)))
			break;
		break;
	case 3 ... 4:
		fcntl(fd, F_ADD_SEALS, seals[fuzz_u8(in) % ARRAY_SIZE(seals)]);
		break;
	case 5 ... 6:
		at = (off_t)(fuzz_u8(in) * 4096u);
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, 4096 * (1 + how % 3));
		break;
	case 7:
		fallocate(fd, 0, 0, (off_t)some_size(in, (uint64_t)end) + 1);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	int kind = 1 + fuzz_u8(&in) % 5, fds, fd;
	const struct fuzz_image *img = fuzz_image(kind);
	struct kipc_object *obj = NULL;
	struct fuzz_company company;
	uint8_t mode = fuzz_u8(&in);

	fds = fuzz_fds_begin();
	fuzz_company_open(&company);
	fd = fuzz_memfd(img->bytes, img->size, mode & 1 ? fuzz_seals(kind) : 0);
	for (int i = 0; i < STEPS_MAX && fuzz_more(&in); i++) {
		change(&in, fd);
		if (!obj && fuzz_u8(&in) % 3 == 0)
			fuzz_import(kind, fd, &company, mode >> 1 & 1, &obj);
		if (obj && fuzz_u8(&in) % 2 == 0)
			fuzz_use(obj, &in);
	}
	kipc_object_close(obj);
	close(fd);
	fuzz_company_close(&company);
	fuzz_fds_end(fds);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *buf, size_t max)
{
	size_t n = fuzz_seed_noise(i, buf, 20 + 4 * i);

	(void)max;
	buf[0] = (uint8_t)i;
	buf[1] = (uint8_t)(i / 5);
	return i < 40 ? n : 0;
}
