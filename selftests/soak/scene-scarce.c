// SPDX-License-Identifier: MIT
/*
 * Something is used up: descriptors, address space, the size of a file, huge pages, slots, the
 * room in a manager.  Each is a child of its own that limits itself.  Making or using an object
 * then works or says what is missing, and what failed leaves nothing behind: no descriptor, no
 * mapping.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "soak.h"

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif

/* What a limit is tried on: made, and closed again if that worked. */
static int make_queue(void)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = 512);	/* of 64 KiB: 32 MiB */
	struct kipc_queue *q;
	int r = kipc_queue_create(NULL, &opts, &q);

	if (!r)
		kipc_queue_close(q);
	return r;
}

static int make_pipe(void)
{
	struct kipc_pipe *ends[2];
	int r = kipc_pipe_create(NULL, ends);

	for (int i = 0; i < 2 && !r; i++)
		kipc_pipe_close(ends[i]);
	return r;
}

static int make_shm(void)
{
	struct kipc_shm *s;
	int r = kipc_shm_create(NULL, 32 << 20, NULL, &s);

	if (!r)
		kipc_shm_close(s);
	return r;
}

static int make_manager(void)
{
	KIPC_OPTS(kipc_manager_opts, opts, .max_size = 32 << 20);
	struct kipc_manager *m;
	int r = kipc_manager_create(NULL, &opts, &m);

	if (!r)
		kipc_manager_close(m);
	return r;
}

static int (*const make[])(void) = { make_queue, make_pipe, make_shm, make_manager };
static const char *const kinds[] = { "queue", "pipe", "shm", "manager" };

#define KINDS	(sizeof(make) / sizeof(make[0]))

static void wrong(const char *what, const char *kind, long got, long want)
{
	soak_wrong(SOAK_SCARCE, "%s, %s: %ld, not %ld", what, kind, got, want);
}

static bool limit(int resource, rlim_t n)
{
	struct rlimit l;

	if (getrlimit(resource, &l))
		return false;
	l.rlim_cur = n < l.rlim_max ? n : l.rlim_max;
	return !setrlimit(resource, &l);
}

/* The number that the next descriptor would have. */
static int next_fd(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

	if (fd >= 0)
		close(fd);
	return fd;
}

/* KiB of address space. */
static long address_space(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long pages = 0;

	if (f) {
		if (fscanf(f, "%ld", &pages) != 1)
			pages = 0;
		fclose(f);
	}
	return pages * 4;
}

/*
 * Each kind with more and more of it.  With nothing each must fail with `error`, with all that
 * there was before it must work, and in between one of the two.
 */
static int try_limits(const char *what, int resource, rlim_t base, const rlim_t *more, int n,
		      int error)
{
	struct rlimit before;

	if (getrlimit(resource, &before))
		return 1;
	for (size_t k = 0; k < KINDS; k++) {
		for (int i = 0; i <= n; i++) {
			int fd = next_fd(), r;
			long space = address_space();

			if (i < n ? !limit(resource, base + more[i]) :
				    setrlimit(resource, &before) != 0)
				return 1;
			r = make[k]();
			setrlimit(resource, &before);
			if (i == n ? r : r != error && (r || i == 0))
				wrong(what, kinds[k], r, i == n ? 0 : error);
			if (next_fd() != fd)
				wrong("descriptors are left", kinds[k], next_fd(), fd);
			/* malloc() may keep some */
			if (address_space() > space + 1024)
				wrong("address space is left, KiB", kinds[k], address_space(),
				      space);
		}
	}
	return 0;
}

static int no_descriptors(void)
{
	static const rlim_t more[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16 };

	return try_limits("no descriptors", RLIMIT_NOFILE, (rlim_t)next_fd(), more,
			  sizeof(more) / sizeof(more[0]), -EMFILE);
}

static int no_address_space(void)
{
#ifdef WITH_ASAN
	return 0;	/* it wants all of it for itself */
#else
	static const rlim_t more[] = { 0, 1 << 16, 1 << 17, 1 << 18, 1 << 20, 1 << 22, 30 << 20 };

	return try_limits("no address space", RLIMIT_AS, (rlim_t)address_space() * 1024, more,
			  sizeof(more) / sizeof(more[0]), -ENOMEM);
#endif
}

static int no_file_size(void)
{
	static const rlim_t more[] = { 0, 4096, 65536 };

	signal(SIGXFSZ, SIG_IGN);
	return try_limits("no file size", RLIMIT_FSIZE, 0, more, sizeof(more) / sizeof(more[0]),
			  -ENOSPC);
}

