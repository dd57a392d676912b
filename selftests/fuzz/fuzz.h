/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share.
 *
 * A target is one file with LLVMFuzzerTestOneInput(), linked with common.c and all of lib/ (make
 * fuzz): under clang with libFuzzer, else with main.c, which runs the files it is given.  Its input
 * is a program: bytes that choose operations and patches of the segment.  At the end of the input
 * every byte reads as 0, so any input is a program, and a prefix of one is one.
 *
 * The enemy is fuzz_patch(): a peer that writes the segment, before and between our calls, and with
 * fuzz_storm_*() during them.  What may come back is an error.  What may not: a sanitizer's report,
 * an access outside of the mapping (there are guard pages around it), a signal, an endless loop, an
 * open descriptor left behind.
 *
 * Time.  Whatever sleeps in the library sleeps in futex(2) or ppoll(2) here; common.c has both pass
 * at once and moves the clock instead.  A lock word that names a slot of ours as its owner is held by
 * a live process, for which the library rightly waits: after a while that owner lets go.
 */
#ifndef SELFTESTS_FUZZ_FUZZ_H
#define SELFTESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* ---- the input ---- */

struct fuzz_input {
	const uint8_t *p, *end;
};

static inline bool fuzz_more(const struct fuzz_input *in)
{
	return in->p < in->end;
}

static inline uint8_t fuzz_u8(struct fuzz_input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static inline uint16_t fuzz_u16(struct fuzz_input *in)
{
	uint16_t lo = fuzz_u8(in);

	return (uint16_t)(lo | fuzz_u8(in) << 8);
}

static inline uint32_t fuzz_u32(struct fuzz_input *in)
{
	uint32_t lo = fuzz_u16(in);

	return lo | (uint32_t)fuzz_u16(in) << 16;
}

static inline uint64_t fuzz_u64(struct fuzz_input *in)
{
	uint64_t lo = fuzz_u32(in);

	return lo | (uint64_t)fuzz_u32(in) << 32;
}

/* KIPC_NOWAIT, or some short time. */
int64_t fuzz_timeout(struct fuzz_input *in);

/* A length or an index: mostly small, sometimes anything. */
uint64_t fuzz_number(struct fuzz_input *in);

/* ---- the segment and its enemy ---- */

struct fuzz_memory {
	uint8_t *base;
	uint64_t size;
	uint64_t body_off;
	uint64_t cursor;	/* where the last patch was */
};

/* One write, as the input says: where, how wide, what.  Never outside of the memory. */
void fuzz_patch(struct fuzz_input *in, struct fuzz_memory *mem);

/* The same for a place that is known, and needs no alignment. */
void fuzz_overwrite(struct fuzz_input *in, const struct fuzz_memory *mem, void *at,
		    unsigned int width);

/*
 * From here to fuzz_storm_end() the segment changes during our calls: either fields that were just
 * read (ambush.c), or another thread makes a few patches over and over.
 */
void fuzz_storm_begin(struct fuzz_input *in, struct fuzz_memory *mem);
void fuzz_storm_end(void);

/* The segment's slots that stand for live processes: who holds a lock by them lets go some time. */
void fuzz_live(struct kipc_segment *seg);

/* ---- valid objects, to be damaged ---- */

struct fuzz_image {
	uint8_t *bytes;
	uint64_t size;
	uint64_t body_off;
};

/* The bytes of a small object with something in it, made once.  kind: enum kipc_seg_kind */
const struct fuzz_image *fuzz_image(int kind);

/* A memfd with these bytes and seals. */
int fuzz_memfd(const void *bytes, uint64_t size, int seals);
/* The seals that a segment of the kind has. */
int fuzz_seals(int kind);

/* What goes with a segment's memfd. */
struct fuzz_company {
	int bells[4];
	int sock[2];
};
void fuzz_company_open(struct fuzz_company *c);
void fuzz_company_close(struct fuzz_company *c);

/* As kipc_recv() would: fd stays the caller's.  0 or a negative errno. */
int fuzz_import(int kind, int fd, const struct fuzz_company *c, uint64_t arg,
		struct kipc_object **out);

/* Two handles of one segment that holds the kind's image (of a pipe: its two ends). */
struct fuzz_pair {
	struct kipc_object *obj[2];	/* either may be NULL once it was closed */
	struct fuzz_company company;
	struct fuzz_memory mem;		/* a mapping of the fuzzer's own */
	int fd;
};
void fuzz_pair_open(struct fuzz_pair *p, int kind);
/* Opens handle i anew, on whatever the segment is by now; false when it is refused. */
bool fuzz_pair_reopen(struct fuzz_pair *p, int kind, int i);
void fuzz_pair_close(struct fuzz_pair *p);

/* ---- checks ---- */

#define fuzz_assert(cond)                                                                          \
	do {                                                                                       \
		if (!(cond))                                                                       \
			fuzz_fail(__FILE__, __LINE__, #cond);                                      \
	} while (0)
void fuzz_fail(const char *file, int line, const char *what) __attribute__((noreturn));

/* Before and after an input: no descriptor may be left open. */
int fuzz_fds_begin(void);
void fuzz_fds_end(int before);

/* Reads all of it, so that a bad address shows. */
void fuzz_touch(const void *p, size_t len);

/* ---- seeds ---- */

/*
 * For the target to define: writes program number i to buf, its length is returned; 0: there are no
 * more.  Deterministic.  `target --seeds DIR` writes them all.
 */
size_t fuzz_seed(unsigned int i, uint8_t *buf, size_t max);
/* Bytes that look random, and always the same. */
size_t fuzz_seed_noise(unsigned int i, uint8_t *buf, size_t len);
/*
 * For programs of steps: 48 of them, of which the first 16 do without an enemy: from byte `first` on
 * they choose among the `ops` operations that begin with number 48.
 */
size_t fuzz_seed_steps(unsigned int i, uint8_t *buf, size_t first, unsigned int ops);

#endif
