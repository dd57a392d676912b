// SPDX-License-Identifier: MIT
/*
 * The ledger: the names in a file of the runtime folder, for the broker that comes after this one.
 *
 * It says which object had which name: by the inode of its memfd and the numbers that the kernel
 * gave its eventfds, none of which a process can choose.  So the next broker believes no process
 * that says "this was jobs": it knows what jobs was, and only looks who has it.
 *
 * States of a record: free (used = 0), or a name.  The one broker moves them, each by one write(2)
 * of a few bytes within one page of the file: when it is killed, either all of it was done or
 * nothing.  A name is stored before its client is told; it is cleared before the client that
 * unlinks it is told.  Death between the two: the client gets no answer and asks the next broker,
 * which finds the name as the ledger has it, and says the same (a PUBLISH of what is published is
 * done; an UNLINK is told apart by the client, who knows that it asked twice).
 *
 * The broker holds a lock on the file for life: that there is only one of it is this lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/kipcd/kipcd.h"

#define LEDGER_MAGIC	0x3152474443504b4bULL	/* "KKPCDGR1" */
#define PLACE		256		/* bytes from record to record, and before the first */
#define PLACES_MAX	(1u << 20)

struct head {
	uint64_t magic;
	uint32_t record_size;
	uint32_t reserved;
};

_Static_assert(sizeof(struct record) <= PLACE && 4096 % PLACE == 0, "a record is within a page");

static off_t place(uint32_t slot)
{
	return (off_t)(slot + 1) * PLACE;
}

static int write_all(int fd, const void *buf, size_t len, off_t at)
{
	ssize_t n = pwrite(fd, buf, len, at);

	if (n < 0)
		return errno == EDQUOT || errno == EFBIG ? -ENOSPC : -errno;
	return (size_t)n == len ? 0 : -ENOSPC;
}

int ledger_open(struct broker *b)
{
	int fd = openat(b->dir, "names", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct head head = { 0 };
	int r;

	if (fd < 0)
		return -errno;
	r = flock(fd, LOCK_EX | LOCK_NB) ? -errno : 0;
	if (r) {
		close(fd);
		return r == -EWOULDBLOCK ? -EBUSY : r;
	}
	/* of another version, or new: nothing in it can be used */
	if (pread(fd, &head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
	    head.magic != LEDGER_MAGIC || head.record_size != sizeof(struct record)) {
		head = (struct head){ LEDGER_MAGIC, sizeof(struct record), 0 };
		r = ftruncate(fd, 0) ? -errno : write_all(fd, &head, sizeof(head), 0);
		if (r) {
			close(fd);
			return r;
		}
	}
	b->ledger = fd;
	return 0;
}

/* What a disk or an editor may have made of a record. */
static bool plausible(const struct record *rec)
{
	int bells = kind_bells(rec->kind);

	if (rec->used != 1 || !object_name_ok(rec->name) || (rec->flags & ~KIPC_BROKER_TIED))
		return false;
	return rec->kind == KIPC_SEG_PIPE ? !rec->nbells : bells == rec->nbells;
}

int ledger_load(struct broker *b)
{
	struct record rec;
	struct stat st;
	int r;

	if (fstat(b->ledger, &st))
		return -errno;
	for (uint32_t slot = 0; slot < PLACES_MAX && place(slot) < st.st_size; slot++) {
		if (pread(b->ledger, &rec, sizeof(rec), place(slot)) != (ssize_t)sizeof(rec))
			break;
		if (!rec.used)
			continue;
		if (!plausible(&rec) || table_find(&b->table, rec.kind, rec.name)) {
			r = ledger_clear(b, slot);
			if (r)
				return r;
		} else if (!table_add(b, slot, &rec)) {
			return -ENOMEM;
		}
	}
	return 0;
}

int ledger_store(struct broker *b, uint32_t slot, const struct record *rec)
{
	if (b->ledger < 0)
		return 0;
	return slot < PLACES_MAX ? write_all(b->ledger, rec, sizeof(*rec), place(slot)) : -ENOSPC;
}

int ledger_clear(struct broker *b, uint32_t slot)
{
	const uint32_t used = 0;

	if (b->ledger < 0)
		return 0;
	return write_all(b->ledger, &used, sizeof(used), place(slot));
}
