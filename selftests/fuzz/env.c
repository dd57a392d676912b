// SPDX-License-Identifier: MIT
/*
 * KIPC_FDS from anywhere: any text, from a good value with a few things wrong to noise, in a
 * process that has all the descriptors a value might mean.
 *
 * Input: a byte that chooses kind and mode; edits of the good value, or the value itself; what a
 * use needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kipc/kipc.h>

#include "fuzz.h"
#include "names/env.h"
#include "use.h"

#define VALUE_MAX	1024
#define FIRST_FD	20	/* beyond the fuzzer's own */
#define FDS		6	/* a memfd, four eventfds, a socket: the order of all kinds */

static const uint32_t count[] = { 0, 3, 6, 1, 1, 1 };

/* putenv(3) keeps no copies, as setenv(3) does. */
static char variable[sizeof(KIPC_FDS_ENV "=") + VALUE_MAX] = KIPC_FDS_ENV "=";
#define value (variable + sizeof(KIPC_FDS_ENV "=") - 1)

static int first_free(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, FIRST_FD);

	close(fd);
	return fd;
}

static void open_fds(int kind, int *fds)
{
	const struct fuzz_image *img = fuzz_image(kind);
	struct fuzz_company company;
	int memfd = fuzz_memfd(img->bytes, img->size, fuzz_seals(kind));

	fuzz_company_open(&company);
	for (int i = 0; i < FDS; i++) {
		int from = i == 0 ? memfd : i < 5 ? company.bells[i - 1] : company.sock[0];

		fds[i] = fcntl(from, F_DUPFD, FIRST_FD);
		fuzz_assert(fds[i] >= FIRST_FD);
	}
	fuzz_company_close(&company);
	close(memfd);
}

static void good_value(int kind, uint8_t mode, const int *fds)
{
	struct kipc_env_entry e = { .msg = { .kind = (uint16_t)kind, .nfds = count[kind] } };
	struct stat st;

	fuzz_assert(!fstat(fds[0], &st));
	e.inode = st.st_ino;
	e.msg.args[0] = kind == KIPC_SEG_PIPE ? mode >> 6 & 1 : 0;
	memcpy(e.fds, fds, count[kind] * sizeof(int));
	*value = '\0';
	if (mode & 16)
		fuzz_assert(!__kipc_env_add(value, VALUE_MAX, "before", &e));
	fuzz_assert(!__kipc_env_add(value, VALUE_MAX, "k", &e));
	if (mode & 32)
		fuzz_assert(!__kipc_env_add(value, VALUE_MAX, "behind", &e));
}

/* One byte becomes another, goes, or comes; or some are put in a second time. */
static void edit(struct fuzz_input *in)
{
	static const char bytes[] = "0123456789,: =.k";
	size_t len = strlen(value), at = fuzz_u16(in) % (len + 1);
	uint8_t how = fuzz_u8(in), n = 1;
	char c = (char)fuzz_u8(in);

	if (how & 8)
		c = bytes[(uint8_t)c % (sizeof(bytes) - 1)];
	switch (how % 4) {
	case 0:
	case 1:
		if (at < len)
			value[at] = c;
		return;
	case 2:
		if (at < len)
			memmove(value + at, value + at + 1, len - at);
		return;
	default:
		if (how & 16)
			n = (uint8_t)(1 + (uint8_t)c % 16);
		if (len + n >= VALUE_MAX)
			return;
		memmove(value + at + n, value + at, len - at + 1);
		if (n == 1)
			value[at] = c;
		else if (at + 2 * n > len)
			memset(value + at, c ? c : ' ', n);
		return;
	}
}

static void raw_value(struct fuzz_input *in)
{
	size_t n = min_of((size_t)(in->end - in->p), (size_t)VALUE_MAX - 1);

	memcpy(value, in->p, n);
	value[n] = '\0';
	in->p += n;
}

