// SPDX-License-Identifier: MIT
/* The header of a .npy file, read and written: see npy.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shm/npy.h"

#define MAGIC		"\x93NUMPY"
#define MAGIC_LEN	6
#define ALIGN		64

/* What NumPy calls them, without the byte order. */
static const struct {
	char kind;
	unsigned int size;
	enum kipc_dtype dtype;
} types[] = {
	{ 'b', 1, KIPC_BOOL8 },
	{ 'i', 1, KIPC_INT8 },
	{ 'u', 1, KIPC_UINT8 },
	{ 'i', 2, KIPC_INT16 },
	{ 'u', 2, KIPC_UINT16 },
	{ 'i', 4, KIPC_INT32 },
	{ 'u', 4, KIPC_UINT32 },
	{ 'i', 8, KIPC_INT64 },
	{ 'u', 8, KIPC_UINT64 },
	{ 'f', 2, KIPC_FLOAT16 },
	{ 'f', 4, KIPC_FLOAT32 },
	{ 'f', 8, KIPC_FLOAT64 },
	{ 'c', 8, KIPC_COMPLEX64 },
	{ 'c', 16, KIPC_COMPLEX128 },
};

int __kipc_npy_preamble(const uint8_t *buf, size_t len, size_t *header_off, size_t *header_len)
{
	if (len < KIPC_NPY_PREAMBLE || memcmp(buf, MAGIC, MAGIC_LEN))
		return -EPROTO;
	if (buf[6] < 1 || buf[6] > 3 || buf[7])
		return -ENOTSUP;
	*header_off = buf[6] == 1 ? 10 : 12;
	*header_len = buf[8] | (size_t)buf[9] << 8;
	if (buf[6] > 1)
		*header_len |= (size_t)buf[10] << 16 | (size_t)buf[11] << 24;
	return *header_len > KIPC_NPY_HEADER_MAX ? -ENOTSUP : 0;
}

/* ---- reading: a cursor over text, of which no byte behind the end is looked at ---- */

struct text {
	const char *p, *end;
};

static void skip_blanks(struct text *t)
{
	while (t->p < t->end && strchr(" \t\r\n", *t->p) && *t->p)
		t->p++;
}

/* Whether that character comes next, and if so past it. */
static bool eat(struct text *t, char c)
{
	skip_blanks(t);
	if (t->p == t->end || *t->p != c)
		return false;
	t->p++;
	return true;
}

static bool eat_word(struct text *t, const char *word)
{
	size_t n = strlen(word);

	skip_blanks(t);
	if ((size_t)(t->end - t->p) < n || memcmp(t->p, word, n))
		return false;
	t->p += n;
	return true;
}

/* In either kind of quotes.  One with a backslash is none of those that we look for. */
static bool eat_string(struct text *t, struct text *s)
{
	const char *close;
	char quote;

	skip_blanks(t);
	if (t->p == t->end || (*t->p != '\'' && *t->p != '"'))
		return false;
	quote = *t->p++;
	close = memchr(t->p, quote, (size_t)(t->end - t->p));
	if (!close)
		return false;
	*s = (struct text){ t->p, close };
	t->p = close + 1;
	return !memchr(s->p, '\\', (size_t)(s->end - s->p));
}

static bool is(const struct text *s, const char *word)
{
	size_t n = strlen(word);

	return (size_t)(s->end - s->p) == n && !memcmp(s->p, word, n);
}

/* Decimal, without a sign.  0, -EPROTO, -EOVERFLOW. */
static int eat_digits(struct text *t, uint64_t *n)
{
	const char *start = t->p;

	*n = 0;
	for (; t->p < t->end && *t->p >= '0' && *t->p <= '9'; t->p++)
		if (__builtin_mul_overflow(*n, (uint64_t)10, n) ||
		    __builtin_add_overflow(*n, (uint64_t)(*t->p - '0'), n))
			return -EOVERFLOW;
	return t->p == start || (*start == '0' && t->p > start + 1) ? -EPROTO : 0;
}

static int eat_number(struct text *t, uint64_t *n)
{
	int r;

	skip_blanks(t);
	r = eat_digits(t, n);
	if (!r)
		eat(t, 'L');	/* Python 2 wrote that behind a long one */
	return r;
}

