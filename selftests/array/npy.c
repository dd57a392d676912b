// SPDX-License-Identifier: MIT
/* Arrays in files: there and back, what is refused, and what a full disk or a death leaves. */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kipc/view.h>

#include "elements.h"
#include "shm/npy.h"

FIXTURE(npy) {
	char dir[64];
	char path[128];
	int old_dir;
};

/* In a directory of its own, which is the working directory. */
FIXTURE_SETUP(npy)
{
	self->old_dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* in memory: a disk's fsync(2) takes its time, and there are hundreds */
	snprintf(self->dir, sizeof(self->dir), "/dev/shm/kipc-npy-XXXXXX");
	if (!mkdtemp(self->dir)) {
		snprintf(self->dir, sizeof(self->dir), "/tmp/kipc-npy-XXXXXX");
		ASSERT_TRUE(mkdtemp(self->dir) != NULL);
	}
	ASSERT_EQ(0, chdir(self->dir));
	snprintf(self->path, sizeof(self->path), "%s/a.npy", self->dir);
}

static void remove_all(const char *path)
{
	char name[512];
	struct dirent *e;
	DIR *dir = opendir(path);

	while (dir && (e = readdir(dir))) {
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		unlink(name);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

FIXTURE_TEARDOWN(npy)
{
	EXPECT_EQ(0, fchdir(self->old_dir));
	close(self->old_dir);
	remove_all(self->dir);
}

static int count_files(const char *path)
{
	struct dirent *e;
	DIR *dir = opendir(path);
	int n = 0;

	while (dir && (e = readdir(dir)))
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	if (dir)
		closedir(dir);
	return n;
}

/* ---- there and back ---- */

TEST_F(npy, there_and_back)
{
	static const uint32_t orders[] = { 0, KIPC_ARRAY_FORTRAN };

	for (int order = 0; order < 2; order++)
		for (unsigned int ndim = 0; ndim <= KIPC_ARRAY_MAX_DIMS; ndim++)
			FOR_EACH_DTYPE(dtype)
			{
				struct kipc_array *a = make(dtype, ndim, lengths, orders[order]), *b;

				write_elements(a, ndim + 7);
				ASSERT_EQ(0, kipc_array_save(a, "a.npy"));
				ASSERT_EQ(0, kipc_array_load(self->path, NULL, NULL, &b));
				EXPECT_EQ(dtype, kipc_array_dtype(b));
				ASSERT_EQ(ndim, kipc_array_ndim(b));
				EXPECT_MEMEQ(kipc_array_shape(a), kipc_array_shape(b),
					     ndim * sizeof(uint64_t));
				EXPECT_MEMEQ(kipc_array_strides(a), kipc_array_strides(b),
					     ndim * sizeof(int64_t));
				EXPECT_EQ(kipc_array_size(b), good_elements(b, ndim + 7));
				kipc_array_close(a);
				kipc_array_close(b);
			}
	EXPECT_EQ(1, count_files("."));
}

TEST_F(npy, of_nothing)
{
	static const uint64_t shapes[][3] = { { 0 }, { 3, 0, 2 }, { 0, 0, 0 } };
	static const unsigned int ndims[] = { 1, 3, 2 };
	struct kipc_array *a, *b;

	for (int i = 0; i < 3; i++) {
		a = make(KIPC_INT16, ndims[i], shapes[i], 0);
		ASSERT_EQ(0, kipc_array_save(a, "a.npy"));
		ASSERT_EQ(0, kipc_array_load("a.npy", NULL, NULL, &b));
		EXPECT_EQ(ndims[i], kipc_array_ndim(b));
		EXPECT_MEMEQ(shapes[i], kipc_array_shape(b), ndims[i] * sizeof(uint64_t));
		EXPECT_EQ(0, kipc_array_size(b));
		kipc_array_close(a);
		kipc_array_close(b);
	}
}

/* More than one piece of what must be put together. */
TEST_F(npy, of_views)
{
	static const uint64_t shape[] = { 700, 3, 500 };
	static const struct kipc_range ranges[] = { KIPC_RANGE_STEP(KIPC_RANGE_NONE, KIPC_RANGE_NONE, -1),
						    KIPC_RANGE_ALL,
						    KIPC_RANGE_STEP(1, KIPC_RANGE_NONE, 2) };
	struct kipc_array *a = make(KIPC_UINT32, 3, shape, 0), *b;
	uint32_t *data = kipc_array_data(a), *read;
	struct kipc_view v;
	size_t n = kipc_array_size(a), wrong = 0;

	for (size_t i = 0; i < n; i++)
		data[i] = (uint32_t)i;
	ASSERT_EQ(0, kipc_array_slice(a, ranges, &v));
	ASSERT_EQ(0, kipc_view_save(&v, "a.npy"));
	ASSERT_EQ(0, kipc_array_load("a.npy", NULL, NULL, &b));
	ASSERT_EQ(3, kipc_array_ndim(b));
	EXPECT_EQ(250, kipc_array_shape(b)[2]);
	read = kipc_array_data(b);
	for (uint32_t i = 0; i < 700; i++)
		for (uint32_t j = 0; j < 3; j++)
			for (uint32_t k = 0; k < 250; k++)
				wrong += read[(i * 3 + j) * 250 + k] !=
					 ((699 - i) * 3 + j) * 500 + 1 + 2 * k;
	EXPECT_EQ(0, wrong);
	kipc_array_close(b);

	/* one column, longer than a piece */
	ASSERT_EQ(0, kipc_array_view(a, &v));
	ASSERT_EQ(0, kipc_view_reshape(&v, 1, (uint64_t[]){ KIPC_SHAPE_REST }, &v));
	ASSERT_EQ(0, kipc_view_slice(&v, (struct kipc_range[]){ KIPC_RANGE_STEP(3, 1000003, 3) }, &v));
	ASSERT_EQ(0, kipc_view_save(&v, "a.npy"));
	ASSERT_EQ(0, kipc_array_load("a.npy", NULL, NULL, &b));
	ASSERT_EQ(333334, kipc_array_size(b));
	read = kipc_array_data(b);
	for (uint32_t i = 0; i < 333334; i++)
		wrong += read[i] != 3 + 3 * i;
	EXPECT_EQ(0, wrong);
	kipc_array_close(a);
	kipc_array_close(b);
}

TEST_F(npy, the_options_are_the_arrays)
{
	KIPC_OPTS(kipc_array_opts, o, .flags = KIPC_SHM_POPULATE, .max_peers = 7, .mode = 0640);
	static const uint64_t shape[] = { 100000 };
	struct kipc_shm_stat st = { .sz = sizeof(st) };
	struct kipc_array *a = make(KIPC_FLOAT64, 1, shape, 0), *b = NULL;

	ASSERT_EQ(0, kipc_array_save(a, "a.npy"));
	ASSERT_EQ(0, kipc_array_load("a.npy", NULL, &o, &b));
	ASSERT_EQ(0, kipc_array_stat(b, &st));
	EXPECT_EQ(1, st.populated);
	EXPECT_EQ(7, st.max_peers);
	kipc_array_close(b);
	b = NULL;
	o.flags = KIPC_ARRAY_FORTRAN;
	EXPECT_EQ(-EINVAL, kipc_array_load("a.npy", NULL, &o, &b));
	o.flags = 1u << 30;
	EXPECT_EQ(-EINVAL, kipc_array_load("a.npy", NULL, &o, &b));
	EXPECT_EQ(-EINVAL, kipc_array_load("a.npy", "no/name", NULL, &b));
	EXPECT_EQ(-EINVAL, kipc_array_load(NULL, NULL, NULL, &b));
	EXPECT_EQ(-EINVAL, kipc_array_load("a.npy", NULL, NULL, NULL));
	EXPECT_EQ(-EINVAL, kipc_array_save(NULL, "a.npy"));
	EXPECT_EQ(-EINVAL, kipc_array_save(a, NULL));
	EXPECT_EQ(-EINVAL, kipc_view_save(NULL, "a.npy"));
	EXPECT_TRUE(b == NULL);
	kipc_array_close(a);
}

/* ---- the header ---- */

static void put_file(const void *head, size_t nhead, const char *text, const void *data, size_t ndata)
{
	FILE *f = fopen("a.npy", "we");

	ASSERT_TRUE(f != NULL);
	fwrite(head, 1, nhead, f);
	fwrite(text, 1, strlen(text), f);
	fwrite(data, 1, ndata, f);
	ASSERT_EQ(0, fclose(f));
}

static void put_version(uint8_t major, const char *text, const void *data, size_t ndata)
{
	size_t len = strlen(text);
	uint8_t head[12] = { 0x93, 'N', 'U', 'M', 'P', 'Y', major, 0, (uint8_t)len, (uint8_t)(len >> 8) };

	put_file(head, major == 1 ? 10 : 12, text, data, ndata);
}

#define F8	"'descr': '<f8'"
#define C	"'fortran_order': False"
#define S2	"'shape': (2,)"

static const struct {
	const char *text;
	int r;
} headers[] = {
	{ "{" F8 ", " C ", " S2 ", }  \n", 0 },
	{ "{" F8 "," C "," S2 "}", 0 },
	{ "  {" S2 " ,\t" F8 ",\r\n" C " , } ", 0 },
	{ "{\"descr\": \"<f8\", 'fortran_order':False, 'shape' : ( 2 , ) }\n", 0 },
	{ "{" F8 ", " C ", 'shape': (2L,), }\n", 0 },
	{ "{'descr': '=f8', " C ", " S2 "}", 0 },
	{ "{'descr': '|f8', " C ", " S2 "}", 0 },
	{ "{'descr': 'f8', " C ", " S2 "}", 0 },
	{ "{" F8 ", 'fortran_order': True, " S2 "}", 0 },
	{ "{" F8 ", " C ", 'shape': (1, 2)}", 0 },
	{ "{" F8 ", " C ", 'shape': (2, 1, )}", 0 },
	{ "{" F8 ", " C ", 'shape': (1,1,1,1,1,1,1,2)}", 0 },
	{ "{" F8 ", " C ", 'shape': ()}", 0 },
	{ "{'descr': '<i4', " C ", 'shape': (4,)}", 0 },

	/* what Python would read, but arrays can't be */
	{ "{" F8 ", " C ", 'shape': (1,1,1,1,1,1,1,1,2)}", -ENOTSUP },
	{ "{'descr': '<f16', " C ", " S2 "}", -ENOTSUP },
	{ "{'descr': '<U2', " C ", " S2 "}", -ENOTSUP },
	{ "{'descr': '|S8', " C ", " S2 "}", -ENOTSUP },
	{ "{'descr': '|O', " C ", " S2 "}", -ENOTSUP },
	{ "{'descr': '|V8', " C ", " S2 "}", -ENOTSUP },
	{ "{'descr': '<M8[ns]', " C ", " S2 "}", -ENOTSUP },
	{ "{'descr': [('a', '<f8')], " C ", " S2 "}", -ENOTSUP },
	{ "{'descr': ('<f8', (2,)), " C ", " S2 "}", -ENOTSUP },
	{ "{'descr': '', " C ", " S2 "}", -ENOTSUP },
	{ "{'descr': '<', " C ", " S2 "}", -ENOTSUP },
	{ "{'descr': '<f8L', " C ", " S2 "}", -ENOTSUP },
	{ "{'descr': '<f 8', " C ", " S2 "}", -ENOTSUP },
	{ "{'descr': '<f08', " C ", " S2 "}", -ENOTSUP },
	{ "{'descr': '<b8', " C ", " S2 "}", -ENOTSUP },
	{ "{'descr': '<i3', " C ", " S2 "}", -ENOTSUP },
	{ "{'descr': '<f99999999999999999999', " C ", " S2 "}", -ENOTSUP },

	/* more than the file has, or than there can be */
	{ "{" F8 ", " C ", 'shape': (3,)}", -EPROTO },
	{ "{" F8 ", " C ", 'shape': (1000000000000,)}", -EPROTO },
	{ "{" F8 ", " C ", 'shape': (9223372036854775807,)}", -EOVERFLOW },
	{ "{" F8 ", " C ", 'shape': (18446744073709551616,)}", -EOVERFLOW },
	{ "{" F8 ", " C ", 'shape': (4294967296, 4294967296)}", -EOVERFLOW },
	{ "{" F8 ", " C ", 'shape': (0, 4294967296, 4294967296)}", -EOVERFLOW },

	/* no dictionary, or not this one */
	{ "", -EPROTO },
	{ "{", -EPROTO },
	{ "{}", -EPROTO },
	{ "{,}", -EPROTO },
	{ "{" F8 ", " C "}", -EPROTO },
	{ "{" F8 ", " S2 "}", -EPROTO },
	{ "{" C ", " S2 "}", -EPROTO },
	{ "{" F8 ", " C ", " S2, -EPROTO },
	{ "{" F8 ", " C ", " S2 ",", -EPROTO },
	{ "{" F8 ", " C ", " S2 "} x", -EPROTO },
	{ "{" F8 ", " C ", " S2 "}}", -EPROTO },
	{ "{" F8 " " C ", " S2 "}", -EPROTO },
	{ "{" F8 ",, " C ", " S2 "}", -EPROTO },
	{ "{" F8 ", " F8 ", " C ", " S2 "}", -EPROTO },
	{ "{" F8 ", " C ", " S2 ", 'more': 1}", -EPROTO },
	{ "{" F8 ", " C ", 'Shape': (2,)}", -EPROTO },
	{ "{" F8 ", 'fortran_order': true, " S2 "}", -EPROTO },
	{ "{" F8 ", 'fortran_order': 0, " S2 "}", -EPROTO },
	{ "{" F8 ", 'fortran_order': Falsehood, " S2 "}", -EPROTO },
	{ "{" F8 ", " C ", 'shape': 2}", -EPROTO },
	{ "{" F8 ", " C ", 'shape': (2)}", -EPROTO },
	{ "{" F8 ", " C ", 'shape': [2,]}", -EPROTO },
	{ "{" F8 ", " C ", 'shape': (2 2)}", -EPROTO },
	{ "{" F8 ", " C ", 'shape': (,)}", -EPROTO },
	{ "{" F8 ", " C ", 'shape': (2,,)}", -EPROTO },
	{ "{" F8 ", " C ", 'shape': (-2,)}", -EPROTO },
	{ "{" F8 ", " C ", 'shape': (2.0,)}", -EPROTO },
	{ "{" F8 ", " C ", 'shape': (02,)}", -EPROTO },
	{ "{" F8 ", " C ", 'shape': (0x2,)}", -EPROTO },
	{ "{" C ", " S2 ", 'descr': '<f8}", -EPROTO },
	{ "{'descr': '<f\\x38', " C ", " S2 "}", -EPROTO },
	{ "{'descr' '<f8', " C ", " S2 "}", -EPROTO },
	{ "{descr: '<f8', " C ", " S2 "}", -EPROTO },
	{ "{'descr': 8, " C ", " S2 "}", -EPROTO },
	{ "{'descr': None, " C ", " S2 "}", -EPROTO },
	{ "('descr', " C ", " S2 ")", -EPROTO },
	{ "#{" F8 ", " C ", " S2 "}", -EPROTO },
};

TEST_F(npy, headers)
{
	static const double data[] = { 1.5, -2 };

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		for (uint8_t version = 1; version <= 3; version++) {
			struct kipc_array *a = NULL;

			put_version(version, headers[i].text, data, sizeof(data));
			if (!EXPECT_EQ(headers[i].r, kipc_array_load("a.npy", NULL, NULL, &a)))
				ksft_log("%s", headers[i].text);
			if (!headers[i].r && a)
				EXPECT_MEMEQ(data, kipc_array_data(a), kipc_array_nbytes(a));
			kipc_array_close(a);
		}
}

/* Anything that is cut off is noticed, wherever. */
TEST_F(npy, cut_short)
{
	static const uint64_t shape[] = { 3, 5 };
	struct kipc_array *a = make(KIPC_COMPLEX64, 2, shape, 0), *b = NULL;
	struct stat st;

	ASSERT_EQ(0, kipc_array_save(a, "a.npy"));
	kipc_array_close(a);
	ASSERT_EQ(0, stat("a.npy", &st));
	EXPECT_EQ(0, (st.st_size - 3 * 5 * 8) % 64);
	for (off_t len = st.st_size - 1; len >= 0; len--) {
		ASSERT_EQ(0, truncate("a.npy", len));
		if (!EXPECT_EQ(-EPROTO, kipc_array_load("a.npy", NULL, NULL, &b)))
			ksft_log("%ld bytes", (long)len);
	}
	EXPECT_TRUE(b == NULL);
}

TEST_F(npy, what_stands_behind)
{
	static const double data[] = { 1.5, -2, 99, 99 };
	struct kipc_array *a;

	put_version(1, headers[0].text, data, sizeof(data));
	ASSERT_EQ(0, kipc_array_load("a.npy", NULL, NULL, &a));
	EXPECT_EQ(2, kipc_array_size(a));
	kipc_array_close(a);
}

TEST_F(npy, no_such_files)
{
	static const uint8_t magics[][12] = {
		{ 0x92, 'N', 'U', 'M', 'P', 'Y', 1, 0 }, { 0x93, 'N', 'U', 'M', 'P', 'y', 1, 0 },
	};
	static const uint8_t versions[][12] = {
		{ 0x93, 'N', 'U', 'M', 'P', 'Y', 0, 0 }, { 0x93, 'N', 'U', 'M', 'P', 'Y', 4, 0 },
		{ 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 1 },
		{ 0x93, 'N', 'U', 'M', 'P', 'Y', 2, 0, 255, 255, 255, 255 },
		{ 0x93, 'N', 'U', 'M', 'P', 'Y', 3, 0, 1, 0, 1, 0 },
	};
	struct kipc_array *a = NULL;

	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
		put_file(magics[i], 12, headers[0].text, "", 0);
		EXPECT_EQ(-EPROTO, kipc_array_load("a.npy", NULL, NULL, &a));
	}
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		put_file(versions[i], 12, headers[0].text, "", 0);
		EXPECT_EQ(-ENOTSUP, kipc_array_load("a.npy", NULL, NULL, &a));
	}
	EXPECT_EQ(-ENOENT, kipc_array_load("b.npy", NULL, NULL, &a));
	EXPECT_EQ(-EISDIR, kipc_array_load(".", NULL, NULL, &a));
	EXPECT_EQ(-ENOTDIR, kipc_array_load("a.npy/b", NULL, NULL, &a));
	EXPECT_EQ(-EINVAL, kipc_array_load("/dev/zero", NULL, NULL, &a));
	ASSERT_EQ(0, mkfifo("fifo", 0600));
	EXPECT_EQ(-EINVAL, kipc_array_load("fifo", NULL, NULL, &a));
	EXPECT_TRUE(a == NULL);
}

