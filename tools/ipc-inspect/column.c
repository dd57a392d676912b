// SPDX-License-Identifier: MIT
/* See column.h. */
#include "tools/ipc-inspect/column.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <strings.h>

#include "tools/common/text.h"
#include "tools/common/xalloc.h"

#define MEMBER(type) (*(const type *)((const char *)row + c->offset))

char *column_u16(const void *row, const struct column *c, const struct format *f)
{
	(void)f;
	return xasprintf("%u", MEMBER(uint16_t));
}

char *column_u32(const void *row, const struct column *c, const struct format *f)
{
	(void)f;
	return xasprintf("%u", MEMBER(uint32_t));
}

char *column_u64(const void *row, const struct column *c, const struct format *f)
{
	(void)f;
	return xasprintf("%" PRIu64, MEMBER(uint64_t));
}

char *column_i64(const void *row, const struct column *c, const struct format *f)
{
	(void)f;
	return xasprintf("%" PRId64, MEMBER(int64_t));
}

char *column_hex32(const void *row, const struct column *c, const struct format *f)
{
	(void)f;
	return xasprintf("0x%08x", MEMBER(uint32_t));
}

char *column_hex64(const void *row, const struct column *c, const struct format *f)
{
	(void)f;
	return xasprintf("%016" PRIx64, MEMBER(uint64_t));
}

char *column_octal(const void *row, const struct column *c, const struct format *f)
{
	(void)f;
	return xasprintf("%04o", MEMBER(uint32_t));
}

char *column_bytes(const void *row, const struct column *c, const struct format *f)
{
	if (f->json || f->bytes)
		return column_u64(row, c, f);
	return text_bytes(MEMBER(uint64_t));
}

char *column_bool(const void *row, const struct column *c, const struct format *f)
{
	if (f->json)
		return xstrdup(MEMBER(bool) ? "1" : "0");
	return xstrdup(MEMBER(bool) ? "yes" : "no");
}

char *column_opt_u64(const void *row, const struct column *c, const struct format *f)
{
	return MEMBER(uint64_t) == ABSENT ? NULL : column_u64(row, c, f);
}

char *column_opt_hex64(const void *row, const struct column *c, const struct format *f)
{
	return MEMBER(uint64_t) == ABSENT ? NULL : column_hex64(row, c, f);
}

char *column_opt_bytes(const void *row, const struct column *c, const struct format *f)
{
	return MEMBER(uint64_t) == ABSENT ? NULL : column_bytes(row, c, f);
}

char *column_duration(const void *row, const struct column *c, const struct format *f)
{
	if (MEMBER(uint64_t) == ABSENT)
		return NULL;
	return f->json ? column_u64(row, c, f) : text_duration(MEMBER(uint64_t));
}

char *column_str(const void *row, const struct column *c, const struct format *f)
{
	const char *s = MEMBER(char *);

	(void)f;
	return s ? xstrdup(s) : NULL;
}

char *column_lines(const void *row, const struct column *c, const struct format *f)
{
	char *text = column_str(row, c, f);

	if (text && !f->json)
		for (char *p = text; *p; p++)
			if (*p == '\n')
				*p = ',';
	return text;
}

char *column_amount(uint64_t n, const char *unit, const struct format *f)
{
	if (n == ABSENT)
		return NULL;
	if (f->json || f->bytes || !unit || strcmp(unit, "bytes"))
		return xasprintf("%" PRIu64, n);
	return text_bytes(n);
}

char *column_chars(const void *row, const struct column *c, const struct format *f)
{
	const char *s = (const char *)row + c->offset;

	(void)f;
	return *s ? text_safe(s, strlen(s)) : NULL;
}

const char *column_color(const struct column *c, const char *text, const struct format *f)
{
	/* the worst first: a text may hold several */
	static const struct {
		const char *word, *color;
	} words[] = {
		{ "damaged", "\033[31m" },	{ "dead", "\033[31m" },
		{ "torn", "\033[31m" },		{ "needs repair", "\033[33m" },
		{ "full", "\033[33m" },		{ "orphan", "\033[33m" },
		{ "stopped", "\033[33m" },	{ "lost", "\033[33m" },
	};

	if (!f->color || !(c->flags & COLUMN_STATE))
		return NULL;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strstr(text, words[i].word))
			return words[i].color;
	return NULL;
}

void selection_default(struct selection *s, const struct column *cols, unsigned int n, bool all)
{
	s->n = 0;
	for (unsigned int i = 0; i < n && i < SELECTION_MAX; i++)
		if (all || (cols[i].flags & COLUMN_DEFAULT))
			s->col[s->n++] = i;
}

static int find(const struct column *cols, unsigned int n, const char *name, size_t len)
{
	for (unsigned int i = 0; i < n; i++)
		if (!strncasecmp(cols[i].name, name, len) && !cols[i].name[len])
			return (int)i;
	return -1;
}

/* A column twice would be a key twice. */
static void add(struct selection *s, unsigned int col)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (s->col[i] == col)
			return;
	s->col[s->n++] = col;
}

int selection_parse(struct selection *s, const struct column *cols, unsigned int n,
		    const char *arg)
{
	if (*arg == '+') {
		selection_default(s, cols, n, false);
		arg++;
	} else {
		s->n = 0;
	}
	for (;;) {
		size_t len = strcspn(arg, ",");
		int i = find(cols, n, arg, len);

		if (i < 0) {
			char *name = text_safe(arg, len);

			warnx("unknown column: '%s' (-H lists them)", name);
			free(name);
			return -EINVAL;
		}
		add(s, (unsigned int)i);
		if (!arg[len])
			return 0;
		arg += len + 1;
	}
}
