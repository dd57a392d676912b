// SPDX-License-Identifier: MIT
/*
 * The director: gives birth, kills, stops and continues, keeps watch, makes checkpoints.  It never
 * waits for a worker while one is stopped.
 */
#include <dirent.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "soak.h"

#define STOPS_AT_ONCE	2
#define CLEAN_NS	(150 * NSEC_PER_MSEC)	/* between two times when somebody is stopped */
#define CHECKPOINT_NS	(2 * NSEC_PER_SEC)
#define SCENES_EVERY	8			/* checkpoints */
#define ENOUGH		50			/* violations: it makes no sense to go on */

static struct alive {
	pid_t pid;
	enum soak_birth how;
	int64_t continue_ns;	/* stopped until then; 0: it is not */
	bool killed;		/* a pipe end: its pair ends */
} alive[SOAK_WORKERS];

struct soak_sums sums;

static struct soak_run *run;
static unsigned int seed;
static uint32_t incarnations;
static uint32_t latest;		/* place of the youngest */

static void nap_ns(int64_t ns)
{
	struct timespec ts = __kipc_timespec(ns);

	nanosleep(&ts, NULL);
}

static uint32_t all_violations(void)
{
	uint32_t n = 0;

	for (int p = 0; p < SOAK_PROMISES; p++)
		n += load_relaxed(&soak->violations[p]);
	return n;
}

/* ---- birth ---- */

static enum soak_birth choose_birth(uint32_t place)
{
	static const uint8_t often[SOAK_BIRTHS] = {
		[BIRTH_FORK] = 60, [BIRTH_CLONE] = 12, [BIRTH_EXEC] = 14, [BIRTH_PIDNS] = 12,
		[BIRTH_MEMCG] = 2,
	};
	uint32_t pick = below(&seed, 100), how = 0;

	while (pick >= often[how])
		pick -= often[how++];
	if (birth_missing(how))
		return BIRTH_FORK;
	if (how == BIRTH_MEMCG) {
		if (role_of(place) == ROLE_PIPE)
			return BIRTH_FORK;
		/* they share the limit */
		for (uint32_t i = 0; i < SOAK_WORKERS; i++)
			if (alive[i].pid && alive[i].how == BIRTH_MEMCG)
				return BIRTH_FORK;
	}
	return how;
}

/* One that was stopped, or waited for memory, does so no longer. */
static void not_held_up(void)
{
	store_release(&soak->last_held_up_ns, (uint64_t)__kipc_now_ns());
	fetch_sub(&soak->held_up, 1u);
}

static void begin_place(uint32_t place, struct kipc_pipe *const ends[2])
{
	struct soak_place *p = &soak->place[place];
	enum soak_birth how = choose_birth(place);
	pid_t pid;

	p->parked = 0;
	p->uncertain = 0;
	p->since_ns = 0;
	p->incarnation = ++incarnations;
	pid = birth(how, place, ends);
	if (pid < 0) {
		soak_wrong(SOAK_ERRORS, "place %u is not born: %s", place, kipc_strerror(pid));
		pid = 0;
	}
	/* the kernel has it wait for memory, whatever it holds */
	if (how == BIRTH_MEMCG)
		fetch_add(&soak->held_up, 1);
	alive[place] = (struct alive){ .pid = pid, .how = how };
	run->born[how]++;
	latest = place;
}

static void begin_pair(uint32_t pair)
{
	KIPC_OPTS(kipc_pipe_opts, opts, .ring_size = 4096);
	uint32_t place = SOAK_PIPE_0 + 2 * pair;
	struct kipc_pipe *ends[2], *swapped[2];
	int r;

	memset(soak->way[pair], 0, sizeof(soak->way[pair]));
	r = kipc_pipe_create(&opts, ends);
	if (r) {
		soak_wrong(SOAK_ERRORS, "a pipe is not made: %s", kipc_strerror(r));
		return;
	}
	swapped[0] = ends[1];
	swapped[1] = ends[0];
	begin_place(place, ends);
	begin_place(place + 1, swapped);
	kipc_pipe_close(ends[0]);
	kipc_pipe_close(ends[1]);
	run->pairs++;
}

