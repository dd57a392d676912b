// SPDX-License-Identifier: MIT
/*
 * Puts trace.bpf.c into the kernel, attaches it to the probes, and listens until it is over.
 *
 * What this takes of the kernel: bpf(2) with CAP_BPF and CAP_PERFMON, and uprobes.  Since Linux 6.6 one
 * link takes all places in a file (BPF_TRACE_UPROBE_MULTI; also with the libbpf of Debian 12, which
 * doesn't know it, hence the system call by hand).  Before that, or with IPC_INSPECT_NO_UPROBE_MULTI
 * set in the environment, each is a perf event, which libbpf opens by
 * /sys/bus/event_source/devices/uprobe or by tracefs.  The scheduler's raw tracepoints take neither,
 * but BTF.
 *
 * All probes are attached before `tracing` is set, and it is cleared before they are detached: so no
 * put is seen without its get because one was attached sooner.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"
#include "tools/ipc-inspect/trace-usdt.h"
#include "tools/ipc-inspect/trace.h"
#include "trace.skel.h"

#define POLL_MS		50	/* the program never wakes us: we look so often, */
#define MANY		4096	/* ... and at once after so many events, which is when signals are seen */
#define REST_MS		1000	/* at the end, for those that are still on their way */

#define UPROBE_MULTI	48	/* BPF_TRACE_UPROBE_MULTI of later headers */

/* union bpf_attr for BPF_LINK_CREATE with that; as in later headers. */
struct link_create_uprobes {
	uint32_t prog_fd, target_fd, attach_type, flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t count, multi_flags, pid, reserved;
};

/* The sites of a binary of the request; the file may be another one's as well. */
struct file {
	struct trace_sites sites;
	uint32_t first;		/* index of the first in the map */
	const struct file *same;	/* the one that has the sites, if it isn't this */
};

struct tracer {
	struct trace_request *r;
	struct file *files;	/* one a binary */
	bool multi;
	struct trace_bpf *skel;
	struct ring_buffer *ring;
	struct bpf_link **links;
	size_t nlinks;
	int *fds;		/* links that libbpf doesn't know */
	size_t nfds;
	int signals;		/* signalfd */
	struct pollfd *polls;	/* signals, then a pidfd for each watched process */
	size_t npolls;
	int64_t end_ns;		/* INT64_MAX: none */
	uint64_t taken;		/* events, out of the ring; */
	int batch;		/* ... of these, since drain() began */
};

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* ---- messages ---- */

static int quiet(enum libbpf_print_level level, const char *format, va_list ap)
{
	(void)level;
	return getenv("LIBBPF_DEBUG") ? vfprintf(stderr, format, ap) : 0;
}

static bool muted;	/* trace_works() only wants to know */

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (!muted)
		vwarnx(format, ap);
	va_end(ap);
}

static int refused(const char *what, int error)
{
	if (error == -EPERM || error == -EACCES) {
		say("%s: not permitted: it takes CAP_BPF and CAP_PERFMON, as root has them "
		    "unless a sandbox took them away, and bpf(2) and perf_event_open(2)",
		    what);
		return EXIT_UNSUPPORTED;
	}
	if (error == -ENOSYS || error == -EOPNOTSUPP || error == -EINVAL) {
		say("%s: this kernel can't: %s", what, strerror(-error));
		return EXIT_UNSUPPORTED;
	}
	say("%s: %s", what, strerror(-error));
	return EXIT_FAILED;
}

static int no_probes(void)
{
	say("no probes: the library was built without them (make SDT=0), or its file is not to be "
	    "read from here");
	return EXIT_UNSUPPORTED;
}

/* ---- sites ---- */

static bool wanted(enum trace_event_type type, void *arg)
{
	const struct trace_request *r = arg;
	const struct trace_event_kind *k = &trace_event_kinds[type];

	return (r->events || k->measured) && (!r->kinds || (r->kinds & k->kinds));
}

