// SPDX-License-Identifier: MIT
/*
 * A program starts another, which finds a queue and a pipe ready: numbers go out through the queue,
 * their squares come back through the pipe, and the pipe tells when the worker is gone.
 *
 * Both are this program; the worker is started as "spawn --worker", and could be any other.
 */
#include <errno.h>
#include <spawn.h>

#include <kipc/export.h>
#include <kipc/object.h>
#include <kipc/pipe.h>
#include <kipc/queue.h>

#include "example.h"

extern char **environ;

static int worker(void)
{
	struct kipc_object *object;
	struct kipc_queue *numbers;
	struct kipc_pipe *squares;
	int n;
	long r;

	check(kipc_import_env("numbers", &object), "numbers");
	numbers = kipc_object_queue(object);
	check(kipc_import_env("squares", &object), "squares");
	squares = kipc_object_pipe(object);
	if (!numbers || !squares) {
		fprintf(stderr, "these are other objects\n");
		return 1;
	}
	while ((r = kipc_queue_get(numbers, &n, sizeof(n), KIPC_FOREVER)) != -EPIPE) {
		check(r, "get");
		n *= n;
		check(kipc_pipe_send(squares, &n, sizeof(n), KIPC_FOREVER), "send");
	}
	return 0;	/* without closing anything: as if it were killed */
}

int main(int argc, char **argv)
{
	char *const worker_argv[] = { argv[0], "--worker", NULL };
	struct kipc_queue *numbers;
	struct kipc_pipe *squares[2];
	pid_t pid;
	int n, r;

	if (argc > 1 && !strcmp(argv[1], "--worker"))
		return worker();
	check(kipc_queue_create(NULL, NULL, &numbers), "create");
	check(kipc_pipe_create(NULL, squares), "create");

	check(kipc_export_env(kipc_queue_object(numbers), "numbers"), "export");
	check(kipc_export_env(kipc_pipe_object(squares[1]), "squares"), "export");
	r = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, worker_argv, environ);
	if (r) {
		fprintf(stderr, "posix_spawn: %s\n", strerror(r));
		return 1;
	}
	/* the worker has them now: from here on its end of the pipe is gone when it is */
	kipc_unexport_env("numbers");
	kipc_unexport_env("squares");
	kipc_pipe_close(squares[1]);

	for (n = 1; n <= 5; n++)
		check(kipc_queue_put(numbers, &n, sizeof(n), KIPC_FOREVER), "put");
	kipc_queue_shutdown(numbers);
	while ((r = (int)kipc_pipe_recv(squares[0], &n, sizeof(n), KIPC_FOREVER)) != -EPIPE) {
		check(r, "recv");
		printf("A square: %d\n", n);
	}
	printf("The worker is gone\n");
	kipc_pipe_close(squares[0]);
	kipc_queue_close(numbers);
	return join(pid);
}
