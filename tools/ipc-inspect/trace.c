// SPDX-License-Identifier: MIT
/*
 * ipc-inspect trace: what happens to objects, or in a process, while it happens; or how long it takes,
 * as histograms.
 *
 * Objects are traced in all processes that use them, those that come later included, as far as they
 * use the same file of the library; a process alone, with all its objects.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <time.h>

#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"
#include "tools/ipc-inspect/trace.h"

static bool histograms;
static int64_t duration_ns;

struct trace {
	struct invocation *inv;
	struct json json;
	struct trace_hists *hists;
	uint64_t start_ns;
	struct trace_object **object;	/* what is known of objects, asked for or not */
	size_t nobjects;
	uint64_t *ids;			/* objects asked for, */
	size_t nids;
	unsigned int kinds;		/* of those */
	pid_t *pids;			/* ... processes asked for, */
	size_t npids;
	pid_t *users;			/* ... and those that use the objects */
	size_t nusers;
};

/* ---- objects and their users ---- */

static void add_user(struct trace *t, pid_t pid)
{
	for (size_t i = 0; i < t->nusers; i++)
		if (t->users[i] == pid)
			return;
	t->users = xreallocarray(t->users, t->nusers + 1, sizeof(t->users[0]));
	t->users[t->nusers++] = pid;
}

static bool asked_for(const struct trace *t, uint64_t id)
{
	for (size_t i = 0; i < t->nids; i++)
		if (t->ids[i] == id)
			return true;
	return false;
}

static struct trace_object *known(struct trace *t, uint64_t id)
{
	for (size_t i = 0; i < t->nobjects; i++)
		if (t->object[i]->id == id)
			return t->object[i];
	return NULL;
}

static struct trace_object *learn(struct trace *t, uint64_t id)
{
	struct trace_object *o = known(t, id);

	if (o)
		return o;
	o = xcalloc(1, sizeof(*o));
	o->id = id;
	o->kind_name = "unknown";
	t->object = xreallocarray(t->object, t->nobjects + 1, sizeof(t->object[0]));
	t->object[t->nobjects++] = o;
	return o;
}

static void learn_subject(struct trace *t, const struct subject *s)
{
	struct trace_object *o = learn(t, s->view.hdr.id);
	const char *name = subject_name(s);

	o->kind = s->kind;
	o->kind_name = subject_kind(s);
	if (!o->name && name)
		o->name = text_safe(name, strlen(name));
}

static bool sound(const struct subject *s)
{
	return s->opened && s->view.verdict == VIEW_GOOD;
}

/* Looks at all objects anew: what they are, and who uses those that were asked for. */
static void look_around(struct trace *t)
{
	struct objects all;

	t->nusers = 0;
	if (objects_find(&all) >= 0) {
		for (size_t i = 0; i < all.n; i++) {
			const struct holders *h = &all.object[i].holders;
			struct subject s;

			if (subject_open(&s, &all.object[i], false))
				continue;
			if (sound(&s))
				learn_subject(t, &s);
			for (size_t k = 0; sound(&s) && k < h->n; k++)
				if (asked_for(t, s.view.hdr.id))
					add_user(t, h->handle[k].pid);
			subject_close(&s);
		}
	}
	objects_free(&all);
	for (size_t i = 0; i < t->npids; i++)
		if (!kill(t->pids[i], 0))
			add_user(t, t->pids[i]);
}

static const struct trace_object *find_object(uint64_t id, void *arg)
{
	struct trace *t = arg;
	struct trace_object *o = known(t, id);

	if (o)
		return o;
	look_around(t);		/* made since we looked; if it is gone already, we don't look again */
	return learn(t, id);
}

/* ---- what is asked for ---- */

