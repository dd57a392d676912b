// SPDX-License-Identifier: MIT
/* ipc-inspect record and replay: what goes through a queue, to a file and back. */
#include <poll.h>
#include <signal.h>

#include <kipc/pipe.h>
#include <kipc/queue.h>

#include "core/time.h"
#include "inspect.h"
#include "queue/queue.h"
#include "tools/common/recording.h"

#define NOBODY 65534

FIXTURE(record) {
	struct kipc_queue *q;
	char file[64], target[32];
};

static struct kipc_queue *queue_of(uint32_t capacity, uint64_t msg_size)
{
	KIPC_OPTS(kipc_queue_opts, opts, .capacity = capacity, .msg_size = msg_size);
	struct kipc_queue *q;

	ASSERT_EQ(0, kipc_queue_create(NULL, &opts, &q));
	return q;
}

static void target_of(char target[32], struct kipc_queue *q)
{
	snprintf(target, 32, "%d:%d", getpid(), q->obj.seg.fd);
}

FIXTURE_SETUP(record)
{
	skip_without_tool();
	snprintf(self->file, sizeof(self->file), "/tmp/kipc-record-%d", getpid());
	self->q = queue_of(1000, 1000);
	target_of(self->target, self->q);
}

FIXTURE_TEARDOWN(record)
{
	kipc_queue_close(self->q);
	unlink(self->file);
}

/* A program in the background. */
struct program {
	pid_t pid;
	int out, err;
};

static struct program start(char *const *args)
{
	const char *build = getenv("KIPC_BUILD");
	char path[4096], *argv[16] = { path };
	struct program p;
	int fds[3];

	snprintf(path, sizeof(path), "%s/ipc-inspect", build ? build : "out");
	for (int i = 0; args[i]; i++)
		argv[i + 1] = args[i];
	for (int i = 0; i < 3; i++)
		ASSERT_LE(0, fds[i] = memfd_create("stdio", MFD_CLOEXEC));
	p.pid = start_program(0, fds, argv);
	p.out = fds[1];
	p.err = fds[2];
	close(fds[0]);
	return p;
}

static struct run finish(struct program *p)
{
	int status = ksft_wait(p->pid);
	struct run r = { .code = WIFEXITED(status) ? WEXITSTATUS(status) :
						     128 + WTERMSIG(status) };

	r.out = slurp(p->out);
	r.err = slurp(p->err);
	return r;
}

/* The recorder follows: it has written the header, which comes before its first look. */
static bool follows(const char *file)
{
	struct stat st;

	return !stat(file, &st) && st.st_size >= (off_t)sizeof(struct recording_header);
}

static struct program start_recording(const char *target, const char *file)
{
	struct program p = start((char *[]){ "record", "-f", (char *)file, (char *)target, NULL });

	ASSERT_TRUE(ksft_wait_for(follows(file), 10000));
	return p;
}

/* What is in a recording; calls check(number, bytes, len, arg) for each message. */
struct sums {
	uint64_t messages, missed, last;
	bool ends;
};

static struct sums read_recording(const char *file,
				  void (*check)(uint64_t number, const char *bytes, uint64_t len,
						void *arg),
				  void *arg)
{
	static char buf[1 << 20];
	struct recording_header h;
	struct recording_entry e;
	struct sums s = { .last = UINT64_MAX };
	uint64_t before = 0;
	FILE *f = fopen(file, "r");

	ASSERT_TRUE(f);
	ASSERT_EQ(1, fread(&h, sizeof(h), 1, f));
	EXPECT_EQ(RECORDING_MAGIC, h.magic);
	while (fread(&e, sizeof(e), 1, f) == 1) {
		EXPECT_FALSE(s.ends);
		EXPECT_EQ(0, e.reserved);
		EXPECT_LE(before, e.time_ns);
		before = e.time_ns;
		if (e.type == RECORDING_END) {
			EXPECT_EQ(s.messages, e.number);
			EXPECT_EQ(s.missed, e.len);
			s.ends = true;
			continue;
		}
		if (e.type == RECORDING_MISSED) {
			s.missed += e.len;
			continue;
		}
		ASSERT_EQ(RECORDING_MESSAGE, e.type);
		ASSERT_LE(recording_padded(e.len), sizeof(buf));
		ASSERT_EQ(recording_padded(e.len), fread(buf, 1, recording_padded(e.len), f));
		EXPECT_TRUE(s.last == UINT64_MAX || e.number > s.last);
		s.last = e.number;
		s.messages++;
		check(e.number, buf, e.len, arg);
	}
	fclose(f);
	return s;
}

