/* SPDX-License-Identifier: MIT */
/*
 * The file that `record' writes and `replay' reads: a header, then entries one after the other, each
 * with its bytes behind it, padded to 8.  Numbers are little-endian.
 *
 *	MESSAGE	a message, and when it was seen
 *	MISSED	so many positions went by unseen; some of them may have held no message
 *	END	the last entry, with the sums; not there if the recorder was killed
 */
#ifndef TOOLS_COMMON_RECORDING_H
#define TOOLS_COMMON_RECORDING_H

#include <stdint.h>
#include <stdio.h>

#define RECORDING_MAGIC		0x314345524350494bULL	/* "KIPCREC1" */
#define RECORDING_VERSION	1

struct recording_header {
	uint64_t magic;
	uint32_t version;
	uint32_t reserved;
	uint64_t queue_id;
	uint64_t start_ns;	/* CLOCK_REALTIME */
	uint64_t msg_size;	/* bytes of the queue's largest message */
	uint64_t capacity;	/* messages */
	uint64_t reserved2[2];
};

enum recording_type {
	RECORDING_MESSAGE	= 1,
	RECORDING_MISSED	= 2,
	RECORDING_END		= 3,
};

struct recording_entry {
	uint32_t type;		/* enum recording_type */
	uint32_t reserved;
	uint64_t time_ns;	/* since the start */
	uint64_t number;	/* positions since the queue was made; of END: messages recorded */
	uint64_t len;		/* bytes; of MISSED and END: positions missed */
};

_Static_assert(sizeof(struct recording_header) == 64, "header");
_Static_assert(sizeof(struct recording_entry) == 32, "entry");

static inline uint64_t recording_padded(uint64_t len)
{
	return (len + 7) & ~7ULL;
}

/* 0; -EINVAL: this is no recording, or of another version; -EIO. */
int recording_open(FILE *f, struct recording_header *h);

/*
 * Reads the next entry; of a message the bytes come to *buf, which is made larger as needed and is
 * to be freed in the end.  1; 0: the end of the file; -EINVAL: it is cut short, or nonsense.
 */
int recording_next(FILE *f, const struct recording_header *h, struct recording_entry *e,
		   char **buf, size_t *size);

#endif
