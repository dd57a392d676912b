// SPDX-License-Identifier: MIT
/*
 * The library and NumPy read each other's files, and agree about slices, axes and shapes: the other
 * side is numpy_peer.py.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kipc/view.h>

#include "elements.h"

/* Debian's, which has the Debian package; another one in the PATH would not. */
#define PYTHON "/usr/bin/python3"

FIXTURE(numpy) {
	char dir[64];
	char script[512];
	int old_dir;
};

/* Whether it ended well; its output goes to ours. */
static bool python(const char *const *argv)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		dup2(2, 1);
		execv(PYTHON, (char *const *)argv);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

static bool has_numpy(void)
{
	static const char *const argv[] = { PYTHON, "-c", "import numpy", NULL };
	int err = dup(2), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	bool has;

	dup2(null, 2);
	has = python(argv);
	dup2(err, 2);
	close(err);
	close(null);
	return has;
}

FIXTURE_SETUP(numpy)
{
	const char *src = getenv("SRCDIR");

	ksft_needs_processes();
	if (!src)
		SKIP("SRCDIR is not set: where is numpy_peer.py?");
	if (!has_numpy())
		SKIP(PYTHON " has no numpy (Debian: python3-numpy)");
	snprintf(self->script, sizeof(self->script), "%s/selftests/array/numpy_peer.py", src);
	self->old_dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	snprintf(self->dir, sizeof(self->dir), "/dev/shm/kipc-numpy-XXXXXX");
	if (!mkdtemp(self->dir)) {
		snprintf(self->dir, sizeof(self->dir), "/tmp/kipc-numpy-XXXXXX");
		ASSERT_TRUE(mkdtemp(self->dir) != NULL);
	}
	ASSERT_EQ(0, chdir(self->dir));
}

FIXTURE_TEARDOWN(numpy)
{
	struct dirent *e;
	DIR *dir = opendir(".");

	while (dir && (e = readdir(dir)))
		unlink(e->d_name);
	if (dir)
		closedir(dir);
	EXPECT_EQ(0, fchdir(self->old_dir));
	close(self->old_dir);
	rmdir(self->dir);
}

static bool peer(struct __ksft_self_of_numpy *self, const char *verb)
{
	const char *argv[] = { PYTHON, self->script, verb, self->dir, NULL };

	return python(argv);
}

static void shape_text(char *text, const uint64_t *shape, unsigned int ndim)
{
	strcpy(text, ndim ? "" : "-");
	for (unsigned int i = 0; i < ndim; i++)
		text += sprintf(text, "%s%lu", i ? "," : "", (unsigned long)shape[i]);
}

/* ---- it reads ours ---- */

static void save(FILE *list, struct kipc_array *a, int n, bool fortran)
{
	size_t len = kipc_array_nbytes(a);
	char name[32], shape[256];
	void *buf = malloc(len + 1);
	FILE *f;

	snprintf(name, sizeof(name), "%d.npy", n);
	ASSERT_EQ(0, kipc_array_save(a, name));
	snprintf(name, sizeof(name), "%d.bin", n);
	ASSERT_EQ(0, kipc_array_read(a, buf, len));
	f = fopen(name, "we");
	ASSERT_TRUE(f != NULL);
	fwrite(buf, 1, len, f);
	ASSERT_EQ(0, fclose(f));
	free(buf);
	shape_text(shape, kipc_array_shape(a), kipc_array_ndim(a));
	fprintf(list, "array %d %s %s %s\n", n, kipc_dtype_name(kipc_array_dtype(a)),
		fortran ? "F" : "C", shape);
}

TEST_F(numpy, reads_ours)
{
	FILE *list = fopen("list", "we");
	int n = 0;

	ASSERT_TRUE(list != NULL);
	for (int order = 0; order < 2; order++)
		for (unsigned int ndim = 0; ndim <= KIPC_ARRAY_MAX_DIMS; ndim += ndim < 4 ? 1 : 4)
			FOR_EACH_DTYPE(dtype)
			{
				KIPC_OPTS(kipc_array_opts, o,
					  .flags = order ? KIPC_ARRAY_FORTRAN : 0);
				struct kipc_array *a;

				ASSERT_EQ(0, kipc_array_create(NULL, dtype, ndim, lengths, &o, &a));
				if (dtype != KIPC_BOOL8)
					write_elements(a, 11);
				save(list, a, n++, order);
				kipc_array_close(a);
			}
	ASSERT_EQ(0, fclose(list));
	EXPECT_TRUE(peer(self, "read"));
}