static int take_object(const struct subject *s, void *arg)
{
	_cleanup_free_ char *text = subject_text(s);
	struct trace *t = arg;

	if (!s->opened) {
		warnx("%s: not permitted to look at it", text);
		return EXIT_UNSUPPORTED;
	}
	if (!sound(s)) {
		warnx("%s: %s", text,
		      s->view.verdict == VIEW_DAMAGED ? "it is damaged" :
							"of another version, or unfinished");
		return s->view.verdict == VIEW_DAMAGED ? EXIT_DAMAGE : EXIT_UNSUPPORTED;
	}
	t->ids = xreallocarray(t->ids, t->nids + 1, sizeof(t->ids[0]));
	t->ids[t->nids++] = s->view.hdr.id;
	t->kinds |= 1u << s->view.hdr.kind;
	learn_subject(t, s);
	for (size_t i = 0; i < s->object->holders.n; i++)
		add_user(t, s->object->holders.handle[i].pid);
	return EXIT_OK;
}

/* Processes by themselves, the rest as objects. */
static int take_targets(struct trace *t)
{
	const struct targets *all = &t->inv->targets;
	struct targets objects = { 0 };
	int code = EXIT_OK;

	if (!all->n) {
		warnx("trace: which object?");
		return usage();
	}
	for (size_t i = 0; i < all->n; i++) {
		const struct target *target = &all->target[i];

		if (target->type == TARGET_IMAGE) {
			warnx("nothing happens in an image");
			return usage();
		}
		if (target->type == TARGET_PID) {
			t->pids = xreallocarray(t->pids, t->npids + 1, sizeof(t->pids[0]));
			t->pids[t->npids++] = target->pid;
			add_user(t, target->pid);
			continue;
		}
		objects.target = xreallocarray(objects.target, objects.n + 1, sizeof(*target));
		objects.target[objects.n++] = *target;
	}
	if (t->npids)
		look_around(t);		/* while they live */
	if (objects.n)
		code = subjects_each(&objects, EACH_NEEDED, take_object, t);
	free(objects.target);
	return code;
}

static int no_maps(pid_t pid, int error)
{
	if (error == -EACCES || error == -EPERM) {
		warnx("process %d: not permitted to look into it", pid);
		return EXIT_UNSUPPORTED;
	}
	warnx("no process %d", pid);
	return EXIT_FAILED;
}

/* Where the probes are.  Of an object's users, some may be beyond our reach, or have ended. */
static int find_binaries(struct trace *t, struct trace_binaries *b)
{
	for (size_t i = 0; i < t->npids; i++) {
		int r = trace_find_binaries(b, t->pids[i], !t->nids);

		if (r)
			return no_maps(t->pids[i], r);
	}
	for (size_t i = 0; i < t->nusers; i++)
		trace_find_binaries(b, t->users[i], false);
	return EXIT_OK;
}

/* ---- while it runs ---- */

static void ready(void *arg)
{
	struct trace *t = arg;
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	t->start_ns = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
	if (t->inv->format.json)
		json_begin(&t->json, &t->inv->format, histograms ? "histograms" : "events");
	else if (!histograms && !t->inv->format.noheadings)
		trace_event_heading();
	fflush(stdout);
	fputs("tracing; Ctrl-C ends it\n", stderr);
}

static void event(const struct trace_event *e, void *arg)
{
	struct trace *t = arg;
	const struct trace_object *o = find_object(e->id, t);

	if (t->inv->format.json)
		trace_event_json(&t->json, e, o);
	else
		trace_event_text(e, o, t->start_ns);
}

static void flush(void *arg)
{
	(void)arg;
	fflush(stdout);
}

static size_t over(const pid_t **watched, void *arg)
{
	struct trace *t = arg;

	if (!t->nids)
		return 0;
	look_around(t);
	*watched = t->users;
	return t->nusers;
}

static void hist(const struct trace_hist_key *key, const struct trace_hist *h, void *arg)
{
	trace_hists_add(((struct trace *)arg)->hists, key, h);
}

/* ---- the end ---- */

