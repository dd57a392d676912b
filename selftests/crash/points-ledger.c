// SPDX-License-Identifier: MIT
/* See points-ledger.h. */
#include "points-ledger.h"

#include <string.h>

#define PER_ACTOR	100
#define NUMBERS		(PER_ACTOR * (ACTORS + 1))

static int64_t first_of(enum who who)
{
	return who == WORLD ? 1 : PER_ACTOR * ((int64_t)who + 1) + 1;
}

static uint8_t byte_at(int64_t number, size_t i)
{
	return (uint8_t)((uint64_t)number * 7 + i);
}

void ledger_fill(void *buf, size_t len)
{
	int64_t number = first_of(points_who) + points_told(points_who)->nput;
	uint8_t *p = buf;

	memcpy(p, &number, sizeof(number));
	for (size_t i = sizeof(number); i < len; i++)
		p[i] = byte_at(number, i);
}

void ledger_put(void)
{
	points_told(points_who)->nput++;
}

void ledger_may(int put, int get)
{
	points_told(points_who)->may_put = put;
	points_told(points_who)->may_get = get;
}

static int64_t number_of(const uint8_t *p, size_t len)
{
	int64_t number;

	if (len < sizeof(number))
		return -1;
	memcpy(&number, p, sizeof(number));
	for (size_t i = sizeof(number); i < len; i++)
		if (p[i] != byte_at(number, i))
			return -1;
	return number;
}

void ledger_got(const void *buf, size_t len, int flagged)
{
	struct told *t = points_told(points_who);

	if (t->ngot == TOLD_MAX)
		return;		/* will be missed */
	t->got[t->ngot] = number_of(buf, len);
	t->how[t->ngot++] = (uint8_t)flagged;
}

/* ---- the account ---- */

static int seen[NUMBERS], flags;

static int read_log(enum who who)
{
	const struct told *t = points_told(who);
	int64_t last[ACTORS + 1] = { 0 };

	for (int i = 0; i < t->ngot; i++) {
		int64_t n = t->got[i], *of;

		if (n <= 0 || n >= NUMBERS)
			return points_bad("%d got a torn message", who);
		if (seen[n]++)
			return points_bad("message %ld came twice", (long)n);
		of = &last[n / PER_ACTOR];
		if (t->how[i] == FLAGGED_NO && n <= *of)
			return points_bad("%d got %ld after %ld", who, (long)n, (long)*of);
		if (t->how[i] == FLAGGED_YES || n <= *of)
			flags++;
		else
			*of = n;
	}
	return 0;
}

/* Of those that it has put, how many nobody got. */
static int missing_of(enum who who)
{
	int n = 0;

	for (int k = 0; k < points_told(who)->nput; k++)
		n += !seen[first_of(who) + k];
	return n;
}

/* Of those that it may have put before it died: how many are there, and *gaps among them. */
static int there_of(enum who who, int *gaps)
{
	const struct told *t = points_told(who);
	int n = 0, last = 0;

	for (int k = t->nput; k < t->may_put; k++) {
		if (!seen[first_of(who) + k])
			continue;
		n++;
		last = k - t->nput + 1;
	}
	*gaps += last - n;
	return n;
}

static int state_of(int n, int most)
{
	if (!n)
		return POINTS_OLD;
	return n == most ? POINTS_NEW : POINTS_OLD | POINTS_NEW;
}

int ledger_verify(bool requeued, int64_t dropped)
{
	const struct told *killed = points_told(KILLED);
	int missing = 0, eaten = 0, there = 0;

	memset(seen, 0, sizeof(seen));
	flags = 0;
	for (enum who who = STOPPED; who <= WORLD; who++) {
		if (read_log(who))
			return -1;
		if (who != WORLD && points_took_part(who) && !points_ended(who))
			eaten += points_told(who)->may_get - points_told(who)->ngot;
	}
	for (enum who who = STOPPED; who <= WORLD; who++) {
		missing += missing_of(who);
		if (who != WORLD && points_took_part(who) && !points_ended(who)) {
			int n = there_of(who, &missing);

			there = who == KILLED ? n : there;
		}
	}
	if (flags > eaten && !requeued)
		return points_bad("%d messages are flagged", flags);
	if (missing < dropped || missing > eaten + dropped + (dropped > 0))
		return points_bad("%d messages are lost, %ld dropped, the dead may have had %d", missing,
				  (long)dropped, eaten);
	if (points_ended(KILLED))
		return POINTS_NEW;
	if (dropped || requeued)
		return POINTS_OLD | POINTS_NEW;
	if (killed->may_put)
		return state_of(there, killed->may_put - killed->nput);
	if (killed->may_get)
		return state_of(missing, killed->may_get);
	return POINTS_OLD | POINTS_NEW;
}