static const struct file *same_file(const struct tracer *t, size_t i)
{
	const struct trace_binary *b = t->r->binaries.binary;

	for (size_t k = 0; k < i; k++)
		if (b[k].dev == b[i].dev && b[k].ino == b[i].ino)
			return &t->files[k];
	return NULL;
}

static int read_files(struct tracer *t)
{
	const struct trace_binaries *b = &t->r->binaries;
	bool found = false;
	size_t n = 0;

	t->files = xcalloc(b->n, sizeof(t->files[0]));
	for (size_t i = 0; i < b->n; i++) {
		struct file *f = &t->files[i];

		f->same = same_file(t, i);
		if (f->same)
			continue;
		trace_read_sites(&f->sites, b->binary[i].fd, wanted, t->r);
		found |= f->sites.found;
		f->first = (uint32_t)n;
		n += f->sites.n;
		if (f->sites.unclear)
			say("%s: some probes are left out: what their notes say is not understood",
			    b->binary[i].name);
	}
	if (n > TRACE_SITES)
		return refused("too many files with probes", -E2BIG);
	return found ? EXIT_OK : no_probes();
}

static int tell_sites(struct tracer *t)
{
	int map = bpf_map__fd(t->skel->maps.sites), r = 0;

	for (size_t i = 0; i < t->r->binaries.n; i++) {
		const struct file *f = &t->files[i];

		for (uint32_t k = 0; k < f->sites.n && !r; k++)
			r = bpf_map_update_elem(map, &(uint32_t){ f->first + k }, &f->sites.site[k],
						BPF_ANY);
	}
	return r;
}

/* ---- load ---- */

/* Where task_struct.pid is, in bytes; 0: the kernel doesn't say. */
static uint32_t task_pid_offset(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	const struct btf_type *task;
	uint32_t offset = 0;
	int id;

	if (libbpf_get_error(btf))
		return 0;
	id = btf__find_by_name_kind(btf, "task_struct", BTF_KIND_STRUCT);
	task = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	for (int i = 0; task && i < btf_vlen(task); i++) {
		const char *name = btf__name_by_offset(btf, btf_members(task)[i].name_off);

		if (name && !strcmp(name, "pid"))
			offset = btf_member_bit_offset(task, (uint32_t)i) / 8;
	}
	btf__free(btf);
	return offset;
}

static int tell_filters(struct tracer *t)
{
	int ids = bpf_map__fd(t->skel->maps.traced_objects);
	int pids = bpf_map__fd(t->skel->maps.traced_pids), r = 0;
	uint8_t yes = 1;

	for (size_t i = 0; i < t->r->nids && !r; i++)
		r = bpf_map_update_elem(ids, &t->r->ids[i], &yes, BPF_ANY);
	for (size_t i = 0; i < t->r->npids && !r; i++)
		r = bpf_map_update_elem(pids, &t->r->pids[i], &yes, BPF_ANY);
	return r;
}

static int take_event(void *arg, void *data, size_t size)
{
	struct tracer *t = arg;

	t->taken++;
	if (size >= sizeof(struct trace_event))
		t->r->event(data, t->r->arg);
	/* who writes faster than we read must not keep us here for ever */
	return ++t->batch < MANY ? 0 : -EAGAIN;
}

static int load(struct tracer *t)
{
	uint32_t offset;
	struct stat ns;
	int r;

	libbpf_set_print(quiet);
	offset = t->r->hists ? task_pid_offset() : 0;
	t->skel = trace_bpf__open();
	if (!t->skel)
		return refused("the program for the kernel", -errno);
	if (stat("/proc/self/ns/pid", &ns))
		return refused("/proc/self/ns/pid", -errno);
	t->skel->rodata->want_events = t->r->events;
	t->skel->rodata->want_hists = t->r->hists;
	t->skel->rodata->pidns_dev = ns.st_dev;
	t->skel->rodata->pidns_ino = ns.st_ino;
	t->skel->rodata->task_pid_offset = offset;
	t->r->totals.no_scheduler = t->r->hists && !offset;
	bpf_program__set_autoload(t->skel->progs.sched_wakeup, offset);
	bpf_program__set_autoload(t->skel->progs.sched_switch, offset);
	if (t->multi)
		bpf_program__set_expected_attach_type(t->skel->progs.probe,
						      (enum bpf_attach_type)UPROBE_MULTI);
	r = trace_bpf__load(t->skel);
	if (r)
		return refused("loading the program into the kernel", r);
	r = tell_sites(t);
	if (!r)
		r = tell_filters(t);
	if (r)
		return refused("too many objects or processes", r);
	t->ring = ring_buffer__new(bpf_map__fd(t->skel->maps.events), take_event, t, NULL);
	return t->ring ? EXIT_OK : refused("the buffer of events", -errno);
}

