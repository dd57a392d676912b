// SPDX-License-Identifier: MIT
/* See json.h.  (libsmartcols writes JSON as well, but neither nested nor a line an object.) */
#include "tools/ipc-inspect/json.h"

#include <stdio.h>

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
	if (!j->lines)
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

/* ---- text from elsewhere ---- */

/* Bytes of the UTF-8 sequence at s, 0: none.  (RFC 3629: no surrogates, nothing overlong.) */
static size_t utf8_length(const unsigned char *s, size_t left)
{
	uint32_t c = s[0];
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (!n || n > left)
		return 0;
	c &= n == 1 ? 0x7f : 0x7fu >> n;
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && (c < 0x10000 || c > 0x10ffff)) ||
	    (c >= 0xd800 && c < 0xe000))
		return 0;
	return n;
}

char *json_text(const void *bytes, size_t n)
{
	const unsigned char *s = bytes;
	char *text = xcheck(malloc(6 * n + 3)), *p = text;

	*p++ = '"';
	for (size_t i = 0, len; i < n; i += len) {
		len = utf8_length(s + i, n - i);
		if (!len) {
			free(text);
			return NULL;
		}
		/* C1 controls drive terminals as well: they begin with 0xc2 and a byte below 0xa0 */
		if (s[i] < 0x20 || s[i] == 0x7f || (s[i] == 0xc2 && s[i + 1] < 0xa0)) {
			p += sprintf(p, "\\u%04x", len == 1 ? s[i] : s[i + 1]);
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
