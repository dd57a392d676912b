// SPDX-License-Identifier: MIT
/* ipc-inspect dump: what is in an object, or the whole of it to a file.  See dump.h. */
#include "tools/ipc-inspect/dump.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <unistd.h>

#include "tools/common/image.h"
#include "tools/common/text.h"
#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/inspect.h"

#define LINE	16
#define CHUNK	(64u << 10)

/* ---- bytes ---- */

void dump_title(struct dump *d, const char *fmt, ...)
{
	va_list ap;

	if (d->format.json || d->format.raw)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

void dump_number(struct dump *d, const char *key, uint64_t n)
{
	char text[32];

	if (!d->format.json)
		return;
	snprintf(text, sizeof(text), "%lu", (unsigned long)n);
	json_value(&d->json, key, text);
}

void dump_bool(struct dump *d, const char *key, bool b)
{
	if (d->format.json)
		json_value(&d->json, key, b ? "true" : "false");
}

void dump_word(struct dump *d, const char *key, const char *word)
{
	if (d->format.json)
		json_string(&d->json, key, word);
}

void dump_double(double x, bool single, bool json)
{
	int digits = single ? 6 : 15;
	char text[40];

	if (!isfinite(x)) {
		printf(json ? "\"%s\"" : "%s", isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
		return;
	}
	do
		snprintf(text, sizeof(text), "%.*g", digits, x);
	while ((single ? strtof(text, NULL) != (float)x : strtod(text, NULL) != x) &&
	       ++digits <= 17);
	fputs(text, stdout);
}

void *dump_read(struct view *v, uint64_t off, uint64_t len)
{
	void *buf;

	if (!view_holds(v, off, len))
		return NULL;
	buf = xcheck(malloc(len ? len : 1));
	if (!view_read(v, off, buf, len))
		return buf;
	free(buf);
	return NULL;
}

/* What goes on from one piece of a long dump to the next. */
struct hex {
	unsigned char last[LINE];
	bool repeated;		/* a * stands for the lines that are as the last one */
};

static void hex_line(uint64_t off, const unsigned char *p, size_t n)
{
	printf("  %08lx ", (unsigned long)off);
	for (size_t i = 0; i < LINE; i++) {
		if (i % 8 == 0)
			putchar(' ');
		if (i < n)
			printf("%02x ", p[i]);
		else
			fputs("   ", stdout);
	}
	fputs(" |", stdout);
	for (size_t i = 0; i < n; i++)
		putchar(p[i] >= 0x20 && p[i] < 0x7f ? p[i] : '.');
	fputs("|\n", stdout);
}

/* at: of the n bytes in all that is dumped, of `total` */
static void put_lines(struct hex *h, const unsigned char *p, uint64_t at, uint64_t n, uint64_t total)
{
	for (uint64_t i = 0; i < n; i += LINE) {
		size_t len = n - i < LINE ? (size_t)(n - i) : LINE;
		bool inner = at + i && at + i + len < total;

		if (inner && len == LINE && !memcmp(h->last, p + i, LINE)) {
			if (!h->repeated)
				puts("  *");
			h->repeated = true;
			continue;
		}
		h->repeated = false;
		hex_line(at + i, p + i, len);
		memcpy(h->last, p + i, len);
	}
}

static void text(const char *s, uint64_t n)
{
	fputs("  ", stdout);
	for (uint64_t i = 0, len; i < n; i += len) {
		len = text_utf8(s + i, n - i);
		if (s[i] == '\n' && i + 1 < n)
			fputs("\n  ", stdout);
		else if (s[i] == '\t')
			putchar('\t');
		else if (len && !text_is_control(s + i, len))
			fwrite(s + i, 1, len, stdout);
		else
			for (uint64_t j = 0; j < (len ? len : 1); j++)
				printf("\\x%02x", (unsigned char)s[i + j]);
		len = len ? len : 1;
	}
	putchar('\n');
}

static bool is_text(const char *s, uint64_t n)
{
	for (uint64_t i = 0, len; i < n; i += len) {
		len = text_utf8(s + i, n - i);
		if (!len || (text_is_control(s + i, len) && s[i] != '\n' && s[i] != '\t'))
			return false;
	}
	return true;
}

static void put_hex(const unsigned char *p, uint64_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (uint64_t i = 0; i < n; i++) {
		putchar(digits[p[i] >> 4]);
		putchar(digits[p[i] & 15]);
	}
}

static void bytes_json(struct dump *d, const void *bytes, uint64_t n)
{
	/* text has no NULs, though UTF-8 may */
	bool hex = d->how == DUMP_HEX || (n && memchr(bytes, 0, n));
	_cleanup_free_ char *string = hex ? NULL : json_text(bytes, n);

	json_value(&d->json, "text", string ? string : "null");
	json_value(&d->json, "hex", string ? "null" : "\"");
	if (!string) {
		put_hex(bytes, n);
		putchar('"');
	}
}

void dump_bytes(struct dump *d, const void *bytes, uint64_t n)
{
	struct hex h = { .repeated = false };

	if (d->format.json)
		bytes_json(d, bytes, n);
	else if (d->format.raw)
		fwrite(bytes, 1, n, stdout);
	else if (d->how == DUMP_TEXT || (d->how == DUMP_AUTO && n && is_text(bytes, n)))
		text(bytes, n);
	else
		put_lines(&h, bytes, 0, n, n);
}

/* Too long to be kept, so hexadecimal. */
static void dump_long(struct dump *d, struct view *v, uint64_t off, uint64_t len)
{
	_cleanup_free_ unsigned char *buf = xcheck(malloc(CHUNK));
	struct hex h = { .repeated = false };

	if (d->format.json) {
		json_value(&d->json, "text", "null");
		json_value(&d->json, "hex", "\"");
	}
	for (uint64_t at = 0, n; at < len; at += n) {
		n = len - at < CHUNK ? len - at : CHUNK;
		if (view_read(v, off + at, buf, n))
			break;
		if (d->format.json)
			put_hex(buf, n);
		else if (d->format.raw)
			fwrite(buf, 1, n, stdout);
		else
			put_lines(&h, buf, at, n, len);
	}
	if (d->format.json)
		putchar('"');
}

void dump_range(struct dump *d, struct view *v, uint64_t off, uint64_t len)
{
	_cleanup_free_ void *buf = len <= DUMP_MAX ? dump_read(v, off, len) : NULL;

	if (buf)
		dump_bytes(d, buf, len);
	else
		dump_long(d, v, off, len);
}

/* ---- the command ---- */

enum { OPT_HEX = OPT_LONG, OPT_TEXT, OPT_SAVE };

static const struct option_row own[] = {
	{ OPT_HEX, "hex", NULL, "bytes as hexadecimal, also those that are text" },
	{ OPT_TEXT, "text", NULL, "bytes as text, those that are none as \\xNN" },
	{ OPT_SAVE, "save", "FILE", "write an image of the object to FILE instead" },
};

static struct {
	int how;
	const char *save;
	unsigned int saved;
} opts;

static int option(int code, const char *arg)
{
	if (code == OPT_SAVE)
		opts.save = arg;
	else
		opts.how = code == OPT_HEX ? DUMP_HEX : DUMP_TEXT;
	return EXIT_OK;
}

static int cannot(const struct subject *s)
{
	_cleanup_free_ char *object = subject_text(s);
	_cleanup_free_ char *state = state_names(s->sum.states, ", ");

	warnx("%s: %s", object, state);
	return s->sum.states & STATE_DAMAGED ? EXIT_DAMAGE : EXIT_UNSUPPORTED;
}

static int dump_one(const struct subject *s, void *arg)
{
	struct dump *d = arg;
	_cleanup_free_ char *object = subject_text(s);
	/* what is damaged on the way is noted there; the subject's own stays as it was judged */
	struct view v = s->view;
	unsigned int before = v.nproblems;
	bool damaged = s->sum.states & STATE_DAMAGED;

	if (!s->data)
		return cannot(s);
	if (d->format.raw && s->kind == &kind_manager) {
		warnx("%s: what a manager holds has no raw form", object);
		return EXIT_UNSUPPORTED;
	}
	dump_title(d, "%s%s %s", d->nobjects++ ? "\n" : "", subject_kind(s), object);
	if (d->format.json) {
		json_open(&d->json, NULL, '{');
		json_string(&d->json, "object", object);
		json_string(&d->json, "kind", subject_kind(s));
	}
	s->kind->dump(s->data, &v, d);
	if (d->format.json)
		json_close(&d->json, '}');
	fflush(stdout);
	for (; v.nproblems > before; damaged = true) {
		warnx("%s: %s", object, v.problems[--v.nproblems]);
		free(v.problems[v.nproblems]);
	}
	return damaged ? EXIT_DAMAGE : EXIT_OK;
}

static int save_one(const struct subject *s, void *arg)
{
	_cleanup_free_ char *object = subject_text(s);
	struct view v = s->view;
	bool moved;
	int r;

	(void)arg;
	if (!s->opened)
		return cannot(s);
	if (opts.saved++)
		return EXIT_OK;		/* save() complains */
	r = image_save(&v, opts.save, &moved);
	if (r) {
		warnx("%s: %s", opts.save, strerror(-r));
		return EXIT_FAILED;
	}
	if (moved)
		warnx("%s: the object changed all the time, so the image is no snapshot", object);
	return EXIT_OK;
}

/* One object, one file. */
static int save(const struct targets *t)
{
	int code = subjects_each(t, EACH_NEEDED, save_one, NULL);

	if (opts.saved > 1) {
		warnx("%u objects are meant, the first one was saved", opts.saved);
		return EXIT_FAILED;
	}
	return code;
}

static int dump(const struct command *cmd, struct invocation *inv)
{
	struct dump d = { .format = inv->format, .how = opts.how };
	int code;

	(void)cmd;
	if (!inv->targets.n) {
		warnx("dump: which object? `ipc-inspect list' prints them");
		return EXIT_USAGE;
	}
	if (opts.save)
		return save(&inv->targets);
	if (inv->format.raw && opts.how) {
		warnx("-r excludes --hex and --text");
		return usage();
	}
	if (d.format.json)
		json_begin(&d.json, &d.format, "objects");
	code = subjects_each(&inv->targets, EACH_NEEDED, dump_one, &d);
	if (d.format.json)
		json_end(&d.json);
	return code;
}

const struct command command_dump = {
	.name = "dump",
	.args = "OBJECT...",
	.help = "what is in the objects: messages, elements, values; or an image of one",
	.notes = "With -r the bytes themselves are written, one message after the other; not of a "
		 "manager.\n"
		 "A live object moves while it is dumped: what is taken meanwhile may be missing.",
	.options = "Jrp",
	.own = own,
	.nown = sizeof(own) / sizeof(own[0]),
	.option = option,
	.run = dump,
};