/* ---- attach ---- */

static void keep_link(struct tracer *t, struct bpf_link *link)
{
	t->links = xreallocarray(t->links, t->nlinks + 1, sizeof(t->links[0]));
	t->links[t->nlinks++] = link;
}

/* What the kernel is to look up: the file, whatever became of its name. */
#define PATH	32
static const char *path_of(const struct trace_binary *b, char path[PATH])
{
	snprintf(path, PATH, "/proc/self/fd/%d", b->fd);
	return path;
}

/* All sites of a file by one link.  0 or a negative errno. */
static int attach_multi(struct tracer *t, const struct trace_binary *b, const struct file *f)
{
	char path[PATH];
	_cleanup_free_ uint64_t *cookies = xcalloc(f->sites.n, sizeof(*cookies));
	struct link_create_uprobes attr = {
		.prog_fd = (uint32_t)bpf_program__fd(t->skel->progs.probe),
		.attach_type = UPROBE_MULTI,
		.path = (uintptr_t)path_of(b, path),
		.offsets = (uintptr_t)f->sites.offset,
		.cookies = (uintptr_t)cookies,
		.count = (uint32_t)f->sites.n,
		.pid = t->r->per_process ? (uint32_t)b->pid : 0,
	};
	int fd;

	for (size_t i = 0; i < f->sites.n; i++)
		cookies[i] = f->first + i;
	fd = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	if (fd < 0)
		return -errno;
	t->fds = xreallocarray(t->fds, t->nfds + 1, sizeof(t->fds[0]));
	t->fds[t->nfds++] = fd;
	return 0;
}

/* Each by a perf event of its own. */
static int attach_each(struct tracer *t, const struct trace_binary *b, const struct file *f)
{
	char path[PATH];

	for (size_t i = 0; i < f->sites.n; i++) {
		LIBBPF_OPTS(bpf_uprobe_opts, opts, .bpf_cookie = f->first + i);
		struct bpf_link *link = bpf_program__attach_uprobe_opts(
			t->skel->progs.probe, t->r->per_process ? b->pid : -1, path_of(b, path),
			f->sites.offset[i], &opts);

		if (!link)
			return -errno;
		keep_link(t, link);
	}
	return 0;
}

/* Since Linux 6.6. */
static bool multi_unknown(int error)
{
	return error == -EINVAL || error == -EOPNOTSUPP;
}

static int attach_refused(const struct tracer *t, const struct trace_binary *b, int error)
{
	if (!t->multi && error == -ENOENT) {
		say("this kernel has no uprobes, or neither "
		    "/sys/bus/event_source/devices/uprobe nor tracefs is mounted");
		return EXIT_UNSUPPORTED;
	}
	return refused(b->name, error);
}

/* An exit code; -1: not in this way. */
static int attach(struct tracer *t)
{
	for (size_t i = 0; i < t->r->binaries.n; i++) {
		const struct trace_binary *b = &t->r->binaries.binary[i];
		const struct file *f = t->files[i].same ? t->files[i].same : &t->files[i];
		int r;

		if (!f->sites.n)
			continue;
		r = t->multi ? attach_multi(t, b, f) : attach_each(t, b, f);
		if (t->multi && multi_unknown(r))
			return -1;
		/* a process may have ended meanwhile */
		if (r && !(r == -ESRCH && t->r->per_process))
			return attach_refused(t, b, r);
	}
	return EXIT_OK;
}

