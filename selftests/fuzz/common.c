// SPDX-License-Identifier: MIT
/* Patches, storms, checks and seeds: see fuzz.h. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/atomic.h"
#include "ambush.h"
#include "fuzz.h"
#include "world.h"

#define SEED_MAX	4096
#define STORM_PATCHES	4
#define STORM_ROUNDS	20000

/* Big lengths are part of the game: malloc(3) says NULL then, and the library -ENOMEM. */
const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1:detect_leaks=1:handle_abort=1:abort_on_error=0";
}

const char *__ubsan_default_options(void);
__attribute__((visibility("default"))) const char *__ubsan_default_options(void)
{
	return "print_stacktrace=1:halt_on_error=1";
}

void fuzz_fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

/* ---- seeds ---- */

static void write_seeds(const char *dir)
{
	uint8_t buf[SEED_MAX];
	char path[4096];
	size_t len;
	FILE *f;

	for (unsigned int i = 0; (len = fuzz_seed(i, buf, sizeof(buf))); i++) {
		snprintf(path, sizeof(path), "%s/seed-%03u", dir, i);
		f = fopen(path, "wb");
		if (!f || fwrite(buf, 1, len, f) != len || fclose(f)) {
			perror(path);
			exit(2);
		}
	}
}

size_t fuzz_seed_noise(unsigned int i, uint8_t *buf, size_t len)
{
	uint64_t x = 0x9e3779b97f4a7c15ULL * (i + 1);

	for (size_t k = 0; k < len; k++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		buf[k] = (uint8_t)(x >> 32);
	}
	return len;
}

size_t fuzz_seed_steps(unsigned int i, uint8_t *buf, size_t first, unsigned int ops)
{
	size_t n = fuzz_seed_noise(i, buf, 64 + 8 * i);

	for (size_t k = first; i < 16 && k < n; k++)
		buf[k] = (uint8_t)((buf[k] & 128) | (48 + buf[k] % ops));
	return i < 48 ? n : 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	/* sleeping in ppoll(2) is what world.c understands */
	setenv("KIPC_NO_IO_URING", "1", 1);
	if (*argc == 3 && !strcmp((*argv)[1], "--seeds")) {
		write_seeds((*argv)[2]);
		exit(0);
	}
	return 0;
}

/* ---- the input ---- */

int64_t fuzz_timeout(struct fuzz_input *in)
{
	static const int64_t times[] = { KIPC_NOWAIT, 1, 1000, 1000000, 30000000, 400000000 };
	uint8_t b = fuzz_u8(in);

	return b & 1 ? times[b / 2 % ARRAY_SIZE(times)] : KIPC_NOWAIT;
}

uint64_t fuzz_number(struct fuzz_input *in)
{
	uint8_t b = fuzz_u8(in);

	if (b < 224)
		return b;
	if (b < 240)
		return (uint64_t)-(int64_t)(b - 223);
	if (b < 250)
		return fuzz_u16(in);
	return fuzz_u64(in);
}

/* ---- patches ---- */

static uint64_t load_at(const struct fuzz_memory *mem, uint64_t off)
{
	uint64_t v;

	/* the patched place may be unaligned, and shared with a storm */
	off &= ~7ULL;
	if (off > mem->size - 8)
		return 0;
	v = load_relaxed((uint64_t *)(mem->base + off));
	return v;
}

static uint64_t place(struct fuzz_input *in, struct fuzz_memory *mem, unsigned int width)
{
	uint8_t how = fuzz_u8(in);
	uint64_t off, follow;

	switch (how % 9) {
	case 0:
		off = fuzz_u16(in) % KIPC_SEG_PEERS_OFF;
		break;
	case 1:
		off = KIPC_SEG_PEERS_OFF + fuzz_u16(in) % (mem->body_off - KIPC_SEG_PEERS_OFF);
		break;
	case 2:
	case 3:
		off = mem->body_off + fuzz_u16(in) % 1024;
		break;
	case 4:
		off = mem->body_off + fuzz_u16(in);
		break;
	case 5:		/* near the last one */
		off = mem->cursor + (uint64_t)(int64_t)(int8_t)fuzz_u8(in);
		break;
	case 6:		/* where the last one points to */
	case 7:
		follow = load_at(mem, mem->cursor);
		off = follow < mem->size ? follow : mem->cursor;
		off += fuzz_u8(in);
		break;
	default:
		off = fuzz_u32(in);
		break;
	}
	if (off > mem->size - width)
		off %= mem->size - width;
	return off & ~(uint64_t)(width - 1);
}

static uint64_t value(struct fuzz_input *in, const struct fuzz_memory *mem, uint64_t old)
{
	static const uint64_t interesting[] = {
		0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 1ULL << 30,
		KIPC_LOCK_DIED, KIPC_LOCK_WAITERS, KIPC_LOCK_WAITERS | 7, 1ULL << 32, 1ULL << 40,
		1ULL << 62, INT64_MAX, 1ULL << 63, UINT64_MAX - 7,
	};
	uint8_t how = fuzz_u8(in);

	switch (how % 12) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
		return fuzz_u8(in);
	case 3:
		return old + (uint64_t)(int64_t)(int8_t)fuzz_u8(in);
	case 4:
		return old ^ 1ULL << fuzz_u8(in) % 64;
	case 5:
		return fuzz_u64(in);
	case 6:
		return interesting[fuzz_u8(in) % ARRAY_SIZE(interesting)];
	case 7:		/* what stands elsewhere */
		return load_at(mem, fuzz_u32(in) % mem->size);
	case 8:
		return load_at(mem, mem->body_off + fuzz_u16(in) % 16384);
	case 9:		/* an offset */
		return fuzz_u32(in) % mem->size & ~15ULL;
	case 10:
		return mem->size - fuzz_u8(in);
	default:
		return old + ((uint64_t)(int64_t)(int8_t)fuzz_u8(in) << fuzz_u8(in) % 64);
	}
}

