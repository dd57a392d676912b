/* SPDX-License-Identifier: MIT */
/*
 * Handing an object over without kipc_send(): by descriptors that you pass yourself, and over exec.
 *
 * By descriptors.  kipc_export() gives what makes up an object: a few descriptors, and a fixed
 * number of bytes that say what they are.  Bring both to another process in any way that passes
 * descriptors (D-Bus, a protocol of your own, pidfd_getfd(2)); kipc_import() makes a handle of
 * them there.
 *
 * Over exec.  The program that is started inherits descriptors, and finds what they are in the
 * environment variable KIPC_FDS, each object under a key that the two have agreed upon:
 *
 *	parent						the program
 *	kipc_export_env(kipc_queue_object(q), "jobs");	struct kipc_object *obj;
 *	posix_spawn(&pid, ..., environ);
 *	kipc_unexport_env("jobs");			kipc_import_env("jobs", &obj);
 *							q = kipc_object_queue(obj);
 *
 * The environment is the process's own, and so is what setenv(3) asks for: no other thread may use
 * it meanwhile, or fork.  And whatever else is started between export and unexport inherits the
 * descriptors, too.  Where that matters, kipc_export_string() gives the variable as a string and
 * the descriptors close-on-exec, for one child alone:
 *
 *	char env[KIPC_EXPORT_STRING] = "", *envp[] = { env, NULL };
 *	int fds[KIPC_EXPORT_FDS];
 *	int n = kipc_export_string(obj, "jobs", env, sizeof(env), fds, KIPC_EXPORT_FDS);
 *
 *	posix_spawn: for each of the n	posix_spawn_file_actions_adddup2(&fa, fds[i], fds[i]);
 *	or fork; for each, in the child	fcntl(fds[i], F_SETFD, 0);	then execve()
 *	then, in the parent, for each	close(fds[i]);
 *
 * What is exported stays alive, by the descriptors, until the last of them is closed: nobody has
 * to keep a handle open meanwhile.  That is also what a pipe's end means by "gone": its other end
 * hangs up when neither a handle nor an exported descriptor of it is open anywhere, in this
 * process or another, imported or not.  So who hands an end over and wants to know when the other
 * process dies closes its own handle and its exports as soon as that process was started; then the
 * other end hangs up at that death, at once.
 *
 * Descriptors and bytes that come from elsewhere are checked as kipc_recv() does.
 */
#ifndef KIPC_EXPORT_H
#define KIPC_EXPORT_H

#include <kipc/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kipc_object;

#define KIPC_EXPORT_FDS		8	/* no object has more descriptors */
#define KIPC_EXPORT_BYTES	48	/* and each as many bytes beside them */
#define KIPC_EXPORT_STRING	384	/* room for KIPC_FDS with one object; n times that for n */

/* ---- by descriptors ---- */

/*
 * Describes the object: bytes[0..size) gets KIPC_EXPORT_BYTES bytes, and fds[0..maxfds)
 * descriptors whose number is returned, 1..KIPC_EXPORT_FDS.  The descriptors are new,
 * close-on-exec, not 0, 1 or 2, and the caller's to close, or to give to kipc_import(); the
 * object's handle may be closed before.  Their order matters.  Does not block.
 * -EINVAL (NULL); -ENOSPC (size or maxfds is too small; KIPC_EXPORT_FDS is always enough); -EACCES
 * (a queue or manager that is open for reading only: others open it by its name as well); -EMFILE; -EUSERS (in a fork
 * child).  Since 0.1.
 */
KIPC_API int kipc_export(struct kipc_object *obj, void *bytes, size_t size, int *fds,
			 size_t maxfds);

/*
 * Makes a handle, to be closed, of what kipc_export() gave, here or in another process, and
 * attaches this process to the object.  On success the descriptors are the handle's, and
 * close-on-exec; on error they are still the caller's.  Does not block.
 * 0; -EINVAL (NULL, or the same descriptor twice); -EBADF (not open); -EPROTO (not an object, or a
 * damaged one); -EPROTONOSUPPORT (from another version); -EACCES (its mode doesn't let this user
 * read and write; or the descriptor is for reading only, and the object is neither shared memory nor
 * an array); -EUSERS (as many processes as it has room for are attached); -EMFILE, -ENFILE, -ENOMEM, -ENOENT (/proc isn't mounted).  Since 0.1.
 */
KIPC_API int kipc_import(const void *bytes, size_t size, const int *fds, size_t nfds,
			 struct kipc_object **obj);

/* ---- over exec ---- */

/*
 * Makes duplicates of the object's descriptors that programs inherit, and adds the object to
 * KIPC_FDS in this process's environment, under the key (as a name: [A-Za-z0-9._-]{1,63}).  Until
 * kipc_unexport_env() every program that is started finds it, and it can be started in any way;
 * the handle may be closed before.  A fork child has exports of its own, which are there to be
 * taken back as well.
 * 0; -EINVAL (NULL, or not a key); -EEXIST (KIPC_FDS has the key); -EPROTO, -EPROTONOSUPPORT
 * (KIPC_FDS is there, but not one that this version understands); -EPERM (a set-user-ID program and
 * the like, which should make its child's environment itself: kipc_export_string()); -EMFILE,
 * -ENOMEM; -EUSERS (in a fork child).  Since 0.1.
 */
KIPC_API int kipc_export_env(struct kipc_object *obj, const char *key);

/*
 * Takes back what this process exported under the key: closes the descriptors and removes the key
 * from KIPC_FDS, the variable with the last one.  Programs that were started before keep what they
 * have.
 * 0; -ENOENT (this process exported no such key); -EINVAL; -ENOMEM (nothing was done).  Since 0.1.
 */
KIPC_API int kipc_unexport_env(const char *key);

/*
 * In the program that was started: makes a handle, to be closed, of what stands under the key in
 * KIPC_FDS, and attaches this process.  Each key can be imported once: the descriptors become the
 * handle's, close-on-exec, and the key is removed from this process's environment, so programs
 * that this one starts don't have it.  What isn't imported is passed on to them: a program between
 * the two (env, nice, a shell) need not know.  On error nothing has changed.  Does not block.
 * 0; -ENOENT (no such key, or it was imported; or a set-user-ID program and the like, which ignores
 * KIPC_FDS; or /proc isn't mounted); -EBADF (the descriptors were not inherited: somebody in
 * between closed them); -EPROTO (KIPC_FDS is malformed; or the object is damaged);
 * -EPROTONOSUPPORT (from another version); -EINVAL (NULL, or not a key); -EACCES, -EUSERS,
 * -EMFILE, -ENFILE, -ENOMEM as kipc_import().  Since 0.1.
 */
KIPC_API int kipc_import_env(const char *key, struct kipc_object **obj);

/*
 * The same as kipc_export_env(), but changes nothing of this process.  env[0..size) is a string of
 * the caller's: "", or what earlier calls made of it; the object is added, and it is
 * "KIPC_FDS=..." as it belongs into the environment of the program.  fds[0..maxfds) gets
 * descriptors whose number is returned, as by kipc_export(): close-on-exec and the caller's to
 * close.  The program has to inherit them under the same numbers.
 * -EINVAL (NULL, not a key); -EEXIST (the string has the key); -EPROTO, -EPROTONOSUPPORT (env is
 * something else); -ENOSPC (size or maxfds is too small); -EMFILE; -EUSERS (in a fork child).  On
 * error env is as it was.  Since 0.1.
 */
KIPC_API int kipc_export_string(struct kipc_object *obj, const char *key, char *env, size_t size,
				int *fds, size_t maxfds);

#ifdef __cplusplus
}
#endif

#endif