/* The message at position n: n itself, and up to 600 bytes of it, so that some don't fit a cell. */
static size_t make_message(uint64_t n, char buf[1000])
{
	memset(buf, (int)('a' + n % 26), 600);
	memcpy(buf, &n, sizeof(n));
	return 8 + n * 7 % 593;
}

static void check_message(uint64_t number, const char *bytes, uint64_t len, void *arg)
{
	char want[1000];

	(void)arg;
	ASSERT_EQ(make_message(number, want), len);
	EXPECT_MEMEQ(want, bytes, len);
}

#define MESSAGES 3000

static int produce(void *q)
{
	char buf[1000];

	for (uint64_t i = 0; i < MESSAGES; i++) {
		if (kipc_queue_put(q, buf, make_message(i, buf), KIPC_FOREVER))
			return 1;
	}
	return kipc_queue_shutdown(q);
}

static int consume(void *q)
{
	char buf[1000], want[1000];
	uint64_t n = 0;
	ssize_t len;

	while ((len = kipc_queue_get(q, buf, sizeof(buf), KIPC_FOREVER)) >= 0) {
		if ((size_t)len != make_message(n, want) || memcmp(want, buf, (size_t)len))
			return 1;
		n++;
	}
	return len == -EPIPE && n == MESSAGES ? 0 : 1;
}

/* Each message is recorded as it was, or counted; and the consumer gets all of them. */
TEST_F(record, what_goes_through)
{
	struct program p = start_recording(self->target, self->file);
	pid_t producer = ksft_fork(produce, self->q), consumer = ksft_fork(consume, self->q);
	struct run r;
	struct sums s;

	ksft_join(producer);
	ksft_join(consumer);
	/* it ends by itself, with the queue */
	r = finish(&p);
	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("", r.out);
	EXPECT_TRUE(strstr(r.err, " messages, "));
	run_free(&r);
	s = read_recording(self->file, check_message, NULL);
	EXPECT_TRUE(s.ends);
	EXPECT_EQ(MESSAGES, s.messages + s.missed);
	EXPECT_LT(0, s.messages);
}

/* Those that nobody takes are all recorded, with --all. */
TEST_F(record, what_waits)
{
	char buf[1000];
	struct stat st;
	struct sums s;
	struct run r;

	for (uint64_t i = 0; i < 900; i++)
		ASSERT_EQ(0, kipc_queue_put(self->q, buf, make_message(i, buf), KIPC_NOWAIT));
	r = inspect("record", "--all", "-c", "900", "-f", self->file, self->target);
	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("900 messages, 0 missed\n", r.err);
	run_free(&r);
	s = read_recording(self->file, check_message, NULL);
	EXPECT_EQ(900, s.messages);
	EXPECT_EQ(900, kipc_queue_len(self->q));
	ASSERT_EQ(0, stat(self->file, &st));
	EXPECT_EQ(0600u, st.st_mode & 0777);
	/* no more than were asked for; and none of those that are there without --all */
	r = inspect("record", "--all", "-c", "7", "-f", self->file, self->target);
	EXPECT_STREQ("7 messages, 0 missed\n", r.err);
	run_free(&r);
	r = inspect("record", "-d", "0.1", "-f", self->file, self->target);
	EXPECT_STREQ("0 messages, 0 missed\n", r.err);
	run_free(&r);
}