static void store(void *p, unsigned int width, uint64_t v)
{
	switch (width) {
	case 1:
		store_relaxed((uint8_t *)p, (uint8_t)v);
		break;
	case 2:
		store_relaxed((uint16_t *)p, (uint16_t)v);
		break;
	case 4:
		store_relaxed((uint32_t *)p, (uint32_t)v);
		break;
	default:
		store_relaxed((uint64_t *)p, v);
		break;
	}
}

static const uint8_t widths[] = { 8, 4, 8, 4, 2, 1, 8, 4 };

void fuzz_patch(struct fuzz_input *in, struct fuzz_memory *mem)
{
	unsigned int width = widths[fuzz_u8(in) % ARRAY_SIZE(widths)];
	uint64_t off = place(in, mem, width), old = load_at(mem, off);

	old >>= (off & 7) * 8;
	store(mem->base + off, width, value(in, mem, old));
	mem->cursor = off;
}

void fuzz_overwrite(struct fuzz_input *in, const struct fuzz_memory *mem, void *at,
		    unsigned int width)
{
	uint64_t old = 0;

	memcpy(&old, at, width);
	old = value(in, mem, old);
	if ((uintptr_t)at % width)
		memcpy(at, &old, width);
	else
		store(at, width, old);
}

/* ---- storms ---- */

/*
 * The writer's thread lives as long as the process.  What it finds depends on timing, so that a crash
 * in a storm may need several runs to be seen again; everything else repeats exactly.
 */
static struct {
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	bool started;
	uint32_t on;		/* atomic */
	uint32_t busy;		/* atomic: it may still write */
	struct fuzz_memory mem;
	unsigned int n;
	struct {
		uint64_t off, old, new;
		unsigned int width;
	} patches[STORM_PATCHES];
} storm = { .mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

static void *storm_thread(void *arg)
{
	for (;;) {
		pthread_mutex_lock(&storm.mutex);
		while (!load_acquire(&storm.on))
			pthread_cond_wait(&storm.cond, &storm.mutex);
		store_release(&storm.busy, 1);
		pthread_mutex_unlock(&storm.mutex);
		for (int i = 0; i < STORM_ROUNDS && load_acquire(&storm.on); i++)
			for (unsigned int k = 0; k < storm.n; k++)
				store(storm.mem.base + storm.patches[k].off, storm.patches[k].width,
				      i & 1 ? storm.patches[k].old : storm.patches[k].new);
		pthread_mutex_lock(&storm.mutex);
		store_release(&storm.on, 0);
		store_release(&storm.busy, 0);
		pthread_cond_broadcast(&storm.cond);
		pthread_mutex_unlock(&storm.mutex);
	}
	return arg;
}

void fuzz_storm_begin(struct fuzz_input *in, struct fuzz_memory *mem)
{
	pthread_t thread;

	fuzz_storm_end();
	if (fuzz_u8(in) % 8) {
		fuzz_ambush_begin(in, mem);
		return;
	}
	storm.mem = *mem;
	storm.n = 1 + fuzz_u8(in) % STORM_PATCHES;
	for (unsigned int k = 0; k < storm.n; k++) {
		unsigned int width = widths[fuzz_u8(in) % ARRAY_SIZE(widths)];
		uint64_t off = place(in, mem, width);

		storm.patches[k].off = off;
		storm.patches[k].width = width;
		storm.patches[k].old = load_at(mem, off) >> (off & 7) * 8;
		storm.patches[k].new = value(in, mem, storm.patches[k].old);
		mem->cursor = off;
	}
	if (!storm.started) {
		fuzz_assert(!pthread_create(&thread, NULL, storm_thread, NULL));
		pthread_detach(thread);
		storm.started = true;
	}
	pthread_mutex_lock(&storm.mutex);
	store_release(&storm.on, 1);
	pthread_cond_broadcast(&storm.cond);
	pthread_mutex_unlock(&storm.mutex);
}

void fuzz_storm_end(void)
{
	fuzz_ambush_end();
	pthread_mutex_lock(&storm.mutex);
	store_release(&storm.on, 0);
	while (load_acquire(&storm.busy))
		pthread_cond_wait(&storm.cond, &storm.mutex);
	pthread_mutex_unlock(&storm.mutex);
}

/* ---- checks ---- */

int fuzz_fds_begin(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 3);

	if (fd >= 0)
		close(fd);
	fuzz_world_begin();
	return fd;
}

void fuzz_fds_end(int before)
{
	int fd;

	fuzz_storm_end();
	fuzz_world_end();
	fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
	if (fd >= 0)
		close(fd);
	fuzz_assert(fd == before);
}

void fuzz_touch(const void *p, size_t len)
{
	static volatile uint8_t sink;
	const volatile uint8_t *b = p;
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i += i + 64 < len ? 64 : 1)
		sum ^= b[i];
	sink = sum;
	(void)sink;
}
