// SPDX-License-Identifier: MIT
/* Worlds, points and what comes out of them: see engine.h. */
#include "engine.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit.h"
#include "core/peer.h"
#include "core/time.h"

#define WORLD_SECONDS	20	/* a world that takes longer is stuck */
#define SLOW_TRIES	4
#define CHANGING_MAX	4096	/* pages */
#define QUICK_THOROUGH	64	/* every so many-th look is, where not all of them are */

static struct crash_report *report;
static int *result;			/* of the victim */

static struct kipc_object *tracked;	/* of this world */
static const uint8_t *watched;
static size_t watched_len;
static bool idle;			/* no helper of it uses the object */
static uint8_t *seen;			/* a copy of it */
static size_t seen_len;
static bool quick;			/* few looks are thorough */
static bool *changing;			/* the page was seen to change; shared by all worlds */
static int64_t killed_ns;		/* just before the last victim was */
static int64_t killed_queued_ns;	/* queued_ns() then */
static int64_t queued_ns(void);

void *crash_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

struct trace *crash_trace(int which)
{
	static struct trace *traces[2];

	if (!traces[which])
		traces[which] = crash_shared(sizeof(struct trace));
	return traces[which];
}

void crash_track(struct kipc_object *obj)
{
	tracked = obj;
	crash_watch(obj->seg.base, obj->seg.size);
}

void crash_forget(void)
{
	tracked = NULL;
	watched = NULL;
}

void crash_watch(const void *base, size_t len)
{
	watched = base;
	watched_len = len;
}

int crash_bad(const char *fmt, ...)
{
	va_list ap;

	if (report->text[0])
		return -1;
	va_start(ap, fmt);
	vsnprintf(report->text, sizeof(report->text), fmt, ap);
	va_end(ap);
	return -1;
}

int crash_expect(const char *what, int64_t got, int64_t want)
{
	return got == want ? 0 : crash_bad("%s: %ld, should be %ld", what, (long)got, (long)want);
}

int crash_audit(void)
{
	char text[200];

	if (!tracked)
		return 0;
	__kipc_peer_sweep(&tracked->seg, 0);
	if (!crash_audit_object(tracked, idle, text, sizeof(text)))
		return 0;
	return crash_bad("audit: %s", text);
}

/* ---- inside of a world ---- */

/*
 * Whether what others can see has changed since the last look.  Comparing all of it takes longer than
 * the step; a look that isn't thorough takes the pages that were seen to change before.
 */
static bool changed(bool thorough)
{
	bool diff = false;

	if (tracked)
		watched_len = __kipc_segment_refresh(&tracked->seg);
	if (!watched)
		return false;
	if (seen_len != watched_len) {
		seen = realloc(seen, watched_len);
		if (!seen)
			abort();
		memset(seen + seen_len, 0, watched_len - seen_len);
		seen_len = watched_len;
		diff = thorough = true;
	}
	for (size_t at = 0; at < seen_len; at += 4096) {
		size_t n = seen_len - at < 4096 ? seen_len - at : 4096;
		bool *changes = &changing[at / 4096 % CHANGING_MAX];

		if ((thorough || *changes) && memcmp(seen + at, watched + at, n)) {
			memcpy(seen + at, watched + at, n);
			report->late |= !*changes;
			diff = *changes = true;
		}
	}
	return diff;
}

static int record(struct victim *v, struct trace *t, const struct crash_op *op)
{
	bool call = false;
	int r = 1;

	changed(true);
	t->pc[0] = victim_pc(v);
	t->visible[0] = 1;
	for (t->len = 0; r > 0; t->len++) {
		uint32_t i = t->len + 1;

		if (i > TRACE_MAX)
			return -E2BIG;
		call = victim_pc_is_syscall(t->pc[i - 1]);
		r = victim_step(v);
		if (r < 0)
			return r;
		if (call && op->find)
			op->find(v->pid);
		t->pc[i] = victim_pc(v);
		t->visible[i] = changed(!quick || call || !r || i % QUICK_THOROUGH == 0) || call;
	}
	t->visible[t->len] = 1;
	trace_plan(t);
	return 0;
}