TEST_F(npy, big_endian)
{
	static const struct {
		const char *type;
		uint8_t bytes[16], want[16];
		size_t len;
	} t[] = {
		{ ">i2", { 1, 2, 3, 4 }, { 2, 1, 4, 3 }, 4 },
		{ ">u4", { 1, 2, 3, 4, 5, 6, 7, 8 }, { 4, 3, 2, 1, 8, 7, 6, 5 }, 8 },
		{ ">f8", { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 },
		  { 8, 7, 6, 5, 4, 3, 2, 1, 16, 15, 14, 13, 12, 11, 10, 9 }, 16 },
		{ ">c8", { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 },
		  { 4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13 }, 16 },
		{ ">b1", { 1, 0 }, { 1, 0 }, 2 },
		{ ">u1", { 5, 6 }, { 5, 6 }, 2 },
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct kipc_array *a;
		char text[128];

		snprintf(text, sizeof(text), "{'descr': '%s', " C ", " S2 "}", t[i].type);
		put_version(1, text, t[i].bytes, t[i].len);
		ASSERT_EQ(0, kipc_array_load("a.npy", NULL, NULL, &a));
		EXPECT_EQ(t[i].len, kipc_array_nbytes(a));
		EXPECT_MEMEQ(t[i].want, kipc_array_data(a), t[i].len);
		kipc_array_close(a);
	}
}