/* ---- we read its ---- */

static void load(const char *line)
{
	char name[32], dtype[32], order, shape[256] = "", file[64], want[256];
	struct kipc_array *a = NULL;
	uint8_t *bytes, *ours;
	size_t len;
	FILE *f;
	int words = sscanf(line, "%31s %31s %c %255s", name, dtype, &order, shape), r;

	ASSERT_GE(words, 2);
	snprintf(file, sizeof(file), "%s.npy", name);
	r = kipc_array_load(file, NULL, NULL, &a);
	if (!strcmp(dtype, "unsupported")) {
		if (!EXPECT_EQ(-ENOTSUP, r))
			ksft_log("%s", line);
		return;
	}
	if (!EXPECT_EQ(0, r)) {
		ksft_log("%s", line);
		return;
	}
	EXPECT_STREQ(dtype, kipc_dtype_name(kipc_array_dtype(a)));
	shape_text(want, kipc_array_shape(a), kipc_array_ndim(a));
	EXPECT_STREQ(shape, want);
	if (kipc_array_size(a) > 1 && kipc_array_ndim(a) > 1)
		EXPECT_EQ(order == 'F', kipc_array_strides(a)[0] < kipc_array_strides(a)[1]);
	len = kipc_array_nbytes(a);
	bytes = malloc(len + 1);
	ours = malloc(len + 1);
	snprintf(file, sizeof(file), "%s.bin", name);
	f = fopen(file, "re");
	ASSERT_TRUE(f != NULL);
	EXPECT_EQ(len, fread(bytes, 1, len + 1, f));
	fclose(f);
	EXPECT_EQ(0, kipc_array_read(a, ours, len));
	if (!EXPECT_MEMEQ(bytes, ours, len))
		ksft_log("%s", line);
	free(bytes);
	free(ours);
	kipc_array_close(a);
}

TEST_F(numpy, is_read_by_us)
{
	char line[512];
	int n = 0;
	FILE *f;

	ASSERT_TRUE(peer(self, "write"));
	f = fopen("list", "re");
	ASSERT_TRUE(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		load(line);
		n++;
	}
	fclose(f);
	EXPECT_EQ(14 * 2 * 7 * 2 + 8, n);
}

/* ---- views ---- */

static uint64_t seed = 88172645463325252ULL;

static uint64_t random_below(uint64_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (seed >> 16) % n;
}

struct expression {
	char text[1024];
	size_t n;
};

static void __attribute__((format(printf, 2, 3))) add(struct expression *e, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	e->n += (size_t)vsnprintf(e->text + e->n, sizeof(e->text) - e->n, fmt, ap);
	va_end(ap);
	ASSERT_LT(e->n, sizeof(e->text));
}

static int64_t random_end(struct expression *e)
{
	int64_t i = (int64_t)random_below(16) - 7;

	if (i == 8)
		return KIPC_RANGE_NONE;
	add(e, "%ld", (long)i);
	return i;
}

static void slice(struct kipc_view *v, struct expression *e)
{
	struct kipc_range r[KIPC_ARRAY_MAX_DIMS];

	add(e, "[");
	for (uint32_t i = 0; i < v->ndim; i++) {
		r[i].start = random_end(e);
		add(e, ":");
		r[i].stop = random_end(e);
		r[i].step = (int64_t)random_below(7) - 3;
		if (r[i].step)
			add(e, ":%ld,", (long)r[i].step);
		else
			add(e, ",");
		if (!r[i].step)
			r[i].step = KIPC_RANGE_NONE;
	}
	add(e, "]");
	ASSERT_EQ(0, kipc_view_slice(v, r, v));
}

