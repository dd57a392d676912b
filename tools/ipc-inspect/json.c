// SPDX-License-Identifier: MIT
/* See json.h.  (libsmartcols writes JSON as well, but neither nested nor a line an object.) */
#include "tools/ipc-inspect/json.h"

#include <stdio.h>

#include "tools/common/text.h"
#include "tools/common/xalloc.h"

static void put_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		putchar(*s);
	}
	putchar('"');
}

/* To where the next member or element stands. */
static void next(struct json *j, const char *key)
{
	if (j->lines) {
		if (j->comma)
			fputs(j->depth ? ", " : "\n", stdout);
	} else if (j->depth) {
		printf("%s\n%*s", j->comma ? "," : "", (int)(3 * j->depth), "");
	}
	j->comma = true;
	if (key)
		printf("\"%s\": ", key);
}

void json_open(struct json *j, const char *key, char brace)
{
	next(j, key);
	putchar(brace);
	j->depth++;
	j->comma = false;
}

void json_close(struct json *j, char brace)
{
	j->depth--;
	if (!j->lines && j->comma)
		printf("\n%*s", (int)(3 * j->depth), "");
	putchar(brace);
	j->comma = true;
}

void json_begin(struct json *j, const struct format *f, const char *key)
{
	memset(j, 0, sizeof(*j));
	j->lines = f->lines;
	if (j->lines)
		return;
	json_open(j, NULL, '{');
	json_open(j, key, '[');
}

void json_next(struct json *j, const char *key)
{
	if (j->lines)
		return;
	json_close(j, ']');
	json_open(j, key, '[');
}

void json_end(struct json *j)
{
	if (!j->lines) {
		json_close(j, ']');
		json_close(j, '}');
	}
	if (j->comma)
		putchar('\n');
}

void json_string(struct json *j, const char *key, const char *text)
{
	next(j, key);
	put_string(text);
}

void json_value(struct json *j, const char *key, const char *value)
{
	next(j, key);
	fputs(value, stdout);
}

static void put_value(enum column_type type, const char *text)
{
	if (!text)
		fputs("null", stdout);
	else if (type == COLUMN_NUMBER)
		fputs(text, stdout);
	else if (type == COLUMN_BOOL)
		fputs(*text == '1' ? "true" : "false", stdout);
	else
		put_string(text);
}

/* One value a line in what the printer gave. */
static void put_array(enum column_type type, char *text)
{
	char *rest, *line = text ? strtok_r(text, "\n", &rest) : NULL;

	putchar('[');
	for (const char *sep = ""; line; line = strtok_r(NULL, "\n", &rest), sep = ", ") {
		fputs(sep, stdout);
		put_value(type == COLUMN_NUMBERS ? COLUMN_NUMBER : COLUMN_STRING, line);
	}
	putchar(']');
}

void json_column(struct json *j, const struct column *c, const void *row, const struct format *f)
{
	_cleanup_free_ char *text = c->print(row, c, f);

	next(j, c->key);
	if (c->type == COLUMN_STRINGS || c->type == COLUMN_NUMBERS)
		put_array(c->type, text);
	else
		put_value(c->type, text);
}

char *json_text(const void *bytes, size_t n)
{
	const char *s = bytes;
	char *text, *p;

	if (!text_is_utf8(bytes, n))
		return NULL;
	text = p = xcheck(malloc(6 * n + 3));
	*p++ = '"';
	for (size_t i = 0, len; i < n; i += len) {
		len = text_utf8(s + i, n - i);
		if (text_is_control(s + i, len)) {
			/* of two bytes, the second one is the number */
			p += sprintf(p, "\\u%04x", (unsigned char)s[i + len - 1]);
			continue;
		}
		if (s[i] == '"' || s[i] == '\\')
			*p++ = '\\';
		memcpy(p, s + i, len);
		p += len;
	}
	*p++ = '"';
	*p = '\0';
	return text;
}
