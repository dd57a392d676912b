// SPDX-License-Identifier: MIT
/*
 * A 100 x 100 array of bytes, filled here, read in another process.  That one starts before the array
 * exists and gets it over a socket; what the array is like it learns from the array itself.
 */
#include <sys/socket.h>

#include <kipc/array.h>
#include <kipc/object.h>

#include "example.h"

static int sock[2];

/* print() of the array, as NumPy shortens it. */
static void print_array(struct kipc_array *array)
{
	const uint64_t *shape = kipc_array_shape(array);

	for (uint64_t i = 0; i < shape[0]; i++) {
		const uint8_t *row = kipc_array_at(array, (uint64_t[]){ i, 0 });

		if (i == 3)
			printf(" ...\n");
		if (i < 3 || i >= shape[0] - 3)
			printf("%s[%d %d %d ... %d %d %d]%s\n", i ? " " : "[", row[0], row[1], row[2],
			       row[shape[1] - 3], row[shape[1] - 2], row[shape[1] - 1],
			       i == shape[0] - 1 ? "]" : "");
	}
}

static void process_1(void *arg)
{
	struct kipc_object *object;
	struct kipc_array *array;

	(void)arg;
	check(kipc_recv(sock[1], &object), "recv");
	array = kipc_object_array(object);
	printf("Process 1 got a %s array of %lu x %lu\n", kipc_dtype_name(kipc_array_dtype(array)),
	       (unsigned long)kipc_array_shape(array)[0], (unsigned long)kipc_array_shape(array)[1]);
	print_array(array);
	kipc_array_close(array);
}

int main(int argc, char **argv)
{
	static const uint64_t shape[] = { 100, 100 };
	struct kipc_array *array;
	pid_t p1;
	int failed;

	set_pace(argc, argv);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock)) {
		perror("socketpair");
		return 1;
	}
	p1 = start(process_1, NULL);
	check(kipc_array_create(NULL, KIPC_UINT8, 2, shape, NULL, &array), "create");
	check(kipc_array_fill(array, &(uint8_t){ 255 }), "fill");
	check(kipc_send(sock[0], kipc_array_object(array)), "send");
	failed = join(p1);
	kipc_array_close(array);
	return failed;
}