/* "<f8" */
static int parse_type(struct text s, struct kipc_npy *npy)
{
	char order = '|';
	uint64_t size;

	if (is(&s, "?")) {
		npy->dtype = KIPC_BOOL8;
		return 0;
	}
	if (s.p < s.end && *s.p && strchr("<>|=", *s.p))
		order = *s.p++;
	if (s.p == s.end)
		return -ENOTSUP;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct text digits = { s.p + 1, s.end };

		if (*s.p != types[i].kind || eat_digits(&digits, &size) || digits.p != s.end ||
		    size != types[i].size)
			continue;
		npy->dtype = types[i].dtype;
		npy->swap = order == '>' && size > 1;
		return 0;
	}
	return -ENOTSUP;
}

static int parse_descr(struct text *t, struct kipc_npy *npy)
{
	struct text s;

	if (eat_string(t, &s))
		return parse_type(s, npy);
	return eat(t, '[') || eat(t, '(') ? -ENOTSUP : -EPROTO;	/* structs, arrays of arrays */
}

static int parse_order(struct text *t, struct kipc_npy *npy)
{
	npy->fortran = eat_word(t, "True");
	return npy->fortran || eat_word(t, "False") ? 0 : -EPROTO;
}

/* A tuple: "()", "(3,)", "(3, 4)", "(3, 4,)"; but "(3)" is a number. */
static int parse_shape(struct text *t, struct kipc_npy *npy)
{
	bool comma = true;
	uint64_t n;
	int r;

	if (!eat(t, '('))
		return -EPROTO;
	while (!eat(t, ')')) {
		if (!comma)
			return -EPROTO;
		r = eat_number(t, &n);
		if (r)
			return r;
		if (npy->ndim == KIPC_ARRAY_DIMS)
			return -ENOTSUP;
		npy->shape[npy->ndim++] = n;
		comma = eat(t, ',');
	}
	return npy->ndim == 1 && !comma ? -EPROTO : 0;
}

static const struct {
	const char *key;
	int (*parse)(struct text *t, struct kipc_npy *npy);
} keys[] = {
	{ "descr", parse_descr },
	{ "fortran_order", parse_order },
	{ "shape", parse_shape },
};

static int parse_pair(struct text *t, struct kipc_npy *npy, unsigned int *seen)
{
	struct text key;

	if (!eat_string(t, &key) || !eat(t, ':'))
		return -EPROTO;
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (!is(&key, keys[i].key))
			continue;
		if (*seen & 1u << i)
			return -EPROTO;
		*seen |= 1u << i;
		return keys[i].parse(t, npy);
	}
	return -EPROTO;
}

int __kipc_npy_parse(const char *text, size_t len, struct kipc_npy *npy)
{
	struct text t = { text, text + len };
	unsigned int seen = 0;
	bool comma = true;
	int r;

	*npy = (struct kipc_npy){ .ndim = 0 };
	if (!eat(&t, '{'))
		return -EPROTO;
	while (!eat(&t, '}')) {
		if (!comma)
			return -EPROTO;
		r = parse_pair(&t, npy, &seen);
		if (r)
			return r;
		comma = eat(&t, ',');
	}
	skip_blanks(&t);
	return t.p == t.end && seen == (1u << ARRAY_SIZE(keys)) - 1 ? 0 : -EPROTO;
}

/* ---- writing ---- */

size_t __kipc_npy_format(char *buf, const struct kipc_array_desc *d, bool fortran)
{
	size_t n = 0, len, i = 0;

	while (types[i].dtype != (enum kipc_dtype)d->dtype)
		i++;
	memcpy(buf, MAGIC "\1\0", MAGIC_LEN + 2);
	n = MAGIC_LEN + 4;
	n += (size_t)sprintf(buf + n, "{'descr': '%c%c%u', 'fortran_order': %s, 'shape': (",
			     types[i].size == 1 ? '|' : '<', types[i].kind, types[i].size,
			     fortran ? "True" : "False");
	for (uint32_t dim = 0; dim < d->ndim; dim++)
		n += (size_t)sprintf(buf + n, "%s%llu%s", dim ? " " : "",
				     (unsigned long long)d->shape[dim],
				     dim + 1 < d->ndim || d->ndim == 1 ? "," : "");
	n += (size_t)sprintf(buf + n, "), }");
	len = align_up(n + 1, (size_t)ALIGN);
	memset(buf + n, ' ', len - n);
	buf[len - 1] = '\n';
	n = len - MAGIC_LEN - 4;
	buf[MAGIC_LEN + 2] = (char)n;
	buf[MAGIC_LEN + 3] = (char)(n >> 8);
	return len;
}