/* ---- death ---- */

static void end_pair_if_over(uint32_t place)
{
	uint32_t pair = (place - SOAK_PIPE_0) / 2, first = SOAK_PIPE_0 + 2 * pair;
	int survivor = -1;

	if (alive[first].pid || alive[first + 1].pid)
		return;
	for (int i = 0; i < 2; i++)
		if (!alive[first + i].killed)
			survivor = i;
	pair_count(pair, survivor);
	begin_pair(pair);
}

static void continue_place(uint32_t place)
{
	if (!alive[place].continue_ns)
		return;
	kill(alive[place].pid, SIGCONT);
	alive[place].continue_ns = 0;
	not_held_up();
}

/* It is gone, and reaped: what it had in its hands is on record.  There is another one. */
static void buried(uint32_t place, int status, bool by_us)
{
	struct soak_place *p = &soak->place[place];
	enum soak_role role = role_of(place);
	struct alive *a = &alive[place];
	bool eaten = a->how == BIRTH_MEMCG && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;

	continue_place(place);
	if (a->how == BIRTH_MEMCG)
		not_held_up();
	a->pid = 0;
	a->killed = by_us;
	if (role == ROLE_CONSUMER)
		sums.uncertain[1] += load_acquire(&p->uncertain);
	else if (role == ROLE_CLIENT)
		sums.uncertain_elements += load_acquire(&p->uncertain);
	if (by_us)
		run->kills++;
	else if (eaten)
		run->oom_kills++;
	else if (status && WIFEXITED(status))
		soak_wrong(SOAK_ERRORS, "place %u (%d) exited with %d", place, a->how,
			   WEXITSTATUS(status));
	else if (status)
		soak_wrong(SOAK_ERRORS, "place %u (%d) died of signal %d", place, a->how,
			   WTERMSIG(status));
	else if (role != ROLE_PIPE && a->how != BIRTH_MEMCG)
		soak_wrong(SOAK_ERRORS, "place %u (%d) ended", place, a->how);
	if (role == ROLE_PIPE)
		end_pair_if_over(place);
	else
		begin_place(place, NULL);
}

static void kill_place(uint32_t place)
{
	int status = 0;

	if (!alive[place].pid)
		return;
	kill(alive[place].pid, SIGKILL);
	if (waitpid(alive[place].pid, &status, 0) != alive[place].pid)
		soak_wrong(SOAK_ERRORS, "place %u: waitpid(): %s", place, strerror(errno));
	/* it may have come to its end by itself at this moment */
	buried(place, status, WIFSIGNALED(status));
}

/* Those that ended by themselves. */
static void reap(void)
{
	for (uint32_t i = 0; i < SOAK_WORKERS; i++) {
		int status;

		if (alive[i].pid && waitpid(alive[i].pid, &status, WNOHANG) == alive[i].pid)
			buried(i, status, false);
	}
}

/* ---- stops, and keeping watch ---- */

static void stop_one(int64_t now)
{
	uint32_t place = below(&seed, SOAK_WORKERS);

	/* the first process of a namespace is not the one that works */
	if (load_relaxed(&soak->held_up) >= STOPS_AT_ONCE || !alive[place].pid ||
	    alive[place].continue_ns || alive[place].how == BIRTH_PIDNS)
		return;
	fetch_add(&soak->held_up, 1);
	kill(alive[place].pid, SIGSTOP);
	alive[place].continue_ns = now + (5 + below(&seed, 45)) * NSEC_PER_MSEC;
	run->stops++;
}

static void continue_those_whose_time_has_come(int64_t now)
{
	for (uint32_t i = 0; i < SOAK_WORKERS; i++)
		if (alive[i].continue_ns && alive[i].continue_ns <= now)
			continue_place(i);
}

