// SPDX-License-Identifier: MIT
/* As manager.c, with a lock around each batch: the hundred numbers of a process stay together. */
#include <errno.h>

#include <kipc/list.h>
#include <kipc/lock.h>
#include <kipc/manager.h>

#include "example.h"
#include "print_list.h"

static struct kipc_list *shared_list;
static struct kipc_lock *lock;

static void append_batch(int first)
{
	long r = kipc_lock_acquire(lock, KIPC_FOREVER);

	if (r != -EOWNERDEAD)	/* ours all the same: its last owner died with a batch half done */
		check(r, "acquire");
	for (int num = first; num < first + 100; num++)
		check(kipc_list_append(shared_list, kipc_int(num)), "append");
	check(kipc_lock_release(lock), "release");
}

static void process_1(void *arg)
{
	(void)arg;
	append_batch(0);
}

static void process_2(void *arg)
{
	(void)arg;
	append_batch(100);
}

int main(int argc, char **argv)
{
	struct kipc_manager *manager;
	pid_t p1, p2;
	int failed;

	set_pace(argc, argv);
	check(kipc_manager_create(NULL, NULL, &manager), "create");
	check(kipc_list_create(manager, NULL, &shared_list), "list");
	check(kipc_lock_create(manager, NULL, &lock), "lock");
	p1 = start(process_1, NULL);
	p2 = start(process_2, NULL);
	failed = join(p1);
	failed |= join(p2);
	print_list(shared_list);
	kipc_lock_unref(lock);
	kipc_list_unref(shared_list);
	kipc_manager_close(manager);
	return failed;
}
