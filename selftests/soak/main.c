// SPDX-License-Identifier: MIT
/* soak: many processes, killed all the time, for as long as you like.  See soak.h and --help. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "soak.h"

static const char usage[] =
	"soak [OPTION...]: processes use all kinds of objects; every few ms one is killed\n"
	"  --seconds=N  how long (10)\n"
	"  --seed=N     of what happens; without it, another one each time\n"
	"  --tap        print TAP beside the table\n";

static const char *const promises[SOAK_PROMISES] = {
	[SOAK_QUEUE] = "messages come, once or flagged, in order",
	[SOAK_PIPE] = "what was sent before a hang-up is received",
	[SOAK_LIST] = "elements are there once",
	[SOAK_DICT] = "keys hold what was stored last",
	[SOAK_LOCK] = "one holder; the next one is told of its death",
	[SOAK_AUDIT] = "nothing is damaged, leaked or held by the dead",
	[SOAK_GROWTH] = "the long-lived process does not grow",
	[SOAK_STUCK] = "nobody is stuck",
	[SOAK_ERRORS] = "no call fails that should not",
	[SOAK_PIDS] = "equal process numbers in several namespaces",
	[SOAK_SCARCE] = "nothing left to take: clear errors, no leaks",
};

/* Shared by all, found again after an exec by its descriptor. */
static int make_shared(uint64_t seed)
{
	size_t table = (fates_size(SOAK_MESSAGES) + 63) & ~(size_t)63;
	size_t at = (sizeof(*soak) + 63) & ~(size_t)63, size = at + 3 * table;
	const char *scale = getenv("KSFT_SCALE");

	soak_fd = memfd_create("soak", MFD_CLOEXEC);
	if (soak_fd < 0 || ftruncate(soak_fd, (off_t)size))
		return -errno;
	soak = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, soak_fd, 0);
	if (soak == MAP_FAILED)
		return -errno;
	soak->seed = seed;
	soak->stuck_s = 10 * (scale && atoi(scale) > 0 ? atoi(scale) : 1);
	for (int i = 0; i < SOAK_QUEUES; i++, at += table) {
		soak->queue_fates[i] = at;
		soak_fates(at)->n = SOAK_MESSAGES;
	}
	soak->list_fates = at;
	soak_fates(at)->n = SOAK_MESSAGES;
	return 0;
}

static void row(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void row(const char *name, const char *fmt, ...)
{
	va_list ap;

	printf("# %-24s ", name);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

static void print_table(const struct soak_run *run, uint32_t violations)
{
	struct soak_counts c = { 0 };

	for (int i = 0; i < SOAK_WORKERS; i++) {
		const struct soak_counts *p = &soak->place[i].count;

		c.list_ops += p->list_ops;
		c.dict_ops += p->dict_ops;
		c.lock_ops += p->lock_ops;
		c.pipe_messages += p->pipe_messages;
		c.takeovers += p->takeovers;
		for (int call = 0; call < SOAK_CALLS; call++) {
			c.worst_ns[call] = max_of(c.worst_ns[call], p->worst_ns[call]);
			c.worst_clean_ns[call] =
				max_of(c.worst_clean_ns[call], p->worst_clean_ns[call]);
		}
	}
	row("seed", "%lu", (unsigned long)soak->seed);
	row("seconds", "%.1f", run->took_s);
	row("kills", "%lu, and %lu at birth, %lu for want of memory", (unsigned long)run->kills,
	    (unsigned long)run->kills_at_birth, (unsigned long)run->oom_kills);
	row("stops", "%lu", (unsigned long)run->stops);
	row("forks", "%lu, and %lu bare clones, %lu into PID namespaces, %lu into a cgroup",
	    (unsigned long)run->born[BIRTH_FORK], (unsigned long)run->born[BIRTH_CLONE],
	    (unsigned long)run->born[BIRTH_PIDNS], (unsigned long)run->born[BIRTH_MEMCG]);
	row("execs", "%lu", (unsigned long)run->born[BIRTH_EXEC]);
	row("messages", "%lu, %lu of the dead came, %lu came again", (unsigned long)sums.messages,
	    (unsigned long)sums.unsure, (unsigned long)sums.twice);
	row("redelivered", "%lu, skipped %lu", (unsigned long)run->redelivered,
	    (unsigned long)run->skipped);
	row("pipe messages", "%lu, over %lu pipes", (unsigned long)c.pipe_messages,
	    (unsigned long)run->pairs);
	row("list operations", "%lu, %lu elements", (unsigned long)c.list_ops,
	    (unsigned long)sums.elements);
	row("dict operations", "%lu", (unsigned long)c.dict_ops);
	row("locks acquired", "%lu, %lu of dead holders", (unsigned long)c.lock_ops,
	    (unsigned long)c.takeovers);
	row("repairs", "%lu", (unsigned long)run->repairs);
	row("checkpoints", "%lu", (unsigned long)run->checkpoints);
	row("descriptors", "%ld, then %ld", run->fds[0], run->fds[1]);
	row("heap, bytes", "%ld, then %ld", run->heap[0], run->heap[1]);
	row("memory, KiB", "%ld, then %ld", run->anon_kib[0], run->anon_kib[1]);
	for (uint32_t call = 1; call < SOAK_CALLS; call++)
		row(call == 1 ? "worst wait, ms" : "", "%8.1f, %8.1f while nobody was held up: %s",
		    (double)c.worst_ns[call] / 1e6, (double)c.worst_clean_ns[call] / 1e6,
		    soak_call_name(call));
	for (int i = 0; i < SOAK_BIRTHS; i++)
		if (birth_missing((enum soak_birth)i))
			row("left out", "%s", birth_missing((enum soak_birth)i));
	for (int i = 0; i < SOAK_PROMISES; i++)
		if (run->left_out[i])
			row("left out", "%s", run->left_out[i]);
	row("violations", "%u", violations);
}

static uint32_t print_verdict(const struct soak_run *run, bool tap)
{
	uint32_t n = 0;

	if (tap)
		printf("TAP version 13\n1..%d\n", SOAK_PROMISES);
	for (int p = 0; p < SOAK_PROMISES; p++) {
		n += soak->violations[p];
		if (!tap)
			continue;
		printf("%sok %d - %s", soak->violations[p] ? "not " : "", p + 1, promises[p]);
		if (run->left_out[p] && !soak->violations[p])
			printf(" # SKIP %s", run->left_out[p]);
		printf("\n");
	}
	for (uint32_t i = 0; i < min_of(soak->ntexts, (uint32_t)SOAK_TEXTS); i++)
		printf("# VIOLATION: %s\n", soak->text[i]);
	return n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seconds", required_argument, NULL, 's' },
		{ "seed", required_argument, NULL, 'r' },
		{ "tap", no_argument, NULL, 't' },
		{ "worker", required_argument, NULL, 'w' },	/* by birth.c */
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	struct soak_run run = { .seconds = 10 };
	uint64_t seed = (uint64_t)time(NULL);
	uint32_t violations;
	bool tap = false;
	int c, r;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			run.seconds = atoll(optarg);
			break;
		case 'r':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 't':
			tap = true;
			break;
		case 'w':
			return birth_after_exec((uint32_t)atoi(optarg));
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	r = make_shared(seed);
	if (!r) {
		birth_init();
		r = direct(&run);
		birth_end();
	}
	if (r) {
		fprintf(stderr, "soak: %s\n", kipc_strerror(r));
		return 1;
	}
	violations = print_verdict(&run, tap);
	print_table(&run, violations);
	return violations != 0;
}