static void transpose(struct kipc_view *v, struct expression *e)
{
	int axes[KIPC_ARRAY_MAX_DIMS];

	for (int i = 0; i < (int)v->ndim; i++)
		axes[i] = i;
	for (uint32_t i = v->ndim; i > 1; i--) {
		uint64_t k = random_below(i);
		int t = axes[i - 1];

		axes[i - 1] = axes[k];
		axes[k] = t;
	}
	add(e, ".transpose(");
	for (uint32_t i = 0; i < v->ndim; i++)
		add(e, "%d,", axes[i]);
	add(e, ")");
	ASSERT_EQ(0, kipc_view_transpose(v, axes, v));
}

/* An axis less; not of an empty one. */
static void take(struct kipc_view *v, struct expression *e)
{
	uint32_t axis = (uint32_t)random_below(v->ndim);
	int64_t index;

	if (!v->shape[axis])
		return;
	index = (int64_t)random_below(2 * v->shape[axis]) - (int64_t)v->shape[axis];
	add(e, "[");
	for (uint32_t i = 0; i < axis; i++)
		add(e, ":,");
	add(e, "%ld]", (long)index);
	ASSERT_EQ(0, kipc_view_index(v, (int)axis, index, v));
}

/* Axes joined, or one of them cut in two, or some of length 1 put in; whether it can be is found out. */
static int reshape(struct kipc_view *v, struct expression *e)
{
	uint64_t shape[KIPC_ARRAY_MAX_DIMS];
	unsigned int n = 0;
	int r;

	for (uint32_t i = 0; i < v->ndim && n < 6; i++) {
		uint64_t len = v->shape[i], how = random_below(4);

		if (how == 0 && n) {
			shape[n - 1] *= len;
		} else if (how == 1 && len && len % 2 == 0) {
			shape[n++] = 2;
			shape[n++] = len / 2;
		} else if (how == 2) {
			shape[n++] = 1;
			shape[n++] = len;
		} else {
			shape[n++] = len;
		}
	}
	r = kipc_view_reshape(v, n, shape, v);
	if (r == -EINVAL)
		return r;	/* too many axes: not all of them came in */
	add(e, ".reshape(");
	for (unsigned int i = 0; i < n; i++)
		add(e, "%lu,", (unsigned long)shape[i]);
	add(e, ")");
	return r;
}

TEST_F(numpy, agrees_about_views)
{
	static const uint64_t shape[] = { 6, 4, 5 };
	const int rounds = ksft_slow() ? 100 : 400;
	FILE *list = fopen("list", "we");
	int copies = 0, reshaped = 0;

	ASSERT_TRUE(list != NULL);
	for (int order = 0; order < 2; order++) {
		KIPC_OPTS(kipc_array_opts, o, .flags = order ? KIPC_ARRAY_FORTRAN : 0);
		struct kipc_array *a;
		char name[32];

		ASSERT_EQ(0, kipc_array_create(NULL, KIPC_INT16, 3, shape, &o, &a));
		for (int16_t i = 0; i < 120; i++)
			((int16_t *)kipc_array_data(a))[i] = i;
		save(list, a, order, order);
		for (int i = 0; i < rounds; i++) {
			struct expression e = { .n = 0 };
			struct kipc_view v;
			int r = 0;

			ASSERT_EQ(0, kipc_array_view(a, &v));
			for (uint64_t steps = 1 + random_below(3); steps && v.ndim && !r; steps--)
				switch (random_below(4)) {
				case 0:
					slice(&v, &e);
					break;
				case 1:
					transpose(&v, &e);
					break;
				case 2:
					take(&v, &e);
					break;
				case 3:
					r = reshape(&v, &e);
					reshaped += !r;
					break;
				}
			if (r == -EINVAL)
				continue;
			if (r) {
				ASSERT_EQ(-ENOTSUP, r);
				copies++;
				fprintf(list, "copies %d %s\n", order, e.text);
				continue;
			}
			snprintf(name, sizeof(name), "%d-%d.npy", order, i);
			ASSERT_EQ(0, kipc_view_save(&v, name));
			fprintf(list, "view %d %d-%d %s\n", order, order, i, e.text);
		}
		kipc_array_close(a);
	}
	ASSERT_EQ(0, fclose(list));
	EXPECT_GT(copies, 0);
	EXPECT_GT(reshaped, 0);
	ksft_log("%d reshaped, %d would have been copied", reshaped, copies);
	EXPECT_TRUE(peer(self, "read"));
}

TEST_HARNESS_MAIN
