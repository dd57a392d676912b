// SPDX-License-Identifier: MIT
/* See table.h. */
#include "tools/ipc-inspect/table.h"

#include <err.h>
#include <libsmartcols.h>

#include "tools/common/xalloc.h"

struct table {
	struct libscols_table *scols;	/* NULL: JSON */
	struct json json;
	const struct column *cols;
	struct selection sel;
	struct format format;
};

static void must(int r)
{
	if (r)
		errx(1, "libsmartcols: %s", strerror(r < 0 ? -r : r));
}

static void add_column(struct table *t, const struct column *c)
{
	struct libscols_column *sc;
	int flags = 0;

	if (c->flags & COLUMN_RIGHT)
		flags |= SCOLS_FL_RIGHT;
	if (c->flags & COLUMN_TRUNC)
		flags |= SCOLS_FL_TRUNC;
	sc = xcheck(scols_table_new_column(t->scols, c->name, 0, flags));
	/* text_safe() has been here already */
	must(scols_column_set_safechars(sc, "\\"));
}

struct table *table_new(const char *key, const struct column *cols, unsigned int n,
			const struct selection *sel, const struct format *f)
{
	struct table *t = xcalloc(1, sizeof(*t));

	t->cols = cols;
	t->format = *f;
	if (sel)
		t->sel = *sel;
	else
		selection_default(&t->sel, cols, n, true);
	if (f->json) {
		json_begin(&t->json, f, key);
		return t;
	}
	t->scols = xcheck(scols_new_table());
	must(scols_table_enable_raw(t->scols, f->raw));
	must(scols_table_enable_noheadings(t->scols, f->noheadings));
	must(scols_table_enable_colors(t->scols, f->color));
	for (unsigned int i = 0; i < t->sel.n; i++)
		add_column(t, &cols[t->sel.col[i]]);
	return t;
}

static void add_json(struct table *t, const void *row)
{
	json_open(&t->json, NULL, '{');
	for (unsigned int i = 0; i < t->sel.n; i++)
		json_column(&t->json, &t->cols[t->sel.col[i]], row, &t->format);
	json_close(&t->json, '}');
}

void table_add(struct table *t, const void *row)
{
	struct libscols_line *line;

	if (t->format.json) {
		add_json(t, row);
		return;
	}
	line = xcheck(scols_table_new_line(t->scols, NULL));
	for (unsigned int i = 0; i < t->sel.n; i++) {
		const struct column *c = &t->cols[t->sel.col[i]];
		char *text = c->print(row, c, &t->format);
		const char *color;

		if (!text)
			text = xstrdup("-");
		color = column_color(c, text, &t->format);
		if (color)
			must(scols_cell_set_color(scols_line_get_cell(line, i), color));
		must(scols_line_refer_data(line, i, text));
	}
}

void table_print(struct table *t)
{
	if (t->format.json)
		json_end(&t->json);
	else
		must(scols_print_table(t->scols));
}

void table_free(struct table *t)
{
	if (t->scols)
		scols_unref_table(t->scols);
	free(t);
}

static char *help_default(const void *row, const struct column *c, const struct format *f)
{
	bool shown = ((const struct column *)row)->flags & COLUMN_DEFAULT;

	(void)c;
	if (f->json)
		return xstrdup(shown ? "1" : "0");
	return xstrdup(shown ? "*" : " ");
}

void table_list_columns(const struct column *cols, unsigned int n, const struct format *f)
{
	static const struct column help[] = {
		{ "NAME", "name", COLUMN_STRING, 0, column_str, offsetof(struct column, name), "" },
		{ "SHOWN", "shown", COLUMN_BOOL, 0, help_default, 0, "" },
		{ "JSON", "key", COLUMN_STRING, 0, column_str, offsetof(struct column, key), "" },
		{ "MEANING", "meaning", COLUMN_STRING, 0, column_str,
		  offsetof(struct column, help), "" },
	};
	struct table *t = table_new("columns", help, 4, NULL, f);

	for (unsigned int i = 0; i < n; i++)
		table_add(t, &cols[i]);
	table_print(t);
	table_free(t);
}
