// SPDX-License-Identifier: MIT
/* top on a terminal: curses draws, the columns print as everywhere. */
#include <ncurses.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tools/common/xalloc.h"
#include "tools/ipc-inspect/top.h"

enum { PAIR_RED = 1, PAIR_YELLOW };

struct screen {
	struct top *t;
	const struct selection *sel;
	struct format format;
	uint64_t interval_ns;
	size_t first;		/* row at the top */
	bool help;
	int code;		/* what the looks said */
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- drawing ---- */

/* Characters; those of several bytes are of the history, and one column wide. */
static int width_of(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

static void put_cell(const struct column *c, const char *text, int width)
{
	int gap = width - width_of(text);

	if (c->flags & COLUMN_RIGHT)
		printw("%*s%s ", gap, "", text);
	else
		printw("%s%*s ", text, gap, "");
}

/* The state's colour for the row, as far as the terminal has any. */
static chtype attribute(const char *text, const struct column *c)
{
	const struct format colored = { .color = true };
	const char *color = column_color(c, text, &colored);

	if (!color || !has_colors())
		return A_NORMAL;
	return COLOR_PAIR(strstr(color, "31") ? PAIR_RED : PAIR_YELLOW);
}

/* All texts first, for the widths. */
static void draw_rows(struct screen *s, int y, size_t n)
{
	unsigned int cols = s->sel->n;
	char **text = xcalloc(n * cols, sizeof(*text));
	_cleanup_free_ int *width = xcalloc(cols, sizeof(*width));

	for (unsigned int k = 0; k < cols; k++) {
		const struct column *c = &top_columns[s->sel->col[k]];

		width[k] = width_of(c->name);
		for (size_t i = 0; i < n; i++) {
			char *p = c->print(&s->t->row[s->first + i], c, &s->format);

			text[i * cols + k] = p ? p : xstrdup("-");
			if (width_of(text[i * cols + k]) > width[k])
				width[k] = width_of(text[i * cols + k]);
		}
	}
	move(y++, 0);
	attron(A_REVERSE);
	for (unsigned int k = 0; k < cols; k++)
		put_cell(&top_columns[s->sel->col[k]], top_columns[s->sel->col[k]].name, width[k]);
	attroff(A_REVERSE);
	for (size_t i = 0; i < n; i++) {
		move(y++, 0);
		for (unsigned int k = 0; k < cols; k++) {
			const struct column *c = &top_columns[s->sel->col[k]];
			chtype attr = attribute(text[i * cols + k], c);

			attron(attr);
			put_cell(c, text[i * cols + k], width[k]);
			attroff(attr);
			free(text[i * cols + k]);
		}
	}
	free(text);
}

static void draw_help(int y)
{
	static const char *const lines[] = {
		"q        quit",
		"h ?      this help, on and off",
		"m b d    sort by messages, bytes, depth",
		"w c o    sort by waiters, CPU, object",
		"up down  one row; also k, j, page up, page down",
		"+ -      look less or more often",
		"space    look now",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		mvprintw(y++, 2, "%s", lines[i]);
}

static void draw(struct screen *s)
{
	time_t t = (time_t)(s->t->time_ns / 1000000000);
	size_t room = LINES > 4 ? (size_t)LINES - 4 : 0, n;
	char clock[16] = "";
	struct tm tm;

	if (localtime_r(&t, &tm))
		strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	erase();
	mvprintw(0, 0, "ipc-inspect top  %s  every %.1f s  %zu object%s  by %s   q quit  h help",
		 clock, (double)s->interval_ns / 1e9, s->t->n, s->t->n == 1 ? "" : "s",
		 top_sort_names[s->t->sort]);
	if (s->first + 1 > s->t->n)
		s->first = s->t->n ? s->t->n - 1 : 0;
	n = s->t->n - s->first < room ? s->t->n - s->first : room;
	if (s->help)
		draw_help(2);
	else
		draw_rows(s, 2, n);
	refresh();
}

/* ---- keys ---- */

static void scroll_by(struct screen *s, long rows)
{
	if (rows < 0 && s->first < (size_t)-rows)
		s->first = 0;
	else
		s->first += (size_t)rows;	/* draw() keeps it in bounds */
}

static void sort_by(struct screen *s, enum top_sort by)
{
	s->t->sort = by;
	top_resort(s->t);
}

/* False: that was the last one.  *look: at once. */
static bool key(struct screen *s, int c, bool *look)
{
	switch (c) {
	case 'q':
		return false;
	case 'h':
	case '?':
		s->help = !s->help;
		break;
	case 'm':
		sort_by(s, TOP_BY_MESSAGES);
		break;
	case 'b':
		sort_by(s, TOP_BY_BYTES);
		break;
	case 'd':
		sort_by(s, TOP_BY_DEPTH);
		break;
	case 'w':
		sort_by(s, TOP_BY_WAITERS);
		break;
	case 'c':
		sort_by(s, TOP_BY_CPU);
		break;
	case 'o':
		sort_by(s, TOP_BY_OBJECT);
		break;
	case 'k':
	case KEY_UP:
		scroll_by(s, -1);
		break;
	case 'j':
	case KEY_DOWN:
		scroll_by(s, 1);
		break;
	case KEY_PPAGE:
		scroll_by(s, -(LINES > 5 ? LINES - 5 : 1));
		break;
	case KEY_NPAGE:
		scroll_by(s, LINES > 5 ? LINES - 5 : 1);
		break;
	case '+':
		s->interval_ns *= 2;
		break;
	case '-':
		s->interval_ns = s->interval_ns / 2 < 50000000 ? 50000000 : s->interval_ns / 2;
		break;
	case ' ':
		*look = true;
		break;
	}
	return true;
}

/* Keys until the next look is due.  False: the user wants to leave. */
static bool wait_for_keys(struct screen *s, uint64_t due)
{
	bool look = false;

	for (uint64_t now = now_ns(); now < due && !look; now = now_ns()) {
		int c;

		timeout((int)((due - now) / 1000000) + 1);
		c = getch();
		if (c == ERR) {
			/* gone, not just silent */
			if (now_ns() < due && !isatty(STDIN_FILENO))
				return false;
			continue;
		}
		if (!key(s, c, &look))
			return false;
		draw(s);
	}
	return true;
}

static void run(struct screen *s, uint64_t count)
{
	uint64_t due = now_ns();

	/* rates come with the second look, so that one is not long in coming */
	s->code = top_look(s->t, EACH_QUIET);
	draw(s);
	for (uint64_t n = 0; !count || n < count; n++) {
		due = n ? due + s->interval_ns :
			  due + (s->interval_ns < 300000000 ? s->interval_ns : 300000000);
		if (due < now_ns())
			due = now_ns();
		if (!wait_for_keys(s, due))
			return;
		s->code = worse(s->code, top_look(s->t, EACH_QUIET));
		draw(s);
	}
}

int top_screen(struct top *t, const struct selection *sel, const struct format *f,
	       uint64_t interval_ns, uint64_t count)
{
	struct screen s = { .t = t, .sel = sel, .format = *f, .interval_ns = interval_ns };
	SCREEN *terminal = newterm(NULL, stdout, stdin);

	if (!terminal)
		return -1;
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	if (has_colors()) {
		start_color();
		use_default_colors();
		init_pair(PAIR_RED, COLOR_RED, -1);
		init_pair(PAIR_YELLOW, COLOR_YELLOW, -1);
	}
	run(&s, count);
	endwin();
	delscreen(terminal);
	return s.code;
}