static int attach_scheduler(struct tracer *t)
{
	struct bpf_program *progs[] = { t->skel->progs.sched_wakeup, t->skel->progs.sched_switch };

	for (int i = 0; i < 2; i++) {
		struct bpf_link *link;

		if (!bpf_program__autoload(progs[i]))
			continue;
		link = bpf_program__attach(progs[i]);
		if (!link)
			return refused("the scheduler's tracepoints", -errno);
		keep_link(t, link);
	}
	return EXIT_OK;
}

static void unload(struct tracer *t)
{
	for (size_t i = 0; i < t->nlinks; i++)
		bpf_link__destroy(t->links[i]);
	for (size_t i = 0; i < t->nfds; i++)
		close(t->fds[i]);
	ring_buffer__free(t->ring);
	trace_bpf__destroy(t->skel);
	free(t->links);
	free(t->fds);
	t->nlinks = t->nfds = 0;
	t->links = NULL;
	t->fds = NULL;
	t->ring = NULL;
	t->skel = NULL;
}

static int set_up(struct tracer *t)
{
	struct rlimit files;
	int code = load(t);

	if (!code)
		code = attach(t);
	if (code < 0) {
		unload(t);
		t->multi = false;
		/* a descriptor, or two, for every place in every file */
		if (!getrlimit(RLIMIT_NOFILE, &files)) {
			files.rlim_cur = files.rlim_max;
			setrlimit(RLIMIT_NOFILE, &files);
		}
		code = load(t);
		if (!code)
			code = attach(t);
	}
	return code ? code : attach_scheduler(t);
}

/* ---- listen ---- */

static int watch_signals(struct tracer *t)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	t->signals = signalfd(-1, &set, SFD_CLOEXEC);
	return t->signals < 0 ? refused("signalfd", -errno) : EXIT_OK;
}

static void watch(struct tracer *t, const pid_t *pids, size_t n)
{
	t->polls = xreallocarray(t->polls, n + 1, sizeof(t->polls[0]));
	t->npolls = n + 1;
	t->polls[0] = (struct pollfd){ .fd = t->signals, .events = POLLIN };
	for (size_t i = 0; i < n; i++)
		t->polls[1 + i] = (struct pollfd){
			.fd = (int)syscall(SYS_pidfd_open, pids[i], 0),
			.events = POLLIN,
		};
}

/* Whether a watched process is left; those that have ended are forgotten. */
static bool somebody_lives(struct tracer *t)
{
	bool alive = false;

	for (size_t i = 1; i < t->npolls; i++) {
		if (t->polls[i].fd >= 0 && t->polls[i].revents) {
			close(t->polls[i].fd);
			t->polls[i].fd = -1;
		}
		alive |= t->polls[i].fd >= 0;
	}
	return alive;
}

/* How many events there were; there may be more when it is MANY. */
static int drain(struct tracer *t)
{
	t->batch = 0;
	ring_buffer__consume(t->ring);
	t->r->flush(t->r->arg);
	return t->batch;
}

/* In this order: an event is seen first, then dropped or handed over. */
static void count_events(struct tracer *t)
{
	const struct trace_bpf__bss *bss = t->skel->bss;
	struct trace_totals *totals = &t->r->totals;

	totals->seen = totals->dropped = 0;
	for (int i = 0; i < TRACE_EVENTS; i++)
		totals->dropped += __atomic_load_n(&bss->dropped[i], __ATOMIC_ACQUIRE);
	for (int i = 0; i < TRACE_EVENTS; i++)
		totals->seen += __atomic_load_n(&bss->seen[i], __ATOMIC_ACQUIRE);
}

/* Programs that were at work when it ended hand over their events a moment later. */
static void drain_rest(struct tracer *t)
{
	struct trace_totals *totals = &t->r->totals;

	for (int ms = 0; ms < REST_MS;) {
		int n = drain(t);

		count_events(t);
		if (!t->r->events || t->taken + totals->dropped >= totals->seen)
			return;
		if (!n) {
			poll(NULL, 0, 1);
			ms++;
		}
	}
	totals->dropped = totals->seen - t->taken;
}