static void watch(int64_t now)
{
	for (uint32_t i = 0; i < SOAK_WORKERS; i++) {
		int64_t since = (int64_t)load_acquire(&soak->place[i].since_ns);

		if (!since || !alive[i].pid || now - since < soak->stuck_s * NSEC_PER_SEC)
			continue;
		soak_wrong(SOAK_STUCK, "place %u waits for %d s: %s", i, soak->stuck_s,
			   soak_call_name(load_relaxed(&soak->place[i].doing)));
		kill_place(i);
	}
}

/* ---- a death before anything else ---- */

static int touch(void)
{
	for (;;) {
		kipc_queue_len(handles.queue[0]);
		kipc_dict_contains(handles.dict, kipc_int(0));
		kipc_list_len(handles.list);
	}
	return 0;
}

static int do_nothing(void)
{
	for (;;)
		pause();
	return 0;
}

static void kill_at_birth(void)
{
	enum soak_birth how = below(&seed, 2) ? BIRTH_FORK : BIRTH_CLONE;
	bool busy = below(&seed, 2);
	pid_t pid = birth_plain(how, busy ? touch : do_nothing);
	int status;

	if (pid < 0) {
		soak_wrong(SOAK_ERRORS, "a child is not born: %s", kipc_strerror(pid));
		return;
	}
	if (busy && below(&seed, 2))
		nap_ns(below(&seed, 2000) * NSEC_PER_USEC);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	run->kills_at_birth++;
}

/* ---- growth of this process ---- */

static long count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	long n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

static long anon_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[128];
	long kib = -1;

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "RssAnon: %ld", &kib);
	if (f)
		fclose(f);
	return kib;
}

static void measure(int which)
{
	run->fds[which] = count_fds();
	run->heap[which] = (long)mallinfo2().uordblks;
	run->anon_kib[which] = anon_kib();
}

/* ---- checkpoint ---- */

static void audit(struct kipc_object *obj, const char *what, uint32_t peers_max)
{
	KIPC_OPTS(kipc_report, rep, .flags = KIPC_CHECK_SETTLE | KIPC_CHECK_IDLE);
	int r = kipc_check(obj, &rep);

	if (r)
		soak_wrong(SOAK_AUDIT, "%s: %s", what, r < 0 ? kipc_strerror(r) : rep.first);
	if (rep.dead_peers || rep.dead_claims)
		soak_wrong(SOAK_AUDIT, "%s: %u slots and %lu claims of the dead are left", what,
			   rep.dead_peers, (unsigned long)rep.dead_claims);
	if (rep.live_peers > peers_max)
		soak_wrong(SOAK_AUDIT, "%s: %u processes, of %u", what, rep.live_peers, peers_max);
}

static void audit_all(uint32_t peers_max)
{
	audit(kipc_queue_object(handles.queue[0]), "queue 0", peers_max);
	audit(kipc_queue_object(handles.queue[1]), "queue 1", peers_max);
	audit(kipc_manager_object(handles.manager), "manager", peers_max);
	audit(kipc_shm_object(handles.shm), "shm", peers_max);
}

/* A dead end of a pipe has no successor before the other one, which may stand still, has ended. */
static bool parked(uint32_t place)
{
	return !alive[place].pid || load_acquire(&soak->place[place].parked) == soak->phase;
}

static bool all_parked(void)
{
	for (uint32_t i = 0; i < SOAK_WORKERS; i++)
		if (!parked(i))
			return false;
	return true;
}

