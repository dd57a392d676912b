// SPDX-License-Identifier: MIT
/*
 * The auditor on damaged segments: through a handle, whose segment is patched between and during
 * looks, and through the descriptor of any file.  It reads only: nothing that it sees may change.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kipc/check.h>
#include <kipc/kipc.h>

#include "fuzz.h"

#define STEPS_MAX	60

static void found(void *arg, const struct kipc_finding *f)
{
	unsigned int *n = arg;

	fuzz_assert(f->text && strlen(f->text) > 0);
	++*n;
}

static void check_report(int r, const struct kipc_report *report, unsigned int n)
{
	if (r < 0)
		return;
	fuzz_assert((uint64_t)r == report->violations);
	fuzz_assert(n <= report->violations + report->dead_claims + report->in_flight);
	fuzz_assert(memchr(report->first, 0, sizeof(report->first)));
	fuzz_assert(!r == !report->first[0]);
}

static void check(struct fuzz_pair *pair, int which, uint32_t flags, bool by_fd)
{
	unsigned int n = 0;
	KIPC_OPTS(kipc_report, report, .flags = flags, .found = found, .arg = &n);
	int r;

	if (by_fd)
		r = kipc_check_fd(pair->fd, &report);
	else
		r = kipc_check(pair->obj[which], &report);
	check_report(r, &report, n);
}

/* Bytes that are no file of ours, or only part of one, sealed or not. */
static void check_file(struct fuzz_input *in, const struct fuzz_image *img)
{
	static uint8_t *bytes;
	static uint64_t room;
	unsigned int n = 0;
	KIPC_OPTS(kipc_report, report, .found = found, .arg = &n);
	uint8_t mode = fuzz_u8(in);
	struct fuzz_memory mem;
	uint64_t size;
	int fd;

	if (room < img->size) {
		free(bytes);
		room = img->size;
		bytes = malloc(room);
		fuzz_assert(bytes);
	}
	memcpy(bytes, img->bytes, img->size);
	mem = (struct fuzz_memory){ bytes, img->size, img->body_off, 0 };
	for (int i = 0; i < mode % 8; i++)
		fuzz_patch(in, &mem);
	size = mode & 8 ? fuzz_u32(in) % img->size + 1 : img->size;
	fd = fuzz_memfd(bytes, size, mode & 16 ? F_SEAL_SHRINK | F_SEAL_GROW : 0);
	if (mode & 32)
		fuzz_assert(!ftruncate(fd, (off_t)size) || mode & 16);
	check_report(kipc_check_fd(fd, &report), &report, n);
	close(fd);
}

static void step(struct fuzz_pair *pair, int kind, struct fuzz_input *in)
{
	uint8_t op = fuzz_u8(in);
	int which = op >> 7;

	op &= 127;
	switch (op) {
	case 0 ... 79:
		fuzz_patch(in, &pair->mem);
		break;
	case 80 ... 89:
		check(pair, which, 0, false);
		break;
	case 90 ... 97:
		check(pair, which, KIPC_CHECK_IDLE, false);
		break;
	case 98 ... 103:
		check(pair, which, KIPC_CHECK_SETTLE, false);
		break;
	case 104 ... 109:
		check(pair, which, 0, true);
		break;
	case 110 ... 115:
		check_file(in, fuzz_image(kind));
		break;
	case 116 ... 120:
		fuzz_storm_begin(in, &pair->mem);
		break;
	case 121:
		fuzz_storm_end();
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	int kind = 1 + fuzz_u8(&in) % 5, fds;
	struct fuzz_pair pair = { 0 };

	fuzz_image(kind);
	fds = fuzz_fds_begin();
	fuzz_pair_open(&pair, kind);
	for (int i = 0; i < STEPS_MAX && fuzz_more(&in); i++)
		step(&pair, kind, &in);
	fuzz_storm_end();
	check(&pair, 0, 0, false);
	check(&pair, 1, 0, true);
	fuzz_pair_close(&pair);
	fuzz_fds_end(fds);
	return 0;
}

size_t fuzz_seed(unsigned int i, uint8_t *buf, size_t max)
{
	size_t n = fuzz_seed_noise(i, buf, 20 + 6 * i);

	(void)max;
	buf[0] = (uint8_t)i;
	/* the first ones on valid objects */
	for (size_t k = 1; i < 10 && k < n; k++)
		buf[k] = (uint8_t)((buf[k] & 128) | (80 + buf[k] % 30));
	return i < 60 ? n : 0;
}