static void listen_until_over(struct tracer *t)
{
	const pid_t *watched = t->r->watched;
	size_t n = t->r->nwatched;
	int64_t pause_ms = 0;

	watch(t, watched, n);
	for (;;) {
		int64_t left_ms = (t->end_ns - now_ns() + 999999) / 1000000;

		if (left_ms <= 0)
			break;
		if (poll(t->polls, t->npolls, (int)(left_ms < pause_ms ? left_ms : pause_ms)) < 0 &&
		    errno != EINTR)
			break;
		pause_ms = drain(t) < MANY ? POLL_MS : 0;
		if (t->polls[0].revents)
			break;
		if (!somebody_lives(t)) {
			n = t->r->over(&watched, t->r->arg);
			if (!n)
				break;
			watch(t, watched, n);
		}
	}
	t->skel->bss->tracing = false;
	drain_rest(t);
}

/* ---- results ---- */

static void report_hists(struct tracer *t)
{
	int fd = bpf_map__fd(t->skel->maps.hists);
	struct trace_hist_key key, next;
	struct trace_hist hist;

	for (void *last = NULL; !bpf_map_get_next_key(fd, last, &next); last = &key) {
		key = next;
		if (!bpf_map_lookup_elem(fd, &key, &hist))
			t->r->hist(&key, &hist, t->r->arg);
	}
}

/* Calls that found the program at work on this CPU already. */
static uint64_t missed_by(struct bpf_program *prog)
{
	struct bpf_prog_info info = { 0 };
	uint32_t size = sizeof(info);

	if (!bpf_program__autoload(prog) ||
	    bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &size))
		return 0;
	return info.recursion_misses;
}

static void sum_up(struct tracer *t)
{
	struct trace_totals *totals = &t->r->totals;

	totals->unread = t->skel->bss->unread;
	totals->missed = missed_by(t->skel->progs.probe);
	totals->unmeasured = t->skel->bss->unmeasured + missed_by(t->skel->progs.sched_wakeup) +
			     missed_by(t->skel->progs.sched_switch);
}

static void tear_down(struct tracer *t)
{
	unload(t);
	for (size_t i = 1; i < t->npolls; i++)
		if (t->polls[i].fd >= 0)
			close(t->polls[i].fd);
	free(t->polls);
	if (t->signals >= 0)
		close(t->signals);
	for (size_t i = 0; t->files && i < t->r->binaries.n; i++)
		trace_free_sites(&t->files[i].sites);
	free(t->files);
}

static struct tracer new_tracer(struct trace_request *r)
{
	return (struct tracer){
		.r = r,
		.signals = -1,
		.multi = !getenv("IPC_INSPECT_NO_UPROBE_MULTI"),
	};
}

int trace_in_kernel(struct trace_request *r)
{
	struct tracer t = new_tracer(r);
	int code = read_files(&t);

	if (!code)
		code = set_up(&t);
	if (!code)
		code = watch_signals(&t);
	if (!code) {
		t.end_ns = r->duration_ns ? now_ns() + r->duration_ns : INT64_MAX;
		t.skel->bss->tracing = true;
		r->ready(r->arg);
		listen_until_over(&t);
		report_hists(&t);
		sum_up(&t);
	}
	tear_down(&t);
	return code;
}

bool trace_works(void)
{
	struct trace_request r = { .events = true, .per_process = true };
	struct tracer t = new_tracer(&r);
	int code;

	muted = true;
	code = trace_find_binaries(&r.binaries, getpid(), true);
	if (!code)
		code = read_files(&t);
	/* a place in each file that has any, which is us and the library */
	for (size_t i = 0; !code && i < r.binaries.n; i++)
		t.files[i].sites.n = t.files[i].sites.n > 0;
	if (!code)
		code = set_up(&t);
	tear_down(&t);
	trace_free_binaries(&r.binaries);
	muted = false;
	return !code;
}