static int step_to(struct victim *v, uint32_t n)
{
	int r = 1;

	while (n-- > 0 && r > 0)
		r = victim_step(v);
	return r < 0 ? r : 0;	/* a shorter run ends earlier: as good a point */
}

static int stop_at(struct victim *v, struct trace *t, uint32_t n, bool rec,
		   const struct crash_point *p)
{
	if (rec)
		return record(v, t, p->op);
	return p->step ? step_to(v, n) : victim_walk(v, t, n);
}

static int kill_second(const struct crash_point *p)
{
	struct victim_spec spec = { .op = p->op->second, .bare = true, .result = result };
	struct victim v;
	int r = victim_start(&v, &spec);

	if (!r)
		r = stop_at(&v, p->trace2, p->n2, p->record2, p);
	if (!r && p->record2)
		report->result = *result;
	killed_queued_ns = queued_ns();
	killed_ns = __kipc_now_ns();
	victim_kill(&v);
	return r;
}

/* Nanoseconds that this process was ready to run, and others ran: not the library's. */
static int64_t queued_ns(void)
{
	FILE *f = fopen("/proc/self/schedstat", "re");
	long long ran, waited = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%lld %lld", &ran, &waited) != 2)
		waited = 0;
	fclose(f);
	return waited;
}

static void survive(const struct crash_op *op)
{
	int r = op->survive();

	report->heal_ns = __kipc_now_ns() - killed_ns;
	report->heal_ns -= queued_ns() - killed_queued_ns;
	if (r)
		crash_bad("the survivor's next operation: %d", r);
	else if (!crash_audit())
		report->state = op->state();
	if (!report->text[0])
		crash_audit();
}

static int in_world(const struct crash_point *p)
{
	const struct crash_op *op = p->op;
	struct victim_spec spec = { .ready = op->ready, .op = op->op,
				    .bare = op->flags & CRASH_BARE, .result = result };
	struct victim v;
	int r;

	idle = !(op->flags & CRASH_HELPER);
	if (op->setup()) {
		crash_bad("setup failed");
		return -EINVAL;
	}
	r = victim_start(&v, &spec);
	if (!r)
		r = stop_at(&v, p->trace, p->n, p->record, p);
	if (!r && p->record)
		report->result = *result;
	if (!r && op->find)
		op->find(v.pid);
	killed_queued_ns = queued_ns();
	killed_ns = __kipc_now_ns();
	victim_kill(&v);
	if (!r && p->trace2)
		r = kill_second(p);
	if (!r)
		survive(op);
	return r;
}

/* ---- the runner ---- */

static void one_world(struct crash_point *p)
{
	int status = 0;
	pid_t pid;

	if (!report) {
		report = crash_shared(sizeof(*report));
		result = crash_shared(4096);
		changing = crash_shared(CHANGING_MAX * sizeof(*changing));
	}
	memset(report, 0, sizeof(*report));
	report->state = -1;
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		abort();
	if (!pid) {
		alarm(WORLD_SECONDS);
		report->error = in_world(p);
		report->done = true;
		_exit(0);
	}
	while (waitpid(pid, &status, 0) != pid)
		;
	if (report->done || !WIFSIGNALED(status))
		return;
	if (WTERMSIG(status) != SIGALRM) {
		crash_bad("the survivor died of signal %d", WTERMSIG(status));
	} else if (p->record || p->record2) {
		struct trace *t = p->record ? p->trace : p->trace2;

		crash_bad("stuck after %u instructions, at %lx", t->len, (unsigned long)t->pc[t->len]);
	} else {
		crash_bad("stuck");
	}
}

struct crash_report *crash_world(struct crash_point *p)
{
	int64_t best = INT64_MAX;
	bool strayed = false;

	for (int i = 0; i < SLOW_TRIES; i++) {
		p->step = false;
		one_world(p);
		if (report->error == -EAGAIN) {
			strayed = true;
			p->step = true;
			one_world(p);
		}
		if (report->error || report->text[0])
			break;
		if (report->heal_ns < best)
			best = report->heal_ns;
		if (best <= CRASH_HEAL_MAX || p->record || p->record2)
			break;
	}
	report->strayed = strayed;
	if (best != INT64_MAX)
		report->heal_ns = best;
	return report;
}

