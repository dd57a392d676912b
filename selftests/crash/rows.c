// SPDX-License-Identifier: MIT
/* See rows.h. */
#include "rows.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/atomic.h"

#define JOBS_PER_CPU 2

static void stay_on(const cpu_set_t *all, uint32_t which)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	which %= (uint32_t)CPU_COUNT(all);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, all) && !which--)
			CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void *shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static _Noreturn void work(const struct rows *rows, uint32_t *next, char *outs, int fd)
{
	uint32_t row;

	while ((row = fetch_add(next, 1)) < rows->n) {
		rows->work(row, outs + row * rows->size);
		if (write(fd, &row, sizeof(row)) != sizeof(row))
			_exit(1);
	}
	_exit(0);
}

int rows_run(const struct rows *rows)
{
	uint32_t jobs = rows->jobs, printed = 0, row, *next = shared(sizeof(*next));
	char *outs = shared((rows->n + 1) * rows->size);
	bool *done = calloc(rows->n + 1, sizeof(*done));
	cpu_set_t all;
	int fds[2];

	if (!done || sched_getaffinity(0, sizeof(all), &all) || pipe2(fds, O_CLOEXEC))
		abort();
	if (!jobs)
		jobs = JOBS_PER_CPU * (uint32_t)CPU_COUNT(&all);
	fflush(NULL);
	for (uint32_t i = 0; i < jobs; i++) {
		pid_t pid = fork();

		if (pid < 0)
			abort();
		if (!pid) {
			close(fds[0]);
			stay_on(&all, i);
			work(rows, next, outs, fds[1]);
		}
	}
	close(fds[1]);
	/* until all have ended, and the pipe with them */
	while (read(fds[0], &row, sizeof(row)) == sizeof(row)) {
		done[row] = true;
		for (; printed < rows->n && done[printed]; printed++)
			rows->print(printed, outs + printed * rows->size);
	}
	while (wait(NULL) > 0 || errno == EINTR)
		;
	close(fds[0]);
	free(done);
	return printed == rows->n ? 0 : -1;
}
