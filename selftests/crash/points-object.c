// SPDX-License-Identifier: MIT
/* Objects in a manager: made, named, found, referred to, destroyed; and what fork(2) does to them. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kipc/dict.h>
#include <kipc/list.h>

#include "points-arena.h"

#define KEYS 40

static struct kipc_list *l;		/* of the world, "here" */
static struct kipc_dict *d;		/* of an actor */
static struct kipc_list *mine;		/* likewise */
static uint64_t objects;		/* that there are before */

/* word[] of an actor */
enum { MADE };

static int create(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_list_create(m, NULL, &mine) ?: kipc_list_append(mine, kipc_str("a string in a block"));
}

static int create_named(int64_t timeout_ns)
{
	int r = kipc_list_create(m, "name", &mine);

	(void)timeout_ns;
	points_told(points_who)->word[MADE] = !r;
	return r == -EEXIST ? 0 : r;
}

static int open_and_close(int64_t timeout_ns)
{
	int r = kipc_list_open(m, "here", &mine);

	(void)timeout_ns;
	return r == -ENOENT ? 0 : r ? r : kipc_list_unref(mine);
}

static int remove_name(int64_t timeout_ns)
{
	int r = kipc_manager_remove(m, "here");

	(void)timeout_ns;
	return r == -ENOENT ? 0 : r;
}

static int make_dict(void)
{
	int r = enter() ?: kipc_dict_create(m, NULL, &d);

	for (int i = 0; i < KEYS && !r; i++)
		r = kipc_dict_set(d, kipc_int(i), kipc_str("a value that has a block"));
	return r;
}

/* Nobody else refers to it. */
static int unref_dict(int64_t timeout_ns)
{
	(void)timeout_ns;
	return kipc_dict_unref(d);
}

static int fork_child(int64_t timeout_ns)
{
	pid_t pid = fork();
	int status;

	(void)timeout_ns;
	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(kipc_list_len(l) != 1);
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return status ? -ECHILD : 0;
}

static int make(void)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };
	int r = make_manager(512 << 10);

	r = r ?: kipc_list_create(m, "here", &l);
	r = r ?: kipc_list_append(l, kipc_int(1));
	r = r ?: kipc_manager_stat(m, &st);
	objects = st.objects;
	return r;
}

/* Of those who tried to make the name, one has, be it a dead one. */
static int check_name(void)
{
	bool tried = points_act(points_scene, SURVIVOR)->run == create_named;
	int64_t made = 0;
	int r = kipc_list_open(m, "name", &mine);

	for (enum who who = STOPPED; who < ACTORS; who++)
		made += points_told(who)->word[MADE];
	if (points_expect("opening by name", r, tried ? 0 : -ENOENT))
		return -1;
	if (made > 1)
		return points_bad("%ld made the same name", (long)made);
	if (!tried)
		return 0;
	return points_expect("unref", kipc_list_unref(mine), 0) ||
	       points_expect("remove", kipc_manager_remove(m, "name"), 0);
}

static int verify(void)
{
	struct kipc_manager_stat st = { .sz = sizeof(st) };

	if (check_name() || points_expect("stat", kipc_manager_stat(m, &st), 0) ||
	    points_expect("objects", (int64_t)st.objects, (int64_t)objects) ||
	    points_expect("create", create_named(0), 0) ||
	    points_expect("made", points_told(WORLD)->word[MADE], 1) ||
	    points_expect("unref", kipc_list_unref(mine), 0) ||
	    points_expect("remove", kipc_manager_remove(m, "name"), 0) ||
	    points_expect("len", kipc_list_len(l), 1))
		return -1;
	return points_ended(KILLED) ? POINTS_NEW : POINTS_OLD | POINTS_NEW;
}

#define CREATE	OP(create, NULL)
#define NAMED	OP(create_named, NULL)
#define OPEN	OP(open_and_close, NULL)
#define REMOVE	OP(remove_name, NULL)
#define FORK	OP(fork_child, NULL)
#define UNREF	{ .run = unref_dict, .ready = make_dict }
#define ROW(name, flags, a, b, c) \
	{ "object", name, flags, make, a, b, c, verify, NULL }

SCENES(points_object) = {
	ROW("create x create", SCENE_TRIPLE | SCENE_SHORT, CREATE, CREATE, CREATE),
	ROW("create by name x create by name", SCENE_TRIPLE, NAMED, NAMED, NAMED),
	ROW("open x remove", 0, OPEN, REMOVE, OPEN),
	ROW("remove x open", 0, REMOVE, OPEN, CREATE),
	ROW("remove x remove", 0, REMOVE, REMOVE, REMOVE),
	ROW("the end of a dict x create", 0, UNREF, CREATE, CREATE),
	ROW("create x the end of a dict", 0, CREATE, UNREF, CREATE),
	ROW("the end of a dict x the end of a dict", 0, UNREF, UNREF, CREATE),
	ROW("fork x fork", SCENE_SHORT, FORK, FORK, CREATE),
	ROW("fork x create", 0, FORK, CREATE, FORK),
	ROW("create x fork", 0, CREATE, FORK, FORK),
	{ 0 },
};
