// SPDX-License-Identifier: MIT
/*
 * An echo server for 1,000 pipes in one thread; four processes talk to it at once.
 *
 * It never blocks on one client: what can't be sent back at once waits for KIPC_WRITABLE, and as
 * long as it does nothing more is received from that client.
 */
#include <errno.h>
#include <stdbool.h>
#include <sys/resource.h>

#include <kipc/pipe.h>
#include <kipc/waitset.h>

#include "example.h"

#define CLIENTS	4
#define ROUNDS	3
#define MAX	256	/* bytes of a message */

struct connection {
	struct kipc_pipe *ends[2];	/* ours, and the client's */
	int64_t id;			/* in the waitset */
	char pending[MAX];		/* received, and not sent back yet */
	long len;			/* of that; < 0: there is nothing */
};

static struct connection *all;
static int n = 1000;

/* A pipe takes eight descriptors at each end; here both ends are open for a moment. */
static void raise_limit(void)
{
	struct rlimit rl;
	rlim_t want = (rlim_t)n * 16 + 100;

	getrlimit(RLIMIT_NOFILE, &rl);
	if (rl.rlim_cur >= want)
		return;
	rl.rlim_cur = want;
	if (rl.rlim_max < want)
		rl.rlim_max = want;	/* only root may */
	if (setrlimit(RLIMIT_NOFILE, &rl) == 0)
		return;
	getrlimit(RLIMIT_NOFILE, &rl);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	n = (int)((rl.rlim_cur - 100) / 16) / CLIENTS * CLIENTS;
}

/* Sends a message down each of its pipes, then expects each back; some rounds of that. */
static void client(void *arg)
{
	int me = (int)(long)arg;
	char out[MAX], in[MAX];

	/* as with pipe(2): close what is others' */
	for (int i = 0; i < n; i++) {
		kipc_pipe_close(all[i].ends[0]);
		if (i % CLIENTS != me)
			kipc_pipe_close(all[i].ends[1]);
	}
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = me; i < n; i += CLIENTS) {
			int len = snprintf(out, MAX, "round %d, pipe %d", round, i);

			check(kipc_pipe_send(all[i].ends[1], out, (size_t)len, KIPC_FOREVER),
			      "send");
		}
		for (int i = me; i < n; i += CLIENTS) {
			long len = check(kipc_pipe_recv(all[i].ends[1], in, MAX, KIPC_FOREVER),
					 "recv");

			snprintf(out, MAX, "round %d, pipe %d", round, i);
			if (len != (long)strlen(out) || memcmp(in, out, (size_t)len)) {
				fprintf(stderr, "that is not what was sent\n");
				exit(1);
			}
		}
	}
}

/*
 * Goes on with one connection as far as it goes, and counts the messages that went back.  < 0: it is
 * over, though some may have gone back before.
 */
static long serve(struct kipc_waitset *ws, struct connection *c, long *echoed)
{
	bool was_pending = c->len >= 0;
	long r;

	for (;;) {
		if (c->len < 0)
			c->len = kipc_pipe_recv(c->ends[0], c->pending, MAX, KIPC_NOWAIT);
		if (c->len < 0)
			break;
		r = kipc_pipe_send(c->ends[0], c->pending, (size_t)c->len, KIPC_NOWAIT);
		if (r == -EAGAIN)
			break;
		if (r < 0)
			return r;
		c->len = -EAGAIN;
		++*echoed;
	}
	if (c->len < 0 && c->len != -EAGAIN)
		return c->len;
	if (was_pending != (c->len >= 0))
		check(kipc_waitset_modify(ws, c->id,
					  c->len >= 0 ? KIPC_WRITABLE : KIPC_READABLE),
		      "modify");
	return 0;
}

static void server(void)
{
	struct kipc_waitset_event events[64];
	struct kipc_waitset *ws;
	long echoed = 0, gone = 0;

	check(kipc_waitset_create(NULL, &ws), "create");
	for (int i = 0; i < n; i++)
		all[i].id = check(kipc_waitset_add_pipe(ws, all[i].ends[0], KIPC_READABLE,
							&all[i]),
				  "add");
	while (gone < n) {
		int ready = (int)check(kipc_waitset_wait(ws, events, 64, KIPC_FOREVER), "wait");

		for (int i = 0; i < ready; i++) {
			struct connection *c = events[i].data;
			long r = serve(ws, c, &echoed);

			if (!r)
				continue;
			if (r != -EPIPE)
				check(r, "echo");
			/* hung up: first out of the set, then closed */
			kipc_waitset_remove(ws, c->id);
			kipc_pipe_close(c->ends[0]);
			gone++;
		}
	}
	printf("%ld messages echoed, %ld pipes hung up\n", echoed, gone);
	kipc_waitset_close(ws);
}

int main(void)
{
	pid_t clients[CLIENTS];
	int failed = 0;

	raise_limit();
	all = calloc((size_t)n, sizeof(*all));
	for (int i = 0; i < n; i++) {
		check(kipc_pipe_create(NULL, all[i].ends), "create");
		all[i].len = -EAGAIN;
	}
	for (long i = 0; i < CLIENTS; i++)
		clients[i] = start(client, (void *)i);
	for (int i = 0; i < n; i++)
		kipc_pipe_close(all[i].ends[1]);
	printf("serving %d pipes in one thread\n", n);
	server();
	for (int i = 0; i < CLIENTS; i++)
		failed |= join(clients[i]);
	free(all);
	return failed;
}
