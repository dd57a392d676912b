// SPDX-License-Identifier: MIT
/*
 * A queue in an epoll loop that a program has already, beside its other descriptors.
 *
 * In libuv it is the same descriptor: uv_poll_init(loop, &handle, kipc_queue_fd(queue,
 * KIPC_READABLE)), uv_poll_start(&handle, UV_READABLE, on_queue), and on_queue() does what
 * from_queue() does here.
 */
#include <errno.h>
#include <sys/epoll.h>

#include <kipc/queue.h>

#include "example.h"

static int words[2];	/* a pipe(2), as one of the other descriptors */

static void producer(void *queue)
{
	static const char *const names[] = { "zero", "one", "two", "three", "four" };

	for (int i = 0; i < 5; i++) {
		check(kipc_queue_put(queue, &i, sizeof(i), KIPC_FOREVER), "put");
		dprintf(words[1], "%s\n", names[i]);
	}
	kipc_queue_shutdown(queue);
}

/* Until -EAGAIN, which makes the descriptor unreadable again.  True: the queue was shut down. */
static bool from_queue(struct kipc_queue *queue)
{
	int i;
	long r;

	while ((r = kipc_queue_get(queue, &i, sizeof(i), KIPC_NOWAIT)) >= 0)
		printf("from the queue: %d\n", i);
	if (r != -EPIPE && r != -EAGAIN)
		check(r, "get");
	return r == -EPIPE;
}

/* True: that was all. */
static bool from_pipe(FILE *in)
{
	char word[32];

	if (!fgets(word, sizeof(word), in))
		return true;
	printf("from the pipe: %s", word);
	return false;
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) {
		perror("epoll_ctl");
		exit(1);
	}
}

int main(void)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), queue_fd, open = 2;
	struct epoll_event event;
	struct kipc_queue *queue;
	FILE *in;
	pid_t child;

	check(kipc_queue_create(NULL, NULL, &queue), "create");
	if (pipe(words)) {
		perror("pipe");
		return 1;
	}
	child = start(producer, queue);
	close(words[1]);
	in = fdopen(words[0], "r");
	setvbuf(in, NULL, _IONBF, 0);	/* what it had read ahead, epoll would not tell us of */

	queue_fd = (int)check(kipc_queue_fd(queue, KIPC_READABLE), "fd");
	watch(epoll, queue_fd);
	watch(epoll, words[0]);
	while (open) {
		bool over;

		if (epoll_wait(epoll, &event, 1, -1) != 1)
			continue;
		over = event.data.fd == queue_fd ? from_queue(queue) : from_pipe(in);
		if (over) {
			epoll_ctl(epoll, EPOLL_CTL_DEL, event.data.fd, NULL);
			open--;
		}
	}
	fclose(in);
	close(epoll);
	kipc_queue_close(queue);
	return join(child);
}
