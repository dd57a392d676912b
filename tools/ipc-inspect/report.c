// SPDX-License-Identifier: MIT
/*
 * See report.h.  libsmartcols draws the tables, and writes them as JSON; what it can't do is to
 * nest them, so the braces around are ours.
 */
#include "tools/ipc-inspect/report.h"

#include <stdio.h>

#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/table.h"

/* Printable ASCII comes here (text_safe()), so two characters are all that needs care. */
static void json_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		putchar(*s);
	}
	putchar('"');
}

static void next_line(struct report *r)
{
	printf("%s\n%*s", r->comma ? "," : "", (int)(3 * r->depth), "");
	r->comma = true;
}

static void open_brace(struct report *r, const char *key, char brace)
{
	if (r->depth)
		next_line(r);
	if (key)
		printf("\"%s\": ", key);
	putchar(brace);
	r->depth++;
	r->comma = false;
}

static void close_brace(struct report *r, char brace)
{
	r->depth--;
	printf("\n%*s%c", (int)(3 * r->depth), "", brace);
	r->comma = true;
}

void report_begin(struct report *r, const struct format *f)
{
	memset(r, 0, sizeof(*r));
	r->format = *f;
	if (f->json) {
		open_brace(r, NULL, '{');
		open_brace(r, "objects", '[');
	}
}

void report_end(struct report *r)
{
	if (r->format.json) {
		close_brace(r, ']');
		close_brace(r, '}');
		putchar('\n');
	}
}

void report_object(struct report *r, const char *title)
{
	if (r->format.json)
		open_brace(r, NULL, '{');
	else
		printf("%s%s\n", r->nobjects ? "\n" : "", title);
	r->nobjects++;
}

void report_object_end(struct report *r)
{
	if (r->format.json)
		close_brace(r, '}');
}

static void json_value(const struct column *c, const char *text)
{
	if (!text)
		fputs("null", stdout);
	else if (c->type == COLUMN_NUMBER)
		fputs(text, stdout);
	else if (c->type == COLUMN_BOOL)
		fputs(*text == '1' ? "true" : "false", stdout);
	else
		json_string(text);
}

/* One value a line in what the printer gave. */
static void json_array(const struct column *c, char *text)
{
	struct column item = *c;
	char *rest, *line = text ? strtok_r(text, "\n", &rest) : NULL;

	item.type = c->type == COLUMN_NUMBERS ? COLUMN_NUMBER : COLUMN_STRING;
	putchar('[');
	for (const char *sep = ""; line; line = strtok_r(NULL, "\n", &rest), sep = ", ") {
		fputs(sep, stdout);
		json_value(&item, line);
	}
	putchar(']');
}

static void record_json(struct report *r, const struct column *c, const void *row)
{
	_cleanup_free_ char *text = c->print(row, c, &r->format);

	next_line(r);
	printf("\"%s\": ", c->key);
	if (c->type == COLUMN_STRINGS || c->type == COLUMN_NUMBERS)
		json_array(c, text);
	else
		json_value(c, text);
}

void report_record(struct report *r, const char *key, const char *title, const struct column *cols,
		   unsigned int n, const void *row)
{
	size_t width = 0;

	if (r->format.json) {
		open_brace(r, key, '{');
		for (unsigned int i = 0; i < n; i++)
			record_json(r, &cols[i], row);
		close_brace(r, '}');
		return;
	}
	for (unsigned int i = 0; i < n; i++)
		if (strlen(cols[i].name) > width)
			width = strlen(cols[i].name);
	printf("\n%s\n", title);
	for (unsigned int i = 0; i < n; i++) {
		_cleanup_free_ char *text = cols[i].print(row, &cols[i], &r->format);

		printf("  %-*s  %s\n", (int)width, cols[i].name, text ? text : "-");
	}
}

void report_table(struct report *r, const char *key, const char *title, const struct column *cols,
		  unsigned int n, const void *rows, size_t count, size_t size)
{
	struct table *t;

	if (!count && !r->format.json)
		return;
	t = table_new(key, cols, n, NULL, &r->format);
	for (size_t i = 0; i < count; i++)
		table_add(t, (const char *)rows + i * size);
	if (r->format.json) {
		_cleanup_free_ char *member = table_json_member(t);

		/* it begins with a line end of its own */
		printf("%s%s", r->comma ? "," : "", member);
		r->comma = true;
	} else {
		printf("\n%s\n", title);
		fflush(stdout);
		table_print(t);
	}
	table_free(t);
}

void report_lines(struct report *r, const char *key, const char *title, char *const *lines,
		  size_t n)
{
	if (r->format.json) {
		open_brace(r, key, '[');
		for (size_t i = 0; i < n; i++) {
			next_line(r);
			json_string(lines[i]);
		}
		close_brace(r, ']');
		return;
	}
	if (n)
		printf("\n%s\n", title);
	for (size_t i = 0; i < n; i++)
		printf("  %s\n", lines[i]);
}
