// SPDX-License-Identifier: MIT
/*
 * The checks: compare, count, print.
 *
 * A line is built whole and written with one write(), since threads and children of the test print to
 * the same pipe. Everything printed here starts with "# ", which TAP readers take as a comment.
 */
#include "kselftest_harness.h"

#include <stdarg.h>
#include <unistd.h>

#include "ksft_internal.h"

/* A check that fails in a loop says so this often; the count goes on. */
#define LOGGED_FAILURES 20

static void write_line(const char *line, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, line, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		line += n;
		len -= n;
	}
}

static void log_line(const char *where, const char *fmt, va_list ap)
{
	char line[1024];
	size_t len;

	len = snprintf(line, sizeof(line), "# %s", where);
	len += vsnprintf(line + len, sizeof(line) - len, fmt, ap);
	if (len > sizeof(line) - 2)
		len = sizeof(line) - 2;
	line[len++] = '\n';
	write_line(line, len);
}

void ksft_log(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_line("", fmt, ap);
	va_end(ap);
}

void ksft_checked(void)
{
	/* Stores only once: a check in a hot loop must not bounce the line between peers. */
	if (!__atomic_load_n(&ksft_state->checked, __ATOMIC_RELAXED))
		__atomic_store_n(&ksft_state->checked, true, __ATOMIC_RELAXED);
}

void ksft_bail_out(void)
{
	if (getpid() == ksft_test_pid && gettid() == ksft_test_pid)
		ksft_unwind();
	ksft_exit(KSFT_FAIL);
}

void ksft_fail(const char *file, int line, bool fatal, const char *fmt, ...)
{
	unsigned int nr;
	char where[256];
	va_list ap;

	ksft_checked();
	__atomic_fetch_add(&ksft_state->failures, 1, __ATOMIC_RELAXED);
	nr = __atomic_fetch_add(&ksft_state->logged, 1, __ATOMIC_RELAXED);
	if (nr < LOGGED_FAILURES) {
		snprintf(where, sizeof(where), "%s:%d: ", file, line);
		va_start(ap, fmt);
		log_line(where, fmt, ap);
		va_end(ap);
	} else if (nr == LOGGED_FAILURES) {
		ksft_log("more failures, not printed");
	}
	if (fatal)
		ksft_bail_out();
}

static double as_double(struct ksft_value v)
{
	if (v.kind == KSFT_DOUBLE)
		return v.d;
	return v.kind == KSFT_SIGNED ? (double)v.s : (double)v.u;
}

/* -1, 0, 1; 2 when a NaN is compared with anything */
static int order(struct ksft_value a, struct ksft_value b)
{
	if (a.kind == KSFT_DOUBLE || b.kind == KSFT_DOUBLE) {
		double x = as_double(a), y = as_double(b);

		return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
	}
	if (a.kind == KSFT_SIGNED && b.kind == KSFT_SIGNED)
		return a.s < b.s ? -1 : a.s > b.s;
	if (a.kind == KSFT_SIGNED && a.s < 0)
		return -1;
	if (b.kind == KSFT_SIGNED && b.s < 0)
		return 1;
	return a.u < b.u ? -1 : a.u > b.u;
}

static bool holds(enum ksft_op op, int order)
{
	if (order == 2)
		return op == KSFT_NE;
	switch (op) {
	case KSFT_EQ:
		return order == 0;
	case KSFT_NE:
		return order != 0;
	case KSFT_LT:
		return order < 0;
	case KSFT_LE:
		return order <= 0;
	case KSFT_GT:
		return order > 0;
	case KSFT_GE:
		return order >= 0;
	}
	return false;
}

static void format_value(char *buf, size_t size, struct ksft_value v)
{
	const char *err = NULL;

	switch (v.kind) {
	case KSFT_SIGNED:
		if (v.s < 0 && v.s > -4096)
			err = strerrorname_np((int)-v.s);
		snprintf(buf, size, err ? "%lld (-%s)" : "%lld", (long long)v.s, err);
		break;
	case KSFT_UNSIGNED:
		snprintf(buf, size, v.u > 0xffff ? "%llu (%#llx)" : "%llu", (unsigned long long)v.u,
			 (unsigned long long)v.u);
		break;
	case KSFT_DOUBLE:
		snprintf(buf, size, "%.17g", v.d);
		break;
	case KSFT_POINTER:
		snprintf(buf, size, "%#llx", (unsigned long long)v.u);
		break;
	}
}

bool __ksft_compare(const struct ksft_site *at, enum ksft_op op, struct ksft_value a,
		    struct ksft_value b)
{
	char left[64], right[64];

	if (holds(op, order(a, b))) {
		ksft_checked();
		return true;
	}
	format_value(left, sizeof(left), a);
	format_value(right, sizeof(right), b);
	ksft_fail(at->file, at->line, at->fatal, "%s: %s and %s", at->what, left, right);
	return false;
}

bool __ksft_truth(const struct ksft_site *at, bool want, bool seen)
{
	if (want == seen) {
		ksft_checked();
		return true;
	}
	ksft_fail(at->file, at->line, at->fatal, "%s: is %s", at->what, seen ? "true" : "false");
	return false;
}

bool __ksft_streq(const struct ksft_site *at, bool want, const char *a, const char *b)
{
	if ((a && b ? !strcmp(a, b) : a == b) == want) {
		ksft_checked();
		return true;
	}
	ksft_fail(at->file, at->line, at->fatal, "%s: \"%s\" and \"%s\"", at->what,
		  a ? a : "(null)", b ? b : "(null)");
	return false;
}

bool __ksft_memeq(const struct ksft_site *at, const void *a, const void *b, size_t len)
{
	const unsigned char *x = a, *y = b;
	size_t i = 0;

	if (!len || !memcmp(a, b, len)) {
		ksft_checked();
		return true;
	}
	while (x[i] == y[i])
		i++;
	ksft_fail(at->file, at->line, at->fatal,
		  "%s: first difference at byte %zu of %zu: 0x%02x and 0x%02x", at->what, i, len,
		  x[i], y[i]);
	return false;
}

static void set_reason(const char *fmt, va_list ap)
{
	char *c = ksft_state->reason;

	vsnprintf(c, sizeof(ksft_state->reason), fmt, ap);
	for (; *c; c++) /* a TAP line is one line */
		if (*c == '\n')
			*c = ' ';
}

void __ksft_skip(const char *fmt, ...)
{
	va_list ap;

	if (gettid() != ksft_test_pid)
		ksft_fail(__FILE__, __LINE__, true, "SKIP outside the test's own thread");
	va_start(ap, fmt);
	set_reason(fmt, ap);
	va_end(ap);
	ksft_state->skipped = true;
	ksft_bail_out();
}

void __ksft_xfail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set_reason(fmt, ap);
	va_end(ap);
	ksft_state->xfail = true;
}