/* False: it can't be done, and makes no sense to go on. */
static bool park_all(void)
{
	int64_t deadline = __kipc_now_ns() + soak->stuck_s * NSEC_PER_SEC;
	int late = 0;

	fetch_add(&soak->phase, 1);
	for (uint32_t i = 0; i < SOAK_WORKERS; i++)
		continue_place(i);
	while (!all_parked()) {
		int64_t now = __kipc_now_ns();

		nap_ns(NSEC_PER_MSEC / 2);
		reap();
		if (now < deadline && all_violations() < ENOUGH)
			continue;
		if (late++ || all_violations() >= ENOUGH)
			return false;
		for (uint32_t i = 0; i < SOAK_WORKERS; i++) {
			if (parked(i))
				continue;
			soak_wrong(SOAK_STUCK, "place %u does not stand still: %s", i,
				   soak_call_name(soak->place[i].doing));
			kill_place(i);
		}
		deadline = now + soak->stuck_s * NSEC_PER_SEC;
	}
	return true;
}

/* Others stand still; the scenes have objects of their own. */
static void play_scenes(void)
{
	const char *why;

	why = scene_pids();
	if (why)
		run->left_out[SOAK_PIDS] = why;
	why = scene_scarce();
	if (why)
		run->left_out[SOAK_SCARCE] = why;
}

/* This one, the workers, and the first processes of namespaces, which may be beside them. */
static uint32_t processes(void)
{
	uint32_t n = 1;

	for (uint32_t i = 0; i < SOAK_WORKERS; i++)
		n += 1 + (alive[i].how == BIRTH_PIDNS);
	return n;
}

static bool checkpoint(void)
{
	if (!park_all())
		return false;
	audit_all(processes());
	queue_count();
	manager_count();
	audit_all(processes());
	if (run->checkpoints++ % SCENES_EVERY == 0)
		play_scenes();
	if (run->checkpoints <= 2)
		measure(0);
	measure(1);
	return true;
}

static void go_on(void)
{
	fetch_add(&soak->phase, 1);
}

/* ---- the whole ---- */

static int make_objects(void)
{
	KIPC_OPTS(kipc_queue_opts, q0, .capacity = 64, .msg_size = 400);
	KIPC_OPTS(kipc_queue_opts, q1, .capacity = 5, .msg_size = 1200);
	int r;

	r = kipc_queue_create(NULL, &q0, &handles.queue[0]);
	r = r ? r : kipc_queue_create(NULL, &q1, &handles.queue[1]);
	r = r ? r : kipc_manager_create(NULL, NULL, &handles.manager);
	r = r ? r : kipc_list_create(handles.manager, "list", &handles.list);
	r = r ? r : kipc_dict_create(handles.manager, "dict", &handles.dict);
	r = r ? r : kipc_lock_create(handles.manager, "lock", &handles.lock);
	r = r ? r : kipc_rlock_create(handles.manager, "rlock", &handles.rlock);
	return r ? r : kipc_shm_create(NULL, 4096, NULL, &handles.shm);
}

static void take_stock(void)
{
	for (int q = 0; q < SOAK_QUEUES; q++) {
		struct kipc_queue_stat st = { .sz = sizeof(st) };

		kipc_queue_stat(handles.queue[q], &st);
		run->repairs += st.repairs;
		run->redelivered += st.redelivered;
		run->skipped += st.skipped;
	}
}

static void kill_all(void)
{
	for (uint32_t i = 0; i < SOAK_WORKERS; i++) {
		if (alive[i].pid) {
			kill(alive[i].pid, SIGKILL);
			waitpid(alive[i].pid, NULL, 0);
		}
	}
}

/* The director itself does not come back from a call: there is nothing more to be counted. */
static void give_up(int sig)
{
	static const char text[] = "soak: the director is stuck\n";

	(void)sig;
	kill_all();
	birth_end();
	_exit(write(STDERR_FILENO, text, sizeof(text) - 1) < 0 ? 2 : 1);
}

