// SPDX-License-Identifier: MIT
/* See report.h. */
#include "tools/ipc-inspect/report.h"

#include <stdio.h>

#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/table.h"

void report_begin(struct report *r, const struct format *f)
{
	memset(r, 0, sizeof(*r));
	r->format = *f;
	if (f->json)
		json_begin(&r->json, f, "objects");
}

void report_end(struct report *r)
{
	if (r->format.json)
		json_end(&r->json);
}

void report_object(struct report *r, const char *title)
{
	if (r->format.json)
		json_open(&r->json, NULL, '{');
	else
		printf("%s%s\n", r->nobjects ? "\n" : "", title);
	r->nobjects++;
}

void report_object_end(struct report *r)
{
	if (r->format.json)
		json_close(&r->json, '}');
}

static void record_json(struct report *r, const char *key, const struct column *cols,
			unsigned int n, const void *row)
{
	json_open(&r->json, key, '{');
	for (unsigned int i = 0; i < n; i++)
		json_column(&r->json, &cols[i], row, &r->format);
	json_close(&r->json, '}');
}

void report_record(struct report *r, const char *key, const char *title, const struct column *cols,
		   unsigned int n, const void *row)
{
	size_t width = 0;

	if (r->format.json) {
		record_json(r, key, cols, n, row);
		return;
	}
	for (unsigned int i = 0; i < n; i++)
		if (strlen(cols[i].name) > width)
			width = strlen(cols[i].name);
	printf("\n%s\n", title);
	for (unsigned int i = 0; i < n; i++) {
		_cleanup_free_ char *text = cols[i].print(row, &cols[i], &r->format);
		const char *color = text ? column_color(&cols[i], text, &r->format) : NULL;

		printf("  %-*s  %s%s%s\n", (int)width, cols[i].name, color ? color : "",
		       text ? text : "-", color ? COLOR_END : "");
	}
}

void report_table(struct report *r, const char *key, const char *title, const struct column *cols,
		  unsigned int n, const void *rows, size_t count, size_t size)
{
	struct table *t;

	if (r->format.json) {
		json_open(&r->json, key, '[');
		for (size_t i = 0; i < count; i++)
			record_json(r, NULL, cols, n, (const char *)rows + i * size);
		json_close(&r->json, ']');
		return;
	}
	if (!count)
		return;
	t = table_new(key, cols, n, NULL, &r->format);
	for (size_t i = 0; i < count; i++)
		table_add(t, (const char *)rows + i * size);
	printf("\n%s\n", title);
	fflush(stdout);
	table_print(t);
	table_free(t);
}

void report_lines(struct report *r, const char *key, const char *title, char *const *lines,
		  size_t n)
{
	if (r->format.json) {
		json_open(&r->json, key, '[');
		for (size_t i = 0; i < n; i++)
			json_string(&r->json, NULL, lines[i]);
		json_close(&r->json, ']');
		return;
	}
	if (n)
		printf("\n%s\n", title);
	for (size_t i = 0; i < n; i++)
		printf("  %s\n", lines[i]);
}
