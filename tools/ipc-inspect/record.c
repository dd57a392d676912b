// SPDX-License-Identifier: MIT
/*
 * ipc-inspect record: what goes through a queue, to a file, without taking anything away.
 *
 * We follow the ring, position by position, as a consumer would, but only look.  A message can be
 * copied from the time when its cell says READY until the cell is claimed for the next lap: also while
 * it is taken, and after it was acknowledged.  Cells are read three times, a piece of the ring at a
 * time: what they say, what is in them, what they say now.  What held a message then, and wasn't
 * claimed anew since, was copied whole.
 *
 * A cell that was free again when we came may also have been given up without a message.  So what
 * was copied from such a cell counts only if the queue's count of those did not move from before the
 * look at which it was still to come, until a while after: messages are kept back for a round.
 *
 * What was overwritten before we came is counted, and that is what can't be promised: a queue whose
 * ring comes round faster than we look is not recorded whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/recording.h"
#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"
#include "tools/ipc-inspect/kind-queue.h"

#define CHUNK		(64u << 10)	/* bytes of cells that are read at once */
#define NAP_MIN_NS	50000
#define NAP_MAX_NS	1000000
#define LIFE_NS		200000000	/* so often we look whether anybody lives */

static struct {
	const char *file;
	uint64_t count;
	double duration;	/* seconds */
	bool all;
	unsigned int objects;
} opts;

struct recorder {
	struct view *v;
	const struct queue *q;
	FILE *out;
	uint64_t start_ns;		/* CLOCK_BOOTTIME */
	uint64_t at;			/* positions since the queue was made: the next one */
	char *before, *data, *after;	/* CHUNK bytes each */
	char *kept;			/* entries that are kept back */
	size_t nkept, room;
	uint64_t skipped[2];		/* given-up cells when the last round began, and this one */
	uint64_t recorded, missed;
};

/* In entry.reserved while it is kept back: the cell was free again. */
#define LATE	1u

static volatile sig_atomic_t stop;