static void check_good(uint64_t number, const char *bytes, uint64_t len, void *arg)
{
	(void)number;
	(void)arg;
	EXPECT_EQ(5, len);
	EXPECT_MEMEQ("good", bytes, 5);
}

/* Reservations that are given up are never taken for messages, whatever stands in them. */
TEST_F(record, given_up)
{
	struct kipc_queue *q = queue_of(4, 32);
	struct program p;
	struct sums s;
	struct run r;
	char buf[32];

	target_of(self->target, q);
	p = start_recording(self->target, self->file);
	for (int i = 0; i < 2000; i++) {
		struct kipc_msg msg;

		ASSERT_EQ(0, kipc_queue_reserve(q, 5, &msg, KIPC_NOWAIT));
		memcpy(msg.data, "bad!", 5);
		ASSERT_EQ(0, kipc_queue_abort(q, &msg));
		ASSERT_EQ(0, kipc_queue_put(q, "good", 5, KIPC_NOWAIT));
		ASSERT_EQ(5, kipc_queue_get(q, buf, sizeof(buf), KIPC_NOWAIT));
	}
	ASSERT_EQ(0, kipc_queue_shutdown(q));
	r = finish(&p);
	EXPECT_EQ(0, r.code);
	run_free(&r);
	s = read_recording(self->file, check_good, NULL);
	EXPECT_LE(s.messages, 2000);
	EXPECT_LE(s.messages + s.missed, 4000);
	kipc_queue_close(q);
}

/* A queue that was closed by everybody, or whose users died, is over. */
static int put_one_and_end(void *arg)
{
	struct kipc_queue *q = queue_of(10, 32);
	int *fd = arg;

	__atomic_store_n(fd, q->obj.seg.fd, __ATOMIC_RELEASE);
	if (!ksft_wait_for(__atomic_load_n(fd, __ATOMIC_ACQUIRE) < 0, 20000))
		return 1;
	if (kipc_queue_put(q, "good", 5, KIPC_NOWAIT))
		return 1;
	raise(SIGKILL);
	return 1;
}

TEST_F(record, ends_with_the_last_process)
{
	int *fd = ksft_shared(4096);
	struct program p;
	struct sums s;
	struct run r;
	pid_t pid;

	pid = ksft_fork(put_one_and_end, fd);
	ASSERT_TRUE(ksft_wait_for(__atomic_load_n(fd, __ATOMIC_ACQUIRE) > 0, 5000));
	snprintf(self->target, sizeof(self->target), "%d:%d", pid, *fd);
	p = start_recording(self->target, self->file);
	__atomic_store_n(fd, -1, __ATOMIC_RELEASE);
	ASSERT_TRUE(WIFSIGNALED(ksft_wait(pid)));
	r = finish(&p);
	EXPECT_EQ(0, r.code);
	run_free(&r);
	s = read_recording(self->file, check_good, NULL);
	EXPECT_EQ(1, s.messages);
	EXPECT_EQ(0, s.missed);
}

TEST_F(record, ended_by_a_signal)
{
	struct program p = start_recording(self->target, self->file);
	struct sums s;
	struct run r;
	char buf[1000];

	for (uint64_t i = 0; i < 5; i++)
		ASSERT_EQ(0, kipc_queue_put(self->q, buf, make_message(i, buf), KIPC_NOWAIT));
	ASSERT_EQ(0, kill(p.pid, SIGINT));
	r = finish(&p);
	EXPECT_EQ(0, r.code);
	run_free(&r);
	s = read_recording(self->file, check_message, NULL);
	EXPECT_TRUE(s.ends);
	EXPECT_LE(s.messages, 5);
}

/* ---- replay ---- */

