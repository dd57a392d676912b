/* SPDX-License-Identifier: MIT */
/* For scenes of data that a writer's death tears, until the next writer has been told and wrote anew. */
#ifndef SELFTESTS_CRASH_POINTS_TORN_H
#define SELFTESTS_CRASH_POINTS_TORN_H

#include "points.h"

/* Of each actor: so often it was told as a writer; it read something torn, and was not told. */
enum { TOLD, TORN };

/* That nobody was deceived, and not more were told than died, before_all of them in setup(): 0, or -1. */
static inline int points_torn(int before_all)
{
	int64_t told = 0, dead = before_all;

	for (enum who who = STOPPED; who < ACTORS; who++) {
		told += points_told(who)->word[TOLD];
		dead += points_took_part(who) && !points_ended(who);
		if (points_told(who)->word[TORN])
			return points_bad("%d read something torn, and was not told", who);
	}
	if (told > dead)
		return points_bad("%ld were told of a death, there were %ld", (long)told, (long)dead);
	return 0;
}

#endif