static void on_signal(int signo)
{
	(void)signo;
	stop = 1;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- the file ---- */

static void *keep(struct recorder *r, size_t n)
{
	void *p;

	if (r->nkept + n > r->room) {
		r->room = 2 * (r->nkept + n);
		r->kept = xreallocarray(r->kept, r->room, 1);
	}
	p = r->kept + r->nkept;
	r->nkept += n;
	return p;
}

static void keep_entry(struct recorder *r, uint32_t type, uint64_t len, bool late)
{
	struct recording_entry e = {
		.type = type,
		.reserved = late ? LATE : 0,
		.time_ns = clock_ns(CLOCK_BOOTTIME) - r->start_ns,
		.number = r->at,
		.len = len,
	};

	memcpy(keep(r, sizeof(e)), &e, sizeof(e));
}

static void miss(struct recorder *r, uint64_t n)
{
	if (n)
		keep_entry(r, RECORDING_MISSED, n, false);
}

static void write_missed(struct recorder *r, const struct recording_entry *like, uint64_t n)
{
	struct recording_entry e = *like;

	e.type = RECORDING_MISSED;
	e.reserved = 0;
	e.len = n;
	r->missed += n;
	fwrite(&e, sizeof(e), 1, r->out);
}

#define UNKNOWN	UINT64_MAX

static uint64_t read_skipped(const struct recorder *r)
{
	uint64_t skipped;

	return view_read(r->v, r->q->body + offsetof(struct kipc_queue_shared, skipped), &skipped,
			 sizeof(skipped)) ?
		       UNKNOWN :
		       skipped;
}

static bool enough(const struct recorder *r)
{
	return opts.count && r->recorded >= opts.count;
}

/* What was kept back is written; of late ones only if no cell was given up meanwhile. */
static void write_kept(struct recorder *r)
{
	bool sure = r->skipped[0] != UNKNOWN && read_skipped(r) == r->skipped[0];
	struct recording_entry e;

	for (size_t at = 0, n; at < r->nkept && !enough(r); at += n) {
		memcpy(&e, r->kept + at, sizeof(e));
		n = sizeof(e);
		if (e.type == RECORDING_MISSED) {
			write_missed(r, &e, e.len);
			continue;
		}
		n += recording_padded(e.len);
		if (e.reserved == LATE && !sure) {
			write_missed(r, &e, 1);
			continue;
		}
		e.reserved = 0;
		fwrite(&e, sizeof(e), 1, r->out);
		fwrite(r->kept + at + sizeof(e), 1, n - sizeof(e), r->out);
		r->recorded++;
	}
	r->nkept = 0;
}

static void write_end(struct recorder *r)
{
	struct recording_entry e = {
		.type = RECORDING_END,
		.time_ns = clock_ns(CLOCK_BOOTTIME) - r->start_ns,
		.number = r->recorded,
		.len = r->missed,
	};

	fwrite(&e, sizeof(e), 1, r->out);
}

/* ---- the ring ---- */

static uint64_t lap_of(const struct recorder *r, uint64_t count)
{
	return (count / r->q->sh.capacity) & r->q->lap_mask;
}

/* How many laps the cell is ahead of that position: 0, 1, or lap_mask for "one behind". */
static uint64_t ahead(const struct recorder *r, uint64_t state, uint64_t count)
{
	return ((state >> KIPC_CELL_LAP_SHIFT) - lap_of(r, count)) & r->q->lap_mask;
}

/* What a cell begins with. */
struct head {
	uint64_t state, len;
};
_Static_assert(sizeof(struct head) == sizeof(struct kipc_cell), "a cell's head");

static struct head head_in(const struct recorder *r, const char *buf, uint32_t i)
{
	struct head head;

	memcpy(&head, buf + (uint64_t)i * r->q->sh.cell_size, sizeof(head));
	return head;
}

/* Whether that state says: a message was, or may have been, at this position, and is still there. */
static bool has_message(const struct recorder *r, uint64_t state, uint64_t count)
{
	uint64_t a = ahead(r, state, count);

	return a ? a == 1 && queue_phase(state) == KIPC_CELL_FREE :
		   queue_phase(state) >= KIPC_CELL_READY;
}

/* Nobody has come to this position yet, or is still writing. */
static bool to_come(const struct recorder *r, uint64_t state, uint64_t count)
{
	uint64_t a = ahead(r, state, count);

	return a ? a > r->q->lap_mask / 2 : queue_phase(state) < KIPC_CELL_READY;
}

/* The message at our position: cell i of the piece. */
static void take(struct recorder *r, uint32_t i, uint64_t len, bool late)
{
	uint32_t index = (uint32_t)(r->at % r->q->sh.capacity);
	uint64_t inner = r->q->sh.cell_size - sizeof(struct kipc_cell), padded;
	size_t begin = r->nkept;
	struct head now;
	char *to;

	keep_entry(r, RECORDING_MESSAGE, len, late);
	padded = recording_padded(len);
	to = keep(r, padded);
	memset(to + len, 0, padded - len);
	if (len <= inner) {
		memcpy(to, r->data + (uint64_t)i * r->q->sh.cell_size + sizeof(struct kipc_cell),
		       len);
		return;
	}
	/* a long one stands elsewhere, and is looked at by itself */
	if (view_read(r->v, queue_data_off(r->q, index, len), to, len) ||
	    (__atomic_thread_fence(__ATOMIC_ACQUIRE),
	     view_read(r->v, queue_cell_off(r->q, index), &now, sizeof(now))) ||
	    !has_message(r, now.state, r->at) || now.len != len) {
		r->nkept = begin;
		miss(r, 1);
	}
}

/* Cell i of the piece, at our position.  False: it is still to come. */
static bool one_cell(struct recorder *r, uint32_t i)
{
	struct head before = head_in(r, r->before, i), data = head_in(r, r->data, i);
	struct head after = head_in(r, r->after, i);
	bool late = ahead(r, before.state, r->at) != 0;

	if (to_come(r, before.state, r->at))
		return false;
	if (has_message(r, before.state, r->at) && has_message(r, after.state, r->at) &&
	    data.len == after.len && data.len <= r->q->sh.msg_size)
		take(r, i, data.len, late);
	else
		miss(r, 1);
	r->at++;
	return true;
}

/* Cells from our position on, up to the end of the ring at most.  How many we passed, or -EPROTO. */
static int piece(struct recorder *r)
{
	uint32_t index = (uint32_t)(r->at % r->q->sh.capacity);
	uint32_t n = r->q->sh.capacity - index, most = CHUNK / r->q->sh.cell_size, i;
	uint64_t off = queue_cell_off(r->q, index), bytes;

	n = n < most ? n : most;
	bytes = (uint64_t)n * r->q->sh.cell_size;
	if (view_read(r->v, off, r->before, sizeof(struct kipc_cell)))
		return -EPROTO;
	if (to_come(r, head_in(r, r->before, 0).state, r->at))
		return 0;
	if (view_read(r->v, off, r->before, bytes))
		return -EPROTO;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (view_read(r->v, off, r->data, bytes))
		return -EPROTO;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (view_read(r->v, off, r->after, bytes))
		return -EPROTO;
	for (i = 0; i < n && one_cell(r, i); i++)
		;
	return (int)i;
}

/* tail, in positions since the queue was made; a hint, which may lag. */
static uint64_t read_tail(const struct recorder *r)
{
	uint64_t tail;

	if (view_read(r->v, r->q->body, &tail, sizeof(tail)) ||
	    queue_index(r->q, tail) >= r->q->sh.capacity)
		return r->at;
	return queue_count(r->q, tail);
}

/* More than a ring behind: what is lost is lost. */
static void catch_up(struct recorder *r)
{
	uint64_t tail = read_tail(r), capacity = r->q->sh.capacity;

	if (tail > r->at && tail - r->at > capacity) {
		miss(r, tail - capacity - r->at);
		r->at = tail - capacity;
	}
}

/* All that is there now: how many positions, or -EPROTO. */
static int64_t round_of(struct recorder *r)
{
	int64_t passed = 0;
	int n = 1;

	r->skipped[0] = r->skipped[1];
	r->skipped[1] = read_skipped(r);
	while (n > 0 && !stop && passed < r->q->sh.capacity) {
		catch_up(r);
		n = piece(r);
		if (n < 0)
			return n;
		passed += n;
	}
	return passed;
}

/* ---- the command ---- */

enum { OPT_ALL = OPT_LONG };

static const struct option_row own[] = {
	{ 'f', "file", "FILE", "write to FILE instead of to the standard output" },
	{ 'c', "count", "N", "end after N messages" },
	{ 'd', "duration", "SECONDS", "end after so long" },
	{ OPT_ALL, "all", NULL, "begin with the messages that wait, not with the next one" },
};

static int option(int code, const char *arg)
{
	char *end = NULL;
	double x = code == 'c' || code == 'd' ? strtod(arg, &end) : 0;

	if (code == 'f')
		opts.file = arg;
	if (code == OPT_ALL)
		opts.all = true;
	if (end && (end == arg || *end || !(x > 0 && x <= 1e15) || (code == 'c' && x != floor(x)))) {
		warnx("-%c takes a number", code);
		return EXIT_USAGE;
	}
	if (code == 'c')
		opts.count = (uint64_t)x;
	if (code == 'd')
		opts.duration = x;
	return EXIT_OK;
}

static bool somebody_lives(const struct view *v)
{
	for (uint32_t slot = 1; slot <= v->hdr.npeers; slot++)
		if (peers_locked(v, slot) == 1)
			return true;
	return false;
}

static bool is_over(const struct recorder *r)
{
	uint32_t shutdown = 0;

	view_read(r->v, r->q->body + offsetof(struct kipc_queue_shared, shutdown), &shutdown,
		  sizeof(shutdown));
	return shutdown || !somebody_lives(r->v);
}

/* Follows until it is told to end, or nothing can come any more.  0 or -EPROTO. */
static int follow(struct recorder *r)
{
	uint64_t end = opts.duration > 0 ? r->start_ns + (uint64_t)(opts.duration * 1e9) : UINT64_MAX;
	uint64_t look = r->start_ns, now, nap = NAP_MIN_NS;
	bool over = false;

	/* of what was given up before we came, nothing is known */
	r->skipped[1] = UNKNOWN;
	for (;;) {
		int64_t n = round_of(r);
		struct timespec ts = { 0 };

		if (n < 0)
			return (int)n;
		nap = n ? NAP_MIN_NS : nap < NAP_MAX_NS ? 2 * nap : nap;
		ts.tv_nsec = (long)nap;
		/* behind by much: no rest, but for the others' sake */
		if (n > r->q->sh.capacity / 4)
			sched_yield();
		else
			nanosleep(&ts, NULL);
		write_kept(r);
		now = clock_ns(CLOCK_BOOTTIME);
		if (stop || now >= end || ferror(r->out) || enough(r) || (over && !n))
			return 0;
		if (now - look >= LIFE_NS) {
			look = now;
			over = is_over(r);
			fflush(r->out);
		}
	}
}

static void set_up(struct recorder *r)
{
	const struct queue *q = r->q;
	struct recording_header h = {
		.magic = RECORDING_MAGIC,
		.version = RECORDING_VERSION,
		.queue_id = r->v->hdr.id,
		.start_ns = clock_ns(CLOCK_REALTIME),
		.msg_size = q->sh.msg_size,
		.capacity = q->sh.capacity,
	};

	r->start_ns = clock_ns(CLOCK_BOOTTIME);
	r->at = opts.all ? q->taken : q->put;
	r->before = xcheck(malloc(CHUNK));
	r->data = xcheck(malloc(CHUNK));
	r->after = xcheck(malloc(CHUNK));
	fwrite(&h, sizeof(h), 1, r->out);
}

/* What went through may be nobody else's business. */
static FILE *open_output(void)
{
	int fd;

	if (!opts.file || !strcmp(opts.file, "-"))
		return stdout;
	fd = open(opts.file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return fd < 0 ? NULL : xcheck(fdopen(fd, "w"));
}

static int record_queue(const struct subject *s)
{
	struct view v = s->view;
	struct recorder r = { .v = &v, .q = s->data };
	int code;

	r.out = open_output();
	if (!r.out) {
		warn("%s", opts.file);
		return EXIT_FAILED;
	}
	set_up(&r);
	code = follow(&r) ? EXIT_DAMAGE : EXIT_OK;
	write_end(&r);
	if (fflush(r.out) || ferror(r.out) || (r.out != stdout && fclose(r.out))) {
		warn("%s", opts.file ? opts.file : "standard output");
		code = worse(code, EXIT_FAILED);
	}
	fprintf(stderr, "%lu message%s, %lu missed\n", (unsigned long)r.recorded,
		r.recorded == 1 ? "" : "s", (unsigned long)r.missed);
	free(r.before);
	free(r.data);
	free(r.after);
	free(r.kept);
	return code;
}

static int record_one(const struct subject *s, void *arg)
{
	_cleanup_free_ char *object = subject_text(s);

	(void)arg;
	if (opts.objects++)
		return EXIT_OK;		/* record() complains */
	if (!s->data || s->kind != &kind_queue || s->view.image) {
		_cleanup_free_ char *state = state_names(s->sum.states, ", ");

		warnx("%s: %s", object,
		      s->view.image ? "nothing goes through an image" :
		      s->data	    ? "only queues can be recorded" :
				      state);
		return s->sum.states & STATE_DAMAGED	 ? EXIT_DAMAGE :
		       s->sum.states & STATE_NO_ACCESS ? EXIT_UNSUPPORTED :
							 EXIT_FAILED;
	}
	return record_queue(s);
}

static int record(const struct command *cmd, struct invocation *inv)
{
	const struct sigaction sa = { .sa_handler = on_signal };
	int code;

	(void)cmd;
	if (inv->targets.n != 1) {
		warnx("record: one queue, PID:FD or a name");
		return usage();
	}
	if (!opts.file && isatty(STDOUT_FILENO)) {
		warnx("record: not to a terminal; -f FILE");
		return usage();
	}
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	code = subjects_each(&inv->targets, EACH_NEEDED, record_one, NULL);
	if (opts.objects > 1)
		warnx("%u objects are meant, the first one was recorded", opts.objects);
	return code ? code : opts.objects > 1 ? EXIT_FAILED : EXIT_OK;
}

const struct command command_record = {
	.name = "record",
	.args = "[-f FILE] OBJECT",
	.help = "what goes through a queue, to a file; nothing is taken away",
	.notes = "It ends when the queue is shut down or nobody has it any more, by -c or -d, or by Ctrl-C.\n"
		 "Messages are copied from the ring as they go by.  That is not promised for each: one that\n"
		 "was overwritten before we looked is counted as missed, which happens when a whole ring goes\n"
		 "by in less than a millisecond or two.  Times are those when a message was seen.",
	.options = "p",
	.own = own,
	.nown = sizeof(own) / sizeof(own[0]),
	.option = option,
	.run = record,
};