static void record_some(const char *file, const char *target, struct kipc_queue *q, int n)
{
	char buf[1000], count[16];
	struct run r;

	for (int i = 0; i < n; i++)
		ASSERT_EQ(0, kipc_queue_put(q, buf, make_message((uint64_t)i, buf), KIPC_NOWAIT));
	snprintf(count, sizeof(count), "%d", n);
	r = inspect("record", "--all", "-c", count, "-f", (char *)file, (char *)target);
	EXPECT_EQ(0, r.code);
	run_free(&r);
}

static void expect_messages(struct kipc_queue *q, int n)
{
	char buf[1000], want[1000];

	for (int i = 0; i < n; i++) {
		size_t len = make_message((uint64_t)i, want);

		ASSERT_EQ(len, (size_t)kipc_queue_get(q, buf, sizeof(buf), 10 * NSEC_PER_SEC));
		EXPECT_MEMEQ(want, buf, len);
	}
	EXPECT_EQ(0, kipc_queue_len(q));
}

TEST_F(record, replay)
{
	struct kipc_queue *to = queue_of(10, 1000);
	struct program p;
	char target[32];
	struct run r;

	record_some(self->file, self->target, self->q, 300);
	target_of(target, to);
	/* more than it takes: it waits for room, as any producer */
	p = start((char *[]){ "replay", "--fast", "-f", self->file, target, NULL });
	expect_messages(to, 300);
	r = finish(&p);
	EXPECT_EQ(0, r.code);
	EXPECT_STREQ("300 messages put\n", r.err);
	run_free(&r);
	/* it left nothing behind: no slot, no claim */
	r = inspect("check", "-J", target);
	EXPECT_EQ(0, r.code);
	EXPECT_JSON(r.out, "assert o['summary']['verdict'] == 'sound', o\n"
			   "assert o['summary']['in_flight'] == 0, o\n");
	run_free(&r);
	r = inspect("list", "-n", "-r", "-o", "PEERS,DEAD", target);
	EXPECT_STREQ("1 0\n", r.out);
	run_free(&r);
	kipc_queue_close(to);
}

/* Its doorbells are the queue's own: who polls the descriptor outside of the library is woken. */
TEST_F(record, replay_wakes_pollers)
{
	struct kipc_queue *to = queue_of(10, 1000);
	struct pollfd pfd = { .events = POLLIN };
	struct program p;
	char target[32], path[64], info[512] = "";
	uint64_t noted;
	struct run r;
	FILE *f;

	record_some(self->file, self->target, self->q, 1);
	target_of(target, to);
	noted = to->sh->bells[KIPC_QUEUE_BELL_READABLE].eventfd;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d",
		 to->bells[KIPC_QUEUE_BELL_READABLE].fd);
	f = fopen(path, "r");
	ASSERT_TRUE(f);
	ASSERT_LT(0, fread(info, 1, sizeof(info) - 1, f));
	fclose(f);
	EXPECT_EQ(strtoull(strstr(info, "eventfd-id:") + 11, NULL, 10) + 1, noted);

	pfd.fd = kipc_queue_fd(to, KIPC_READABLE);
	ASSERT_LE(0, pfd.fd);
	EXPECT_EQ(-EAGAIN, kipc_queue_get(to, info, sizeof(info), KIPC_NOWAIT));
	ASSERT_EQ(0, poll(&pfd, 1, 0));
	p = start((char *[]){ "replay", "-f", self->file, target, NULL });
	EXPECT_EQ(1, poll(&pfd, 1, ksft_scale(10000)));
	expect_messages(to, 1);
	r = finish(&p);
	EXPECT_EQ(0, r.code);
	run_free(&r);
	kipc_queue_close(to);
}

static int put_slowly(void *q)
{
	char buf[1000];

	for (uint64_t i = 0; i < 3; i++) {
		usleep(150000);
		if (kipc_queue_put(q, buf, make_message(i, buf), KIPC_FOREVER))
			return 1;
	}
	return kipc_queue_shutdown(q);
}

