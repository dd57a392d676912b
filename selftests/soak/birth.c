// SPDX-License-Identifier: MIT
/*
 * Ways in which a worker comes into the world:
 *
 *	fork	has all that the director has; registered by fork's handlers
 *	clone	the same by the bare system call: no handler runs
 *	exec	a new program that is sent the objects over a socket (kipc_recv())
 *	pidns	in a PID namespace of its own, as its first process or as that one's child
 *	memcg	in a memory cgroup with a low limit, eating memory until the kernel kills it
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "soak.h"

/* What an exec leaves open, for birth_after_exec(). */
#define FD_SHARED	3
#define FD_SOCKET	4

#define MEMCG_LIMIT	"25165824"	/* bytes */

static const char *missing[SOAK_BIRTHS];

/* ---- memory cgroup, version 1 or 2 ---- */

static char memcg[128];

static bool write_to(const char *dir, const char *file, const char *text)
{
	char path[256];
	bool ok;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

static bool try_memcg(const char *root, const char *limit)
{
	snprintf(memcg, sizeof(memcg), "%s/kipc-soak.%d", root, getpid());
	if (mkdir(memcg, 0755))
		return false;
	if (write_to(memcg, limit, MEMCG_LIMIT)) {
		write_to(memcg, "memory.swap.max", "0");	/* there may be none */
		write_to(memcg, "memory.swappiness", "0");
		return true;
	}
	rmdir(memcg);
	return false;
}

static const char *memcg_init(void)
{
	if (try_memcg("/sys/fs/cgroup/memory", "memory.limit_in_bytes"))
		return NULL;
	write_to("/sys/fs/cgroup", "cgroup.subtree_control", "+memory");
	if (try_memcg("/sys/fs/cgroup", "memory.max"))
		return NULL;
	memcg[0] = '\0';
	return "no memory cgroup can be made here";
}

/* ---- PID namespaces ---- */

static pid_t bare_clone(int flags)
{
	return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
}

static const char *pidns_init(void)
{
	pid_t pid = bare_clone(CLONE_NEWPID);
	int status;

	if (!pid)
		_exit(getpid() == 1 ? 0 : 1);
	if (pid < 0)
		return "no PID namespace can be made here";
	if (waitpid(pid, &status, 0) != pid || status)
		return "the first process of a PID namespace is not number 1";
	return NULL;
}

void birth_init(void)
{
	missing[BIRTH_PIDNS] = pidns_init();
	missing[BIRTH_MEMCG] = memcg_init();
}

void birth_end(void)
{
	if (memcg[0])
		rmdir(memcg);
}

const char *birth_missing(enum soak_birth how)
{
	return missing[how];
}

/* ---- in the child ---- */

static void stay_no_longer_than_the_parent(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void __attribute__((noreturn)) be_worker(uint32_t place, struct kipc_pipe *const ends[2],
						bool eats)
{
	stay_no_longer_than_the_parent();
	if (ends) {
		kipc_pipe_close(ends[1]);
		handles.end = ends[0];
	}
	_exit(soak_work(place, eats));
}

/* The first process of the namespace: the worker, or its parent. */
static void __attribute__((noreturn)) be_first(uint32_t place, struct kipc_pipe *const ends[2])
{
	int status = 0;
	pid_t pid;

	if (soak->place[place].incarnation & 1)
		be_worker(place, ends, false);
	stay_no_longer_than_the_parent();
	pid = fork();
	if (!pid)
		be_worker(place, ends, false);
	/* as long as we have an end it counts as there */
	if (ends) {
		kipc_pipe_close(ends[0]);
		kipc_pipe_close(ends[1]);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		_exit(2);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 3);
}

static void __attribute__((noreturn)) be_eater(uint32_t place)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (!write_to(memcg, "cgroup.procs", pid))
		_exit(4);
	be_worker(place, NULL, true);
}

/* ---- exec ---- */

static void __attribute__((noreturn)) be_program(uint32_t place, int sock)
{
	/* out of the way of the two numbers */
	int from[2] = { fcntl(soak_fd, F_DUPFD, 16), fcntl(sock, F_DUPFD, 16) };
	char nr[16];

	stay_no_longer_than_the_parent();
	snprintf(nr, sizeof(nr), "%u", place);
	if (from[0] < 0 || from[1] < 0 || dup2(from[0], FD_SHARED) < 0 ||
	    dup2(from[1], FD_SOCKET) < 0)
		_exit(5);
	close(from[0]);
	close(from[1]);
	execl("/proc/self/exe", "soak", "--worker", nr, NULL);
	_exit(6);
}

/* The objects wait in the socket; if the child never receives them, they end with it. */
static pid_t birth_exec(uint32_t place, struct kipc_pipe *const ends[2])
{
	int socks[2], r = 0;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks))
		return -errno;
	if (ends) {
		r = kipc_send(socks[0], kipc_pipe_object(ends[0]));
	} else {
		for (int q = 0; q < SOAK_QUEUES && !r; q++)
			r = kipc_send(socks[0], kipc_queue_object(handles.queue[q]));
		if (!r)
			r = kipc_send(socks[0], kipc_manager_object(handles.manager));
		if (!r)
			r = kipc_send(socks[0], kipc_shm_object(handles.shm));
	}
	if (!r) {
		pid = fork();
		if (!pid)
			be_program(place, socks[1]);
		r = pid < 0 ? -errno : pid;
	}
	close(socks[0]);
	close(socks[1]);
	return r;
}

