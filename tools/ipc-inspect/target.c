// SPDX-License-Identifier: MIT
/* Which objects are meant: see subject.h. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"

/* ---- words ---- */

/* A number from min to INT_MAX that ends at `end`; -1: it isn't one. */
static int number(const char *s, const char *end, int min)
{
	long n;
	char *stop;

	if (!isdigit((unsigned char)*s))
		return -1;
	errno = 0;
	n = strtol(s, &stop, 10);
	return stop == end && !errno && n >= min && n <= INT_MAX ? (int)n : -1;
}

static bool is_address(const char *s, uint64_t *address)
{
	char *stop;

	if (strncmp(s, "0x", 2) || !isxdigit((unsigned char)s[2]))
		return false;
	errno = 0;
	*address = strtoull(s, &stop, 16);
	return !*stop && !errno;
}

static void add(struct targets *t, struct target target)
{
	t->target = xreallocarray(t->target, t->n + 1, sizeof(t->target[0]));
	t->target[t->n++] = target;
}

int targets_add_pid(struct targets *t, const char *arg)
{
	int pid = number(arg, arg + strlen(arg), 1);

	if (pid < 0) {
		_cleanup_free_ char *safe = text_safe(arg, strlen(arg));

		warnx("'%s' is no process ID", safe);
		return EXIT_USAGE;
	}
	add(t, (struct target){ .type = TARGET_PID, .pid = pid });
	return EXIT_OK;
}

static bool is_name(const char *s)
{
	return *s && strlen(s) <= KIPC_NAME_MAX &&
	       s[strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")] ==
		       '\0';
}

int targets_add(struct targets *t, const char *arg)
{
	const char *colon = strchr(arg, ':');
	struct target target = { .type = TARGET_FD };

	if (!strncmp(arg, "pid:", 4))
		return targets_add_pid(t, arg + 4);
	target.pid = colon ? number(arg, colon, 1) : -1;
	if (target.pid > 0) {
		target.fd = number(colon + 1, arg + strlen(arg), 0);
		if (is_address(colon + 1, &target.address))
			target.type = TARGET_ADDRESS;
		if (target.fd >= 0 || target.type == TARGET_ADDRESS) {
			add(t, target);
			return EXIT_OK;
		}
	}
	if (strchr(arg, '/') || is_name(arg)) {
		target.type = strchr(arg, '/') ? TARGET_IMAGE : TARGET_NAME;
		target.text = xstrdup(arg);
		add(t, target);
		return EXIT_OK;
	}
	_cleanup_free_ char *safe = text_safe(arg, strlen(arg));
	warnx("'%s' is no object: use PID:FD, pid:PID, a name or the path of an image", safe);
	return EXIT_USAGE;
}

void targets_free(struct targets *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->target[i].text);
	free(t->target);
	memset(t, 0, sizeof(*t));
}

/* ---- what they mean ---- */

static bool is_handle(const struct target *t, const struct handle *h)
{
	if (h->pid != t->pid)
		return false;
	if (t->type == TARGET_FD)
		return h->fd == t->fd;
	if (t->type == TARGET_ADDRESS)
		return h->fd < 0 && h->start == t->address;
	return t->type == TARGET_PID;
}

static bool meant(const struct target *t, const struct object *object)
{
	if (t->type == TARGET_IMAGE)
		return object->path && !strcmp(object->path, t->text);
	for (size_t i = 0; i < object->holders.n; i++)
		if (is_handle(t, &object->holders.handle[i]))
			return true;
	return false;
}

/* Why a process's target has no object: an exit code, after a message. */
static int explain_process(const struct target *t, bool need)
{
	char path[64];
	int dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", t->pid);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && (errno == EACCES || errno == EPERM)) {
		warnx("process %d: not permitted to look into it", t->pid);
		return EXIT_UNSUPPORTED;
	}
	if (dir < 0) {
		warnx("no process %d", t->pid);
		return EXIT_FAILED;
	}
	snprintf(path, sizeof(path), "%d", t->fd);
	if (t->type == TARGET_ADDRESS)
		warnx("process %d maps no kipc object at 0x%lx", t->pid, (unsigned long)t->address);
	else if (t->type == TARGET_FD && faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW))
		warnx("process %d has no descriptor %d", t->pid, t->fd);
	else if (t->type == TARGET_FD)
		warnx("%d:%d is no kipc object", t->pid, t->fd);
	else if (need)
		warnx("process %d has no kipc objects", t->pid);
	close(dir);
	return t->type != TARGET_PID || need ? EXIT_FAILED : EXIT_OK;
}

static int explain(const struct target *t, bool need)
{
	if (t->type != TARGET_NAME)
		return explain_process(t, need);
	warnx("no object named '%s'", t->text);
	return EXIT_FAILED;
}

