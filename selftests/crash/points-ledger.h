/* SPDX-License-Identifier: MIT */
/*
 * Messages that say who put them, and the account of them all: none is lost, none comes twice, those
 * of a producer come in order to each consumer.
 *
 * The k-th message of an actor has the number 100 * (who + 1) + k, the world's has k; k from 1.
 */
#ifndef SELFTESTS_CRASH_POINTS_LEDGER_H
#define SELFTESTS_CRASH_POINTS_LEDGER_H

#include "points.h"

/* The next message of this process, of so many bytes (8 or more). */
void ledger_fill(void *buf, size_t len);
/* It was put. */
void ledger_put(void);
/* It was got, whole or torn; MAYBE: by a call that doesn't tell. */
enum { FLAGGED_NO, FLAGGED_YES, FLAGGED_MAYBE };
void ledger_got(const void *buf, size_t len, int flagged);
/* What the operation that begins now may put and get. */
void ledger_may(int put, int get);

/*
 * When all that is there was got by the world.  Flagged messages are right where one was requeued, or
 * a consumer died; so many were dropped for want of room, or one more.  The state, or -1.
 */
int ledger_verify(bool requeued, int64_t dropped);

#endif
