// SPDX-License-Identifier: MIT
/* One process puts ten numbers into a queue, another gets them. */
#include <errno.h>

#include <kipc/queue.h>

#include "example.h"

static void process_1(void *queue)
{
	for (int data = 0; data < 10; data++) {
		printf("Process 1 is sending data: %d\n", data);
		check(kipc_queue_put(queue, &data, sizeof(data), KIPC_FOREVER), "put");
		pause_for(2);
	}
}

static void process_2(void *queue)
{
	int data;
	long r;

	while ((r = kipc_queue_get(queue, &data, sizeof(data), KIPC_FOREVER)) != -EPIPE) {
		check(r, "get");
		printf("Process 2 got `%d` data\n", data);
		pause_for(1);
	}
}

int main(int argc, char **argv)
{
	struct kipc_queue *queue;
	pid_t p1, p2;
	int failed;

	set_pace(argc, argv);
	check(kipc_queue_create(NULL, NULL, &queue), "create");
	p1 = start(process_1, queue);
	p2 = start(process_2, queue);
	failed = join(p1);
	kipc_queue_shutdown(queue);	/* what was put is still got, then -EPIPE */
	failed |= join(p2);
	kipc_queue_close(queue);
	return failed;
}