/* ---- the file that is replaced ---- */

static struct kipc_array *big(uint8_t byte)
{
	static const uint64_t shape[] = { 1 << 20 };
	struct kipc_array *a = make(KIPC_UINT8, 1, shape, 0);

	EXPECT_EQ(0, kipc_array_fill(a, &byte));
	return a;
}

static int first_byte(const char *path)
{
	struct kipc_array *a;
	int r = kipc_array_load(path, NULL, NULL, &a);

	if (!r) {
		r = kipc_array_size(a) == 1 << 20 ? *(uint8_t *)kipc_array_data(a) : -1;
		kipc_array_close(a);
	}
	return r;
}

TEST_F(npy, what_is_replaced)
{
	struct kipc_array *a = big(1), *b = big(2);
	struct stat st;

	umask(022);
	ASSERT_EQ(0, kipc_array_save(a, self->path));
	ASSERT_EQ(0, stat("a.npy", &st));
	EXPECT_EQ(0644, st.st_mode & 07777);
	ASSERT_EQ(0, chmod("a.npy", 0600));
	ASSERT_EQ(0, kipc_array_save(b, "a.npy"));
	ASSERT_EQ(0, stat("a.npy", &st));
	EXPECT_EQ(0600, st.st_mode & 07777);
	EXPECT_EQ(2, first_byte("a.npy"));

	/* a link stays one, and what it leads to is replaced; or comes to be the file itself */
	ASSERT_EQ(0, symlink("a.npy", "link"));
	ASSERT_EQ(0, kipc_array_save(a, "link"));
	ASSERT_EQ(0, lstat("link", &st));
	EXPECT_TRUE(S_ISLNK(st.st_mode));
	EXPECT_EQ(1, first_byte("a.npy"));
	ASSERT_EQ(0, symlink("nowhere", "broken"));
	ASSERT_EQ(0, kipc_array_save(a, "broken"));
	EXPECT_EQ(1, first_byte("broken"));
	EXPECT_EQ(3, count_files("."));
	kipc_array_close(a);
	kipc_array_close(b);
}

