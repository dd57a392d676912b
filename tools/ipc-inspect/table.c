// SPDX-License-Identifier: MIT
/* See table.h. */
#include "tools/ipc-inspect/table.h"

#include <err.h>
#include <libsmartcols.h>

#include "tools/common/xalloc.h"

struct table {
	struct libscols_table *scols;
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
	static const int json[] = {
		[COLUMN_STRING] = SCOLS_JSON_STRING,
		[COLUMN_NUMBER] = SCOLS_JSON_NUMBER,
		[COLUMN_BOOL] = SCOLS_JSON_BOOLEAN,
		[COLUMN_STRINGS] = SCOLS_JSON_ARRAY_STRING,
		[COLUMN_NUMBERS] = SCOLS_JSON_ARRAY_NUMBER,
	};
	bool array = c->type == COLUMN_STRINGS || c->type == COLUMN_NUMBERS;
	struct libscols_column *sc;
	int flags = 0;

	if (c->flags & COLUMN_RIGHT)
		flags |= SCOLS_FL_RIGHT;
	if (c->flags & COLUMN_TRUNC)
		flags |= SCOLS_FL_TRUNC;
	if (t->format.json && array)
		flags |= SCOLS_FL_WRAP;
	sc = xcheck(scols_table_new_column(t->scols, t->format.json ? c->key : c->name, 0, flags));
	must(scols_column_set_json_type(sc, json[c->type]));
	/* an item of an array ends with its line */
	if (t->format.json && array)
		must(scols_column_set_wrapfunc(sc, scols_wrapnl_chunksize, scols_wrapnl_nextchunk,
					       NULL));
	/* text_safe() has been here already */
	must(scols_column_set_safechars(sc, "\\\n"));
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
	t->scols = xcheck(scols_new_table());
	must(scols_table_set_name(t->scols, key));
	must(scols_table_enable_json(t->scols, f->json));
	if (!f->json) {
		must(scols_table_enable_raw(t->scols, f->raw));
		must(scols_table_enable_noheadings(t->scols, f->noheadings));
	}
	for (unsigned int i = 0; i < t->sel.n; i++)
		add_column(t, &cols[t->sel.col[i]]);
	return t;
}

void table_add(struct table *t, const void *row)
{
	struct libscols_line *line = xcheck(scols_table_new_line(t->scols, NULL));

	for (unsigned int i = 0; i < t->sel.n; i++) {
		const struct column *c = &t->cols[t->sel.col[i]];
		char *text = c->print(row, c, &t->format);

		if (!text && !t->format.json)
			text = xstrdup("-");
		if (text)
			must(scols_line_refer_data(line, i, text));
	}
}

void table_print(struct table *t)
{
	must(scols_print_table(t->scols));
}

char *table_json_member(struct table *t)
{
	char *text, *end;

	must(scols_print_table_to_string(t->scols, &text));
	end = strrchr(text, '}');
	if (*text != '{' || !end)
		errx(1, "libsmartcols: no JSON");
	while (end > text + 1 && (end[-1] == '\n' || end[-1] == ' '))
		end--;
	*end = '\0';
	memmove(text, text + 1, (size_t)(end - text));
	return text;
}

void table_free(struct table *t)
{
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