/* Everybody is dead, everything closed: nothing may be left of it. */
static void end_all(long fds_before)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	uint64_t blocks;
	int r = 0;

	audit_all(1);
	r = kipc_list_clear(handles.list);
	r = r ? r : kipc_dict_clear(handles.dict);
	r = r ? r : kipc_manager_stat(handles.manager, &st);
	run->repairs += st.repairs;
	blocks = st.objects;
	if (r || blocks != 4)
		soak_wrong(SOAK_AUDIT, "manager: %lu objects, not 4: %s", (unsigned long)blocks,
			   kipc_strerror(r));
	audit_all(1);
	take_stock();
	kipc_list_unref(handles.list);
	kipc_dict_unref(handles.dict);
	kipc_lock_unref(handles.lock);
	kipc_rlock_unref(handles.rlock);
	kipc_manager_close(handles.manager);
	kipc_shm_close(handles.shm);
	for (int q = 0; q < SOAK_QUEUES; q++)
		kipc_queue_close(handles.queue[q]);
	if (count_fds() > fds_before)
		soak_wrong(SOAK_GROWTH, "%ld descriptors when all is closed, %ld before",
			   count_fds(), fds_before);
	if (run->fds[1] != run->fds[0])
		soak_wrong(SOAK_GROWTH, "%ld descriptors, %ld at first", run->fds[1], run->fds[0]);
	if (run->heap[1] > run->heap[0] + 65536)
		soak_wrong(SOAK_GROWTH, "%ld bytes of heap, %ld at first", run->heap[1],
			   run->heap[0]);
	if (run->anon_kib[1] > run->anon_kib[0] + 4096)
		soak_wrong(SOAK_GROWTH, "%ld KiB of memory, %ld at first", run->anon_kib[1],
			   run->anon_kib[0]);
}

/* The tables have room for one more while. */
static bool tables_fill_up(void)
{
	bool full = load_relaxed(&soak_fates(soak->list_fates)->next) > SOAK_MESSAGES / 2;

	for (int q = 0; q < SOAK_QUEUES; q++)
		full |= load_relaxed(&soak_fates(soak->queue_fates[q])->next) > SOAK_MESSAGES / 2;
	return full;
}

static void act(int64_t now)
{
	uint32_t what = below(&seed, 100), victim = below(&seed, SOAK_WORKERS);

	/* those who eat have a death of their own to come */
	if (what < 60 && alive[victim].how != BIRTH_MEMCG)
		kill_place(victim);
	else if (what < 72 && alive[latest].how != BIRTH_MEMCG)
		kill_place(latest);
	else if (what < 80)
		kill_at_birth();
	else if (load_relaxed(&soak->held_up) || now > (int64_t)soak->last_held_up_ns + CLEAN_NS)
		stop_one(now);
}

int direct(struct soak_run *r)
{
	long fds_before = count_fds();
	int64_t begin = __kipc_now_ns(), end = begin + r->seconds * NSEC_PER_SEC, next, now;
	bool whole;
	int ret;

	run = r;
	signal(SIGALRM, give_up);
	seed = (unsigned int)soak->seed;
	ret = make_objects();
	if (ret)
		return ret;
	for (uint32_t i = 0; i < SOAK_PIPE_0; i++)
		begin_place(i, NULL);
	for (uint32_t i = 0; i < SOAK_PAIRS; i++)
		begin_pair(i);
	/* the first one soon: for short runs, and for something to compare with */
	next = begin + r->seconds * NSEC_PER_SEC / 4;
	next = min_of(next, begin + CHECKPOINT_NS);
	while ((now = __kipc_now_ns()) < end && all_violations() < ENOUGH) {
		alarm((unsigned int)soak->stuck_s * 6);
		if (now >= next || tables_fill_up()) {
			if (!checkpoint())
				break;
			go_on();
			next = __kipc_now_ns() + CHECKPOINT_NS;
		}
		continue_those_whose_time_has_come(now);
		reap();
		watch(now);
		act(now);
		nap_ns((1 + below(&seed, 3)) * NSEC_PER_MSEC);
	}
	whole = now >= end && checkpoint();
	kill_all();
	if (whole)
		end_all(fds_before);
	alarm(0);
	r->took_s = (double)(__kipc_now_ns() - begin) / 1e9;
	return 0;
}