void crash_begin(const struct crash_plan *plan)
{
	quick = plan->quick;
	if (changing)
		memset(changing, 0, CHANGING_MAX * sizeof(*changing));
}

int crash_record(struct crash_point *p, struct crash_sum *sum)
{
	struct crash_report *rep = crash_world(p);

	/* now all pages that change are known, and when they do is noticed at once */
	if (quick && rep->late && !rep->error && !rep->text[0])
		rep = crash_world(p);
	if (rep->error || rep->text[0] || rep->result) {
		snprintf(sum->why, sizeof(sum->why), "recording: error %d, result %d %s",
			 rep->error, rep->result, rep->text);
		if (rep->error != -EPERM)
			sum->violations++;
		return rep->error ? rep->error : -EINVAL;
	}
	return 0;
}

uint32_t crash_choose(const struct trace *t, uint32_t all_below, uint32_t at_most, int64_t only,
		      uint32_t *points)
{
	bool all = t->len <= all_below;
	uint32_t n = 0, kept = 0;

	for (uint32_t i = 0; i <= t->len; i++)
		if (only >= 0 ? i == only : all || t->visible[i])
			points[n++] = i;
	if (all || !at_most || n <= at_most || at_most < 2)
		return n;
	for (uint64_t i = 0; i < at_most; i++)
		points[kept++] = points[i * (n - 1) / (at_most - 1)];
	return kept;
}

bool crash_count(struct crash_sum *sum, const struct crash_point *p,
		 const struct crash_report *rep, int from, int to)
{
	const char *why = NULL;

	sum->points++;
	sum->strayed += rep->strayed;
	if (rep->heal_ns > sum->heal_ns)
		sum->heal_ns = rep->heal_ns;
	if (rep->error)
		why = "the engine failed";
	else if (rep->text[0])
		why = rep->text;
	else if (rep->state < from || rep->state > to)
		why = "neither old nor new, or new and then old";
	else if (rep->heal_ns > CRASH_HEAL_MAX)
		why = "healed too slowly";
	if (!why)
		return true;
	if (!sum->violations++)
		snprintf(sum->why, sizeof(sum->why), "point %u/%u %u/%u, state %d (%d..%d), error %d: %s",
			 p->n, p->trace->len, p->n2, p->trace2 ? p->trace2->len : 0, rep->state,
			 from, to, rep->error, why);
	return false;
}

int crash_run(const struct crash_op *op, const struct crash_plan *plan, struct crash_sum *sum)
{
	struct crash_point p = { .op = op, .trace = crash_trace(0), .record = true };
	bool core = (op->flags & CRASH_CORE) && !plan->hurry, loose = op->flags & CRASH_LOOSE;
	uint32_t *points, n;
	int last = 0, r;

	*sum = (struct crash_sum){ .time_ns = __kipc_now_ns() };
	crash_begin(plan);
	r = crash_record(&p, sum);
	if (r)
		return r == -EPERM ? r : 0;
	p.record = false;
	sum->instructions = p.trace->len;
	points = calloc(p.trace->len + 1, sizeof(*points));
	if (!points)
		abort();
	n = crash_choose(p.trace, core ? TRACE_MAX : plan->all_below, core ? 0 : plan->at_most,
			 plan->only, points);
	for (uint32_t i = 0; i < n && sum->violations < 3; i++) {
		struct crash_report *rep;
		int from = loose ? 0 : last, to = op->steps;

		p.n = points[i];
		if (!loose && p.n == 0)
			to = 0;
		if (p.n == p.trace->len)
			from = op->steps;
		rep = crash_world(&p);
		if (!crash_count(sum, &p, rep, from, to))
			continue;
		last = rep->state;
		sum->old += rep->state == 0;
		sum->new += rep->state == op->steps && op->steps;
		sum->between += rep->state > 0 && rep->state < op->steps;
	}
	free(points);
	sum->time_ns = __kipc_now_ns() - sum->time_ns;
	return 0;
}
