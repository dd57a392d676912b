// SPDX-License-Identifier: MIT
/*
 * A 100 x 100 array of bytes, filled here, read in another process.  That one gets nothing but the
 * name; what the array is like it learns from the array itself.
 */
#include <kipc/array.h>

#include "example.h"

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

static void process_1(void *name)
{
	struct kipc_array *array;

	check(kipc_array_open(name, NULL, &array), "open");
	printf("Process 1 got a %s array of %lu x %lu\n", kipc_dtype_name(kipc_array_dtype(array)),
	       (unsigned long)kipc_array_shape(array)[0], (unsigned long)kipc_array_shape(array)[1]);
	print_array(array);
	kipc_array_close(array);
}

int main(int argc, char **argv)
{
	static const uint64_t shape[] = { 100, 100 };
	/* should this process be killed, the name goes as well */
	KIPC_OPTS(kipc_array_opts, opts, .flags = KIPC_NAME_TIED);
	struct kipc_array *array;
	char name[32];
	int failed;

	set_pace(argc, argv);
	snprintf(name, sizeof(name), "example-%d", (int)getpid());
	check(kipc_array_create(name, KIPC_UINT8, 2, shape, &opts, &array), "create");
	check(kipc_array_fill(array, &(uint8_t){ 255 }), "fill");
	failed = join(start(process_1, name));
	kipc_array_close(array);
	check(kipc_array_unlink(name), "unlink");
	return failed;
}