static void totals_json(struct trace *t, const struct trace_totals *sum)
{
	struct json *j = &t->json;

	json_next(j, "totals");
	json_open(j, NULL, '{');
	trace_json_number(j, "total_events", sum->seen);
	trace_json_number(j, "dropped_events", sum->dropped);
	trace_json_number(j, "unread_events", sum->unread);
	trace_json_number(j, "missed_events", sum->missed);
	trace_json_number(j, "unmeasured_times", sum->unmeasured);
	json_value(j, "scheduler", sum->no_scheduler ? "false" : "true");
	json_close(j, '}');
	trace_json_line(j);
	json_end(j);
}

static void totals_text(const struct trace_totals *sum)
{
	fflush(stdout);
	fprintf(stderr, "%" PRIu64 " events, %" PRIu64 " dropped\n", sum->seen, sum->dropped);
	if (sum->unread)
		fprintf(stderr, "%" PRIu64 " more could not be read\n", sum->unread);
	if (sum->missed)
		fprintf(stderr, "%" PRIu64 " more were missed by the kernel\n", sum->missed);
	if (sum->unmeasured)
		fprintf(stderr, "%" PRIu64 " times not measured\n", sum->unmeasured);
	if (sum->no_scheduler)
		fputs("no times in wait for a CPU: this kernel has no BTF\n", stderr);
}

static void finish(struct trace *t, const struct trace_totals *sum)
{
	if (t->inv->format.json && histograms)
		trace_hists_json(t->hists, &t->json, find_object, t);
	else if (histograms)
		trace_hists_text(t->hists, find_object, t);
	if (t->inv->format.json)
		totals_json(t, sum);
	totals_text(sum);
}

static void clean_up(struct trace *t, struct trace_request *r)
{
	trace_free_binaries(&r->binaries);
	trace_hists_free(t->hists);
	for (size_t i = 0; i < t->nobjects; i++) {
		free(t->object[i]->name);
		free(t->object[i]);
	}
	free(t->object);
	free(t->ids);
	free(t->pids);
	free(t->users);
}

static int trace(const struct command *cmd, struct invocation *inv)
{
	struct trace t = { .inv = inv, .hists = trace_hists_new() };
	struct trace_request r = { 0 };
	int code = take_targets(&t);

	(void)cmd;
	if (!code)
		code = find_binaries(&t, &r.binaries);
	if (!code) {
		r.events = !histograms;
		r.hists = histograms;
		r.kinds = t.npids ? 0 : t.kinds;
		r.ids = t.ids;
		r.nids = t.nids;
		r.pids = t.pids;
		r.npids = t.npids;
		r.watched = t.users;
		r.nwatched = t.nusers;
		r.per_process = !t.nids;
		r.duration_ns = duration_ns;
		r.ready = ready;
		r.event = event;
		r.flush = flush;
		r.over = over;
		r.hist = hist;
		r.arg = &t;
		code = trace_in_kernel(&r);
	}
	if (!code)
		finish(&t, &r.totals);
	clean_up(&t, &r);
	return code;
}

enum { OPT_HIST = OPT_LONG };

static const struct option_row options[] = {
	{ OPT_HIST, "hist", NULL, "no events, but histograms of times at the end" },
	{ 'd', "duration", "SECONDS", "end after this time; else with Ctrl-C" },
};

static int option(int code, const char *arg)
{
	double seconds;
	char *end;

	if (code == OPT_HIST) {
		histograms = true;
		return EXIT_OK;
	}
	seconds = strtod(arg, &end);
	if (end == arg || *end || !(seconds > 0 && seconds < 1e9)) {
		_cleanup_free_ char *safe = text_safe(arg, strlen(arg));

		warnx("'%s' is no number of seconds", safe);
		return EXIT_USAGE;
	}
	duration_ns = (int64_t)ceil(seconds * 1e9);
	return EXIT_OK;
}

const struct command command_trace = {
	.name = "trace",
	.args = "OBJECT...",
	.help = "events while they happen, with latencies; or histograms of these",
	.options = "Jnp",
	.notes = "Ends with Ctrl-C, after --duration, or when the processes have ended.",
	.own = options,
	.nown = sizeof(options) / sizeof(options[0]),
	.option = option,
	.run = trace,
};
