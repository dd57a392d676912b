// SPDX-License-Identifier: MIT
/* Two processes append to one list; each number arrives, in an order that only time decides. */
#include <kipc/list.h>
#include <kipc/manager.h>

#include "example.h"
#include "print_list.h"

static void process_1(void *shared_list)
{
	for (int num = 0; num < 10; num++)
		check(kipc_list_append(shared_list, kipc_int(num)), "append");
}

static void process_2(void *shared_list)
{
	for (int num = 10; num < 20; num++)
		check(kipc_list_append(shared_list, kipc_int(num)), "append");
}

int main(int argc, char **argv)
{
	struct kipc_manager *manager;
	struct kipc_list *shared_list;
	pid_t p1, p2;
	int failed;

	set_pace(argc, argv);
	check(kipc_manager_create(NULL, NULL, &manager), "create");
	check(kipc_list_create(manager, NULL, &shared_list), "list");
	p1 = start(process_1, shared_list);
	p2 = start(process_2, shared_list);
	failed = join(p1);
	failed |= join(p2);
	print_list(shared_list);
	kipc_list_unref(shared_list);
	kipc_manager_close(manager);
	return failed;
}
