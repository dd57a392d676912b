// SPDX-License-Identifier: MIT
/* ipc-inspect replay: what was recorded, into a queue: see record.c. */
#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <kipc/queue.h>

#include "tools/common/attach.h"
#include "tools/common/recording.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"

#define PUT_NS	100000000	/* a put that waits looks so often whether we are to stop */

static volatile sig_atomic_t stop;

static void on_signal(int signo)
{
	(void)signo;
	stop = 1;
}

enum { OPT_FAST = OPT_LONG };

static const struct option_row own[] = {
	{ 'f', "file", "FILE", "the recording; else it is the standard input" },
	{ OPT_FAST, "fast", NULL, "as fast as the queue takes them, not as they were recorded" },
};

static struct {
	const char *file;
	bool fast;
	unsigned int objects;
} opts;

static int option(int code, const char *arg)
{
	if (code == 'f')
		opts.file = arg;
	else
		opts.fast = true;
	return EXIT_OK;
}

static void sleep_until(uint64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / 1000000000),
			       .tv_nsec = (long)(ns % 1000000000) };

	while (!stop && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static int put(struct kipc_queue *q, const void *buf, size_t len)
{
	int r;

	do
		r = kipc_queue_put(q, buf, len, PUT_NS);
	while (r == -ETIMEDOUT && !stop);
	return r;
}

/* Entry by entry.  An exit code. */
static int play(FILE *f, const struct recording_header *h, struct kipc_queue *q)
{
	uint64_t start = now_ns(), first = UINT64_MAX, n = 0, missed = 0;
	struct recording_entry e = { .type = 0 };
	char *buf = NULL;
	size_t size = 0;
	int r = 1, error = 0;

	while (!stop && !error && (r = recording_next(f, h, &e, &buf, &size)) > 0) {
		if (e.type == RECORDING_MISSED)
			missed += e.len;
		if (e.type != RECORDING_MESSAGE)
			continue;
		/* the first one goes at once */
		if (first == UINT64_MAX)
			first = e.time_ns;
		if (!opts.fast && e.time_ns > first)
			sleep_until(start + (e.time_ns - first));
		if (stop)
			break;
		error = put(q, buf, e.len);
		n += !error;
	}
	free(buf);
	if (error && !(stop && error == -ETIMEDOUT))
		warnx("message %lu: %s", (unsigned long)n + 1, kipc_strerror(error));
	if (r < 0)
		warnx("the recording is damaged after %lu messages", (unsigned long)n);
	else if (!r && e.type != RECORDING_END)
		warnx("the recording has no end: its recorder was killed");
	fprintf(stderr, "%lu message%s put", (unsigned long)n, n == 1 ? "" : "s");
	if (missed)
		fprintf(stderr, "; %lu were missed when it was recorded", (unsigned long)missed);
	fputc('\n', stderr);
	return r < 0 || (error && !stop) ? EXIT_FAILED : EXIT_OK;
}

static int replay_into(const struct subject *s, FILE *f, const struct recording_header *h)
{
	_cleanup_free_ char *object = subject_text(s);
	struct kipc_object *obj;
	int code, r = attach(&s->view, s->object, &obj);

	if (r) {
		warnx("%s: can't attach: %s", object, kipc_strerror(r));
		return r == -EPERM || r == -EACCES || r == -EOPNOTSUPP ? EXIT_UNSUPPORTED :
									 EXIT_FAILED;
	}
	code = play(f, h, kipc_object_queue(obj));
	kipc_object_close(obj);
	return code;
}

struct replay {
	FILE *f;
	struct recording_header h;
};

static int replay_one(const struct subject *s, void *arg)
{
	struct replay *re = arg;
	_cleanup_free_ char *object = subject_text(s);

	if (opts.objects++)
		return EXIT_OK;		/* replay() complains */
	if (!s->data || s->kind != &kind_queue || s->view.image) {
		warnx("%s: no queue, or none that can be used", object);
		return s->sum.states & STATE_NO_ACCESS ? EXIT_UNSUPPORTED : EXIT_FAILED;
	}
	return replay_into(s, re->f, &re->h);
}

static int replay(const struct command *cmd, struct invocation *inv)
{
	const struct sigaction sa = { .sa_handler = on_signal };
	struct replay re = { .f = stdin };
	int code;

	(void)cmd;
	if (inv->targets.n != 1) {
		warnx("replay: one queue, PID:FD or a name");
		return usage();
	}
	if (opts.file && strcmp(opts.file, "-"))
		re.f = fopen(opts.file, "re");
	if (!re.f || recording_open(re.f, &re.h)) {
		if (re.f)
			warnx("%s: this is no recording", opts.file ? opts.file : "standard input");
		else
			warn("%s", opts.file);
		return EXIT_FAILED;
	}
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	code = subjects_each(&inv->targets, EACH_NEEDED, replay_one, &re);
	if (re.f != stdin)
		fclose(re.f);
	if (opts.objects > 1)
		warnx("%u objects are meant, the first one was used", opts.objects);
	return code ? code : opts.objects > 1 ? EXIT_FAILED : EXIT_OK;
}

const struct command command_replay = {
	.name = "replay",
	.args = "[-f FILE] OBJECT",
	.help = "what was recorded, into a queue: this changes it",
	.notes = "Messages are put as anybody would, at the times of the recording or with --fast as soon as\n"
		 "there is room.  To attach to the queue one must be its user or root, and permitted to trace\n"
		 "(ptrace_scope) a process that has it.",
	.options = "p",
	.own = own,
	.nown = sizeof(own) / sizeof(own[0]),
	.option = option,
	.run = replay,
};