/* Nothing but a file is ever replaced: no directory, no device, no FIFO. */
TEST_F(npy, what_is_not)
{
	struct kipc_array *a = big(1);
	struct stat st;

	EXPECT_EQ(-EISDIR, kipc_array_save(a, "."));
	EXPECT_EQ(-EISDIR, kipc_array_save(a, "/"));
	EXPECT_EQ(-EISDIR, kipc_array_save(a, self->dir));
	EXPECT_EQ(-EISDIR, kipc_array_save(a, "x/"));
	EXPECT_EQ(-ENOENT, kipc_array_save(a, ""));
	EXPECT_EQ(-ENOENT, kipc_array_save(a, "no/such/directory"));
	ASSERT_EQ(0, mkfifo("fifo", 0600));
	EXPECT_EQ(-EINVAL, kipc_array_save(a, "fifo"));
	ASSERT_EQ(0, lstat("fifo", &st));
	EXPECT_TRUE(S_ISFIFO(st.st_mode));
	ASSERT_EQ(0, symlink("/dev/null", "null"));
	EXPECT_LT(kipc_array_save(a, "null"), 0);
	ASSERT_EQ(0, stat("/dev/null", &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(2, count_files("."));
	kipc_array_close(a);
}

/* On whatever disk there is, of which the others know nothing. */
TEST_F(npy, on_a_disk)
{
	struct kipc_array *a = big(1);
	char path[] = "/var/tmp/kipc-npy-XXXXXX";
	int fd = mkstemp(path);

	ASSERT_GE(fd, 0);
	close(fd);
	EXPECT_EQ(0, kipc_array_save(a, path));
	EXPECT_EQ(1, first_byte(path));
	unlink(path);
	kipc_array_close(a);
}

static void limit_size(rlim_t size)
{
	struct rlimit lim = { size, RLIM_INFINITY };

	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &lim));
}