/* What is well-formed stays so; what is added is found, and taken out without a trace. */
static void as_text(void)
{
	char copy[VALUE_MAX + KIPC_EXPORT_STRING];
	struct kipc_env_entry e, other = { .msg = { .kind = 3, .nfds = 1 }, .fds = { 7 } };
	size_t len = strlen(value);
	int r = __kipc_env_find(value, "k", &e);

	fuzz_assert(r == 0 || r == -ENOENT || r == -EPROTO || r == -EPROTONOSUPPORT);
	strcpy(copy, value);
	if (!r) {
		fuzz_assert(e.begin < e.end && e.end <= len && value[e.begin] == ' ');
		fuzz_assert(e.msg.nfds >= 1 && e.msg.nfds <= KIPC_HANDOVER_FDS_MAX);
		fuzz_assert(__kipc_env_add(copy, sizeof(copy), "k", &other) == -EEXIST);
		__kipc_env_remove(copy, &e);
		fuzz_assert(!*copy || __kipc_env_find(copy, "k", &e) == -ENOENT);
	} else if (r == -ENOENT) {
		fuzz_assert(__kipc_env_add(copy, len + 5, "k", &other) == -ENOSPC);
		fuzz_assert(!strcmp(copy, value));
		fuzz_assert(!__kipc_env_add(copy, sizeof(copy), "k", &other));
		fuzz_assert(!__kipc_env_find(copy, "k", &e));
		fuzz_assert(e.msg.kind == 3 && e.msg.nfds == 1 && e.fds[0] == 7);
		__kipc_env_remove(copy, &e);
		fuzz_assert(!strcmp(copy, *copy ? value : "") && (*copy || !strchr(value, ' ')));
	}
}

/* Exports to a value like this one, by the environment and by the string. */
static void export_to_it(struct kipc_object *obj)
{
	char copy[sizeof(variable) + KIPC_EXPORT_STRING];
	int fds[KIPC_EXPORT_FDS], n, r;

	strcpy(copy, variable);
	n = kipc_export_string(obj, "new", copy, sizeof(copy), fds, KIPC_EXPORT_FDS);
	r = kipc_export_env(obj, "new");
	fuzz_assert(r == min_of(n, 0));
	if (r) {
		fuzz_assert(!strcmp(copy, variable));
		return;
	}
	while (n--)
		close(fds[n]);
	fuzz_assert(!kipc_unexport_env("new"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	uint8_t mode = fuzz_u8(&in), how = fuzz_u8(&in);
	int kind = 1 + mode % 5, fds[FDS], fds_before, r;
	struct kipc_object *obj;

	for (int k = 1; k <= 5; k++)
		fuzz_image(k);
	fds_before = fuzz_fds_begin();
	open_fds(kind, fds);
	good_value(kind, mode, fds);
	if (mode & 128)
		raw_value(&in);
	else
		for (int i = how % 8; i > 0; i--)
			edit(&in);
	as_text();
	fuzz_assert(!putenv(variable));
	r = kipc_import_env("k", &obj);
	fuzz_assert(r <= 0);
	if (r) {
		for (int i = 0; i < FDS; i++)
			fuzz_assert(fcntl(fds[i], F_GETFD) == 0);
	} else {
		if (how & 64)
			export_to_it(obj);
		if (how & 128)
			fuzz_use(obj, &in);
		kipc_object_close(obj);
	}
	/* those that no handle took */
	for (int i = 0; i < FDS; i++)
		close(fds[i]);
	unsetenv(KIPC_FDS_ENV);
	fuzz_assert(first_free() == FIRST_FD);
	fuzz_fds_end(fds_before);
	return 0;
}

/* Each kind as it is, with others around it, with edits; some values that are written by hand. */
size_t fuzz_seed(unsigned int i, uint8_t *buf, size_t max)
{
	static const char *const values[] = {
		"1 k=3:1:20",
		"1 k=2,1:18446744073709551615:20,21,22,23,24,25 o=1,0,0,0,7:0:999",
		"2 k=3:1:20",
		"1",
		"1 k=3:1:20 k=3:1:20",
		" 1  k==3::20,",
	};
	size_t n;

	(void)max;
	if (i < 20) {
		buf[0] = (uint8_t)(i % 5 | i / 5 << 4);
		buf[1] = 64 | 128;
		return 2 + fuzz_seed_noise(i, buf + 2, 40);
	}
	if (i < 40) {
		n = fuzz_seed_noise(i, buf, 60);
		buf[0] = (uint8_t)(i % 5 | i / 5 << 4) & 127;
		return n;
	}
	if (i - 40 >= ARRAY_SIZE(values))
		return 0;
	buf[0] = 128 | 2;
	buf[1] = 0;
	n = strlen(values[i - 40]);
	memcpy(buf + 2, values[i - 40], n);
	return 2 + n;
}