static int receive(struct kipc_object **obj)
{
	return kipc_recv(FD_SOCKET, obj);
}

static int receive_all(bool pipe)
{
	struct kipc_object *obj;
	int r;

	if (pipe) {
		r = receive(&obj);
		if (!r)
			handles.end = kipc_object_pipe(obj);
		return r ? r : handles.end ? 0 : -EBADMSG;
	}
	for (int q = 0; q < SOAK_QUEUES; q++) {
		r = receive(&obj);
		if (r)
			return r;
		handles.queue[q] = kipc_object_queue(obj);
	}
	r = receive(&obj);
	if (r)
		return r;
	handles.manager = kipc_object_manager(obj);
	r = receive(&obj);
	if (r)
		return r;
	handles.shm = kipc_object_shm(obj);
	if (!handles.queue[0] || !handles.queue[1] || !handles.manager || !handles.shm)
		return -EBADMSG;
	r = kipc_list_open(handles.manager, "list", &handles.list);
	r = r ? r : kipc_dict_open(handles.manager, "dict", &handles.dict);
	r = r ? r : kipc_lock_open(handles.manager, "lock", &handles.lock);
	return r ? r : kipc_rlock_open(handles.manager, "rlock", &handles.rlock);
}

int birth_after_exec(uint32_t place)
{
	struct stat st;
	int r;

	stay_no_longer_than_the_parent();
	if (fstat(FD_SHARED, &st))
		return 7;
	soak = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, FD_SHARED, 0);
	if (soak == MAP_FAILED)
		return 7;
	r = receive_all(role_of(place) == ROLE_PIPE);
	if (r) {
		soak_wrong(SOAK_ERRORS, "place %u: receiving the objects: %s", place,
			   kipc_strerror(r));
		return 8;
	}
	close(FD_SOCKET);
	return soak_work(place, false);
}

/* ---- the parent's side ---- */

pid_t birth(enum soak_birth how, uint32_t place, struct kipc_pipe *const ends[2])
{
	pid_t pid;

	switch (how) {
	case BIRTH_EXEC:
		return birth_exec(place, ends);
	case BIRTH_CLONE:
		pid = bare_clone(0);
		break;
	case BIRTH_PIDNS:
		pid = bare_clone(CLONE_NEWPID);
		if (!pid)
			be_first(place, ends);
		break;
	case BIRTH_MEMCG:
		pid = fork();
		if (!pid)
			be_eater(place);
		break;
	default:
		pid = fork();
	}
	if (!pid)
		be_worker(place, ends, false);
	return pid < 0 ? -errno : pid;
}

pid_t birth_plain(enum soak_birth how, int (*fn)(void))
{
	pid_t pid = how == BIRTH_CLONE ? bare_clone(0) : fork();

	if (!pid) {
		stay_no_longer_than_the_parent();
		_exit(fn());
	}
	return pid < 0 ? -errno : pid;
}