/* A short write, then an error: what was there stays, nothing else is left. */
TEST_F(npy, too_large)
{
	struct kipc_array *a = big(1), *b = big(2);

	ASSERT_EQ(0, kipc_array_save(a, "a.npy"));
	signal(SIGXFSZ, SIG_IGN);
	limit_size(300000);
	EXPECT_EQ(-EFBIG, kipc_array_save(b, "a.npy"));
	EXPECT_EQ(-EFBIG, kipc_array_save(b, "b.npy"));
	limit_size(RLIM_INFINITY);
	EXPECT_EQ(1, first_byte("a.npy"));
	EXPECT_EQ(1, count_files("."));
	kipc_array_close(a);
	kipc_array_close(b);
}

/* A file system of our own, which is too small for a second file. */
TEST_F(npy, no_space)
{
	struct kipc_array *a = big(1), *b = big(2);

	ksft_needs_processes();	/* unshare(2) wants a process with one thread */
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mkdir("small", 0700) || mount("tmpfs", "small", "tmpfs", 0, "size=1536k"))
		SKIP("can't mount a file system: not root");
	ASSERT_EQ(0, kipc_array_save(a, "small/a.npy"));
	EXPECT_EQ(-ENOSPC, kipc_array_save(b, "small/a.npy"));
	EXPECT_EQ(-ENOSPC, kipc_array_save(b, "small/b.npy"));
	EXPECT_EQ(1, first_byte("small/a.npy"));
	EXPECT_EQ(1, count_files("small"));
	/* the space of what failed is free again */
	EXPECT_EQ(0, unlink("small/a.npy"));
	EXPECT_EQ(0, kipc_array_save(b, "small/a.npy"));
	EXPECT_EQ(0, umount("small"));
	EXPECT_EQ(0, rmdir("small"));
	kipc_array_close(a);
	kipc_array_close(b);
}