/* Takes all huge pages that there are, if they aren't too many. */
static int no_huge_pages(void)
{
	KIPC_OPTS(kipc_shm_opts, huge, .huge = KIPC_HUGE_2M);
	KIPC_OPTS(kipc_shm_opts, any, .huge = KIPC_HUGE_TRY);
	struct kipc_shm *s[64];
	int n = 0, r = 0, fd = next_fd();

	while (n < 64 && !(r = kipc_shm_create(NULL, 2 << 20, &huge, &s[n])))
		n++;
	if (n < 64 && r != -ENOMEM)
		wrong("no huge pages", "shm", r, -ENOMEM);
	if (n < 64) {
		r = kipc_shm_create(NULL, 2 << 20, &any, &s[n]);
		if (r)
			wrong("no huge pages, any will do", "shm", r, 0);
		else if (kipc_shm_page_size(s[n]) != 4096)
			wrong("size of the pages that were had", "shm",
			      (long)kipc_shm_page_size(s[n]), 4096);
		n += !r;
	}
	while (n--)
		kipc_shm_close(s[n]);
	if (next_fd() != fd)
		wrong("descriptors are left", "shm", next_fd(), fd);
	return 0;
}

static struct kipc_queue *narrow;

static int put_there(void)
{
	return -kipc_queue_put(narrow, "x", 1, KIPC_NOWAIT);
}

static int stay_there(void)
{
	if (kipc_queue_put(narrow, "x", 1, KIPC_NOWAIT))
		return 1;
	for (;;)
		pause();
}

static int result_of(int (*fn)(void))
{
	pid_t pid = birth_plain(BIRTH_FORK, fn);
	int status = 0;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* As many processes as it has room for; the death of one makes room at once. */
static int no_slots(void)
{
	KIPC_OPTS(kipc_queue_opts, opts, .max_peers = 2);
	int64_t deadline = __kipc_now_ns() + soak->stuck_s * NSEC_PER_SEC;
	pid_t second;
	int r = kipc_queue_create(NULL, &opts, &narrow);

	if (r)
		return 1;
	second = birth_plain(BIRTH_FORK, stay_there);
	while (kipc_queue_len(narrow) != 1 && __kipc_now_ns() < deadline)
		soak_nap_us(500);
	r = result_of(put_there);
	if (r != EUSERS)
		wrong("no slots", "queue", -r, -EUSERS);
	kill(second, SIGKILL);
	waitpid(second, NULL, 0);
	r = result_of(put_there);
	if (r)
		wrong("a slot of the dead", "queue", -r, 0);
	if (kipc_queue_len(narrow) != 2)
		wrong("messages", "queue", kipc_queue_len(narrow), 2);
	kipc_queue_close(narrow);
	return 0;
}

/* A manager that may not grow: full, used all the same, and roomy again. */
static int no_room(void)
{
	KIPC_OPTS(kipc_manager_opts, opts, .size = 192 << 10, .max_size = 512 << 10);
	KIPC_OPTS(kipc_report, rep, .flags = KIPC_CHECK_SETTLE | KIPC_CHECK_IDLE);
	static const char bytes[3000];
	struct kipc_manager *m;
	struct kipc_list *l;
	int64_t n = 0;
	int r;

	if (kipc_manager_create(NULL, &opts, &m) || kipc_list_create(m, NULL, &l))
		return 1;
	while (!(r = kipc_list_append(l, kipc_bytes(bytes, sizeof(bytes)))) && n < 1000)
		n++;
	if (r != -ENOMEM || n < 10 || kipc_list_len(l) != n)
		wrong("no room", "list", r, -ENOMEM);
	r = kipc_list_pop(l, n / 2, NULL);
	if (!r)
		r = kipc_list_append(l, kipc_bytes(bytes, sizeof(bytes)));
	if (r)
		wrong("room again", "list", r, 0);
	r = kipc_check(kipc_manager_object(m), &rep);
	if (r)
		soak_wrong(SOAK_SCARCE, "no room, manager: %s", rep.first);
	kipc_list_unref(l);
	kipc_manager_close(m);
	return 0;
}

const char *scene_scarce(void)
{
	static const struct {
		const char *name;
		int (*play)(void);
	} scenes[] = {
		{ "no descriptors", no_descriptors }, { "no address space", no_address_space },
		{ "no file size", no_file_size }, { "no huge pages", no_huge_pages },
		{ "no slots", no_slots }, { "no room", no_room },
	};

	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		int r = result_of(scenes[i].play);

		if (r)
			soak_wrong(SOAK_SCARCE, "%s: ended with %d", scenes[i].name, r);
	}
	return NULL;
}
