/* SPDX-License-Identifier: MIT */
/*
 * Columns: one row of a table each, {name, key, type, flags, printer, offset, help}, that drives
 * the table, JSON, -H, --help and -o.  (The scheme is util-linux's, as in misc-utils/lsfd.c.)
 *
 * The same rows describe a record, one value a line: see report.h.
 */
#ifndef IPC_INSPECT_COLUMN_H
#define IPC_INSPECT_COLUMN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How values are written. */
struct format {
	bool json;	/* plain numbers, null for what isn't there */
	bool lines;	/* with json: an object a line */
	bool color;
	bool raw;	/* no alignment, blanks as \x20 */
	bool bytes;	/* sizes as plain numbers */
	bool noheadings;
};

enum column_type {
	COLUMN_STRING,
	COLUMN_NUMBER,
	COLUMN_BOOL,
	COLUMN_STRINGS,	/* printer: one a line in JSON, with commas else; never empty */
	COLUMN_NUMBERS,
};

#define COLUMN_RIGHT	1u	/* aligned to the right */
#define COLUMN_DEFAULT	2u	/* shown when nothing else is asked for */
#define COLUMN_TRUNC	4u	/* may be cut to the width of the terminal */
#define COLUMN_STATE	8u	/* words that colour tells apart */

struct column {
	const char *name;	/* heading, and what -o takes */
	const char *key;	/* in JSON: stable, with the unit in it */
	enum column_type type;
	unsigned int flags;	/* COLUMN_* */
	/* The value as malloc'ed text; NULL: there is none. */
	char *(*print)(const void *row, const struct column *c, const struct format *f);
	size_t offset;		/* of what it prints, in the row */
	const char *help;
};

/* In a 64-bit member: there is no value. */
#define ABSENT	UINT64_MAX

/* Printers for the member at column.offset. */
char *column_u16(const void *row, const struct column *c, const struct format *f);
char *column_u32(const void *row, const struct column *c, const struct format *f);
char *column_u64(const void *row, const struct column *c, const struct format *f);
char *column_i64(const void *row, const struct column *c, const struct format *f);
char *column_hex32(const void *row, const struct column *c, const struct format *f);
char *column_hex64(const void *row, const struct column *c, const struct format *f);
char *column_octal(const void *row, const struct column *c, const struct format *f);
char *column_bytes(const void *row, const struct column *c, const struct format *f);
char *column_bool(const void *row, const struct column *c, const struct format *f);
/* uint64_t, ABSENT for none */
char *column_opt_u64(const void *row, const struct column *c, const struct format *f);
char *column_opt_hex64(const void *row, const struct column *c, const struct format *f);
char *column_opt_bytes(const void *row, const struct column *c, const struct format *f);
/* uint64_t seconds, ABSENT for none */
char *column_duration(const void *row, const struct column *c, const struct format *f);
/* char * or const char *, NULL for none; safe to print already */
char *column_str(const void *row, const struct column *c, const struct format *f);
/* The same with a value a line: as it is in JSON, where it is an array; with commas else */
char *column_lines(const void *row, const struct column *c, const struct format *f);
/* char[]: as text_safe(); empty for none.  Sized by its NUL. */
char *column_chars(const void *row, const struct column *c, const struct format *f);

/* n of a unit: bytes as the format wants them; NULL for ABSENT. */
char *column_amount(uint64_t n, const char *unit, const struct format *f);

/* What begins the colour of a value, if the format wants it and it has one, and what ends it. */
const char *column_color(const struct column *c, const char *text, const struct format *f);
#define COLOR_END "\033[0m"

/* Which columns, in which order. */
#define SELECTION_MAX	64
struct selection {
	unsigned int n;
	unsigned int col[SELECTION_MAX];
};

/* Those with COLUMN_DEFAULT; all: every one. */
void selection_default(struct selection *s, const struct column *cols, unsigned int n, bool all);
/* -o: "NAME,NAME" or "+NAME" for those and the default ones.  -EINVAL after a message. */
int selection_parse(struct selection *s, const struct column *cols, unsigned int n,
		    const char *arg);

#endif