/* The kernel kills it at the first byte beyond the limit. */
static int saves_too_much(void *arg)
{
	signal(SIGXFSZ, SIG_DFL);
	limit_size(300000);
	return kipc_array_save(arg, "a.npy");
}

TEST_F(npy, killed_while_saving)
{
	struct kipc_array *a = big(1), *b = big(2);
	int status, fd;

	ASSERT_EQ(0, kipc_array_save(a, "a.npy"));
	status = ksft_wait(ksft_fork(saves_too_much, b));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
	EXPECT_EQ(1, first_byte("a.npy"));
	fd = open(".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	EXPECT_EQ(fd >= 0 ? 1 : 2, count_files("."));
	if (fd >= 0)
		close(fd);
	kipc_array_close(a);
	kipc_array_close(b);
}

static int saves_for_ever(void *arg)
{
	struct kipc_array **both = arg;

	for (int i = 0;; i++)
		if (kipc_array_save(both[i & 1], "a.npy"))
			return 1;
}

static bool is_one_of_them(const char *path)
{
	int byte = first_byte(path);

	return byte == 1 || byte == 2;
}

TEST_F(npy, killed_at_any_moment)
{
	struct kipc_array *both[] = { big(1), big(2) };
	struct stat st;

	for (int i = 0; i < 20; i++) {
		pid_t pid = ksft_fork(saves_for_ever, both);

		ASSERT_TRUE(ksft_wait_for(!stat("a.npy", &st), 20000));
		for (int k = 0; k < 3; k++)
			EXPECT_TRUE(is_one_of_them("a.npy"));
		ksft_kill(pid);
		EXPECT_TRUE(is_one_of_them("a.npy"));
		if (i % 2)
			unlink("a.npy");
	}
	kipc_array_close(both[0]);
	kipc_array_close(both[1]);
}

TEST_HARNESS_MAIN
