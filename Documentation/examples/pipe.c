// SPDX-License-Identifier: MIT
/* One process sends ten numbers and "END" into a pipe, another receives them at its other end. */
#include <kipc/pipe.h>

#include "example.h"

static struct kipc_pipe *conn[2];

static void process_1(void *arg)
{
	char data[16];

	(void)arg;
	kipc_pipe_close(conn[1]);	/* the other's end, as with pipe(2) */
	for (int i = 0; i <= 10; i++) {
		if (i < 10)
			snprintf(data, sizeof(data), "%d", i);
		else
			strcpy(data, "END");
		printf("Process 1 is sending data: %s\n", data);
		check(kipc_pipe_send(conn[0], data, strlen(data), KIPC_FOREVER), "send");
		pause_for(0.2);
	}
}

static void process_2(void *arg)
{
	char data[16];
	long len;

	(void)arg;
	kipc_pipe_close(conn[0]);
	do {
		len = check(kipc_pipe_recv(conn[1], data, sizeof(data) - 1, KIPC_FOREVER), "recv");
		data[len] = '\0';
		printf("Process 2 got `%s` data\n", data);
		pause_for(1);
	} while (strcmp(data, "END"));
}

int main(int argc, char **argv)
{
	pid_t p1, p2;
	int failed;

	set_pace(argc, argv);
	check(kipc_pipe_create(NULL, conn), "create");
	p1 = start(process_1, NULL);
	p2 = start(process_2, NULL);
	kipc_pipe_close(conn[0]);
	kipc_pipe_close(conn[1]);
	failed = join(p1);
	failed |= join(p2);
	return failed;
}