static void explain_image(const char *path, int error)
{
	_cleanup_free_ char *safe = text_safe(path, strlen(path));

	if (error == -EINVAL)
		warnx("%s: no image of an object", safe);
	else
		warnx("%s: %s", safe, strerror(-error));
}

/* ---- all of them ---- */

struct each {
	const struct targets *targets;
	unsigned int flags;
	subject_fn fn;
	void *arg;
	bool *hit;	/* targets that meant something */
	bool names;	/* some targets are names */
};

/* Whether the object is one of those asked for; s: opened, for its name, or NULL: not yet. */
static bool wanted(struct each *e, const struct object *object, const struct subject *s)
{
	const char *name = s ? subject_name(s) : NULL;
	bool found = !e->targets->n;

	for (size_t i = 0; i < e->targets->n; i++) {
		const struct target *t = &e->targets->target[i];
		bool hit = t->type == TARGET_NAME ? name && !strcmp(name, t->text) :
						    meant(t, object);

		e->hit[i] |= hit;
		found |= hit;
	}
	return found;
}

/* The same for an object that only its name can make one of them. */
static bool wanted_by_name(struct each *e, const struct object *object)
{
	struct subject s;
	bool found;

	if (!e->names || subject_open(&s, object, false))
		return false;
	found = wanted(e, object, &s);
	subject_close(&s);
	return found;
}

static int look_at(struct each *e, const struct object *object)
{
	struct subject s;
	int r, code;

	if (!wanted(e, object, NULL) && !wanted_by_name(e, object))
		return EXIT_OK;
	r = subject_open(&s, object, e->flags & EACH_DEEP);
	if (r) {
		if (!object->path)
			return EXIT_OK;		/* gone meanwhile */
		explain_image(object->path, r);
		return r == -EACCES || r == -EPERM ? EXIT_UNSUPPORTED : EXIT_FAILED;
	}
	code = e->fn(&s, e->arg);
	subject_close(&s);
	return code;
}

/* Images alone need no look at the machine. */
static int gather(const struct targets *t, struct objects *objects)
{
	bool live = !t->n;
	int r = 0;

	for (size_t i = 0; i < t->n; i++)
		live |= t->target[i].type != TARGET_IMAGE;
	memset(objects, 0, sizeof(*objects));
	if (live)
		r = objects_find(objects);
	for (size_t i = 0; i < t->n; i++)
		if (t->target[i].type == TARGET_IMAGE)
			objects_add_image(objects, t->target[i].text);
	return r;
}

static void report_names(const struct objects *objects)
{
	if (objects->names_error)
		fprintf(stderr, "the broker of names: %s\n", strerror(-objects->names_error));
	if (objects->refused_names)
		fprintf(stderr, "%d name%s not readable: see `ipc-inspect names'\n",
			objects->refused_names, objects->refused_names == 1 ? "" : "s");
}

static void report_refused(const struct objects *objects)
{
	fflush(stdout);
	if (objects->refused)
		fprintf(stderr, "%d process%s not readable%s\n", objects->refused,
			objects->refused == 1 ? "" : "es",
			!geteuid() ? "" : objects->refused == 1 ? ": run as root to see it" :
								  ": run as root to see them");
	report_names(objects);
}

int worse(int a, int b)
{
	return a == EXIT_DAMAGE || b == EXIT_DAMAGE ? EXIT_DAMAGE : a ? a : b;
}

int subjects_each(const struct targets *t, unsigned int flags, subject_fn fn, void *arg)
{
	struct each e = { .targets = t, .flags = flags, .fn = fn, .arg = arg };
	_cleanup_free_ bool *hit = xcalloc(t->n, sizeof(*hit));
	struct objects objects;
	int code = EXIT_OK, r;
	bool missed = false;

	e.hit = hit;
	for (size_t i = 0; i < t->n; i++)
		e.names |= t->target[i].type == TARGET_NAME;
	r = gather(t, &objects);
	if (r < 0) {
		warnx("/proc: %s", strerror(-r));
		code = EXIT_FAILED;
	}
	for (size_t i = 0; !r && i < objects.n; i++)
		code = worse(code, look_at(&e, &objects.object[i]));
	for (size_t i = 0; !r && !(flags & EACH_QUIET) && i < t->n; i++)
		if (!hit[i]) {
			code = worse(code, explain(&t->target[i], flags & EACH_NEEDED));
			missed |= t->target[i].type == TARGET_NAME;
		}
	if (!r && !t->n && !(flags & EACH_QUIET))
		report_refused(&objects);
	else if (missed)
		report_names(&objects);
	objects_free(&objects);
	return code;
}