/* At the times of the recording; the first one at once. */
TEST_F(record, replay_at_original_speed)
{
	struct kipc_queue *to = queue_of(10, 1000);
	struct program p = start_recording(self->target, self->file);
	pid_t pid = ksft_fork(put_slowly, self->q);
	char target[32];
	struct run r;
	int64_t start_ns;

	ksft_join(pid);
	r = finish(&p);
	EXPECT_STREQ("3 messages, 0 missed\n", r.err);
	run_free(&r);
	target_of(target, to);
	start_ns = ksft_now_ns();
	r = inspect("replay", "-f", self->file, target);
	EXPECT_EQ(0, r.code);
	/* two pauses, as they were seen: a little less than they were made, perhaps */
	EXPECT_LE(250 * NSEC_PER_MSEC, ksft_now_ns() - start_ns);
	run_free(&r);
	expect_messages(to, 3);
	kipc_queue_close(to);
}

static void expect_failure(struct run r, int code, const char *words)
{
	bool ok = EXPECT_EQ(code, r.code);

	if (!EXPECT_TRUE(strstr(r.err, words)) || !ok)
		ksft_log("%s%s", r.out, r.err);
	run_free(&r);
}

TEST_F(record, failures)
{
	struct kipc_queue *small = queue_of(10, 16);
	struct kipc_pipe *ends[2];
	struct stat st;
	char target[32];
	struct run r;

	record_some(self->file, self->target, self->q, 3);
	target_of(target, small);
	expect_failure(inspect("replay", "--fast", "-f", self->file, target), 1, "message 3: ");
	EXPECT_EQ(2, kipc_queue_len(small));
	ASSERT_EQ(0, kipc_queue_shutdown(small));
	expect_failure(inspect("replay", "-f", self->file, target), 1, "message 1: ");
	kipc_queue_close(small);

	/* a recording that was cut short gives what it has */
	ASSERT_EQ(0, stat(self->file, &st));
	ASSERT_EQ(0, truncate(self->file, st.st_size - (off_t)sizeof(struct recording_entry) - 1));
	for (int i = 0; i < 3; i++)
		ASSERT_LT(0, kipc_queue_get(self->q, (char[1000]){ 0 }, 1000, KIPC_NOWAIT));
	expect_failure(inspect("replay", "--fast", "-f", self->file, self->target), 1,
		       "damaged after 2 messages");
	expect_messages(self->q, 2);
	ASSERT_EQ(0, truncate(self->file, 10));
	expect_failure(inspect("replay", "-f", self->file, self->target), 1, "no recording");
	expect_failure(inspect("replay", "-f", "/no/such/file", self->target), 1, "No such file");

	ASSERT_EQ(0, kipc_pipe_create(NULL, ends));
	snprintf(target, sizeof(target), "%d:%d", getpid(), kipc_pipe_object(ends[0])->seg.fd);
	expect_failure(inspect("record", "-f", self->file, target), 1, "only queues");
	expect_failure(inspect("record", "-f", "/no/such/folder/x", self->target), 1,
		       "No such file");
	expect_failure(inspect("record", self->target, target), 2, "one queue");
	expect_failure(inspect("replay"), 2, "one queue");
	expect_failure(inspect("record", "-c", "0", self->target), 2, "takes a number");
	r = inspect("dump", "--save", self->file, self->target);
	EXPECT_EQ(0, r.code);
	run_free(&r);
	expect_failure(inspect("record", "-f", "/dev/null", self->file), 1, "an image");
	kipc_pipe_close(ends[0]);
	kipc_pipe_close(ends[1]);
}

TEST_F(record, other_users)
{
	if (geteuid())
		SKIP("not root: no other users to be had");
	record_some(self->file, self->target, self->q, 1);
	ASSERT_EQ(0, chmod(self->file, 0644));
	expect_failure(inspect_as(NOBODY, "replay", "-f", self->file, self->target), 4,
		       "not permitted");
	EXPECT_EQ(1, kipc_queue_len(self->q));
}

TEST_HARNESS_MAIN
