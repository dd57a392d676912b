// SPDX-License-Identifier: MIT
/*
 * See trace-args.h.  The syntax is that of <sys/sdt.h>; the operands are what a compiler makes of its
 * constraints "n", "o" and "r".
 */
#include "tools/ipc-inspect/trace-args.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Where a register is in struct pt_regs: the kernel's ABI (asm/ptrace.h). */
static const struct {
	const char *names[4];	/* of 8, 4, 2, 1 bytes */
	int16_t offset;
} x86_regs[] = {
	{ { "r15", "r15d", "r15w", "r15b" }, 0 },  { { "r14", "r14d", "r14w", "r14b" }, 8 },
	{ { "r13", "r13d", "r13w", "r13b" }, 16 }, { { "r12", "r12d", "r12w", "r12b" }, 24 },
	{ { "rbp", "ebp", "bp", "bpl" }, 32 },	   { { "rbx", "ebx", "bx", "bl" }, 40 },
	{ { "r11", "r11d", "r11w", "r11b" }, 48 }, { { "r10", "r10d", "r10w", "r10b" }, 56 },
	{ { "r9", "r9d", "r9w", "r9b" }, 64 },	   { { "r8", "r8d", "r8w", "r8b" }, 72 },
	{ { "rax", "eax", "ax", "al" }, 80 },	   { { "rcx", "ecx", "cx", "cl" }, 88 },
	{ { "rdx", "edx", "dx", "dl" }, 96 },	   { { "rsi", "esi", "si", "sil" }, 104 },
	{ { "rdi", "edi", "di", "dil" }, 112 },	   { { "rsp", "esp", "sp", "spl" }, 152 },
};

#define ARM64_SP	(31 * 8)

struct cursor {
	const char *at;
};

static bool take(struct cursor *c, char wanted)
{
	if (*c->at != wanted)
		return false;
	c->at++;
	return true;
}

static void skip_blanks(struct cursor *c)
{
	while (*c->at == ' ')
		c->at++;
}

static bool number(struct cursor *c, int64_t *v)
{
	char *end;

	if (!isdigit((unsigned char)*c->at) && *c->at != '-')
		return false;
	errno = 0;
	/* an unsigned constant may have the highest bit */
	*v = *c->at == '-' ? strtoll(c->at, &end, 0) : (int64_t)strtoull(c->at, &end, 0);
	if (end == c->at || errno)
		return false;
	c->at = end;
	return true;
}

static bool x86_reg(struct cursor *c, int16_t *offset)
{
	size_t len;

	if (!take(c, '%'))
		return false;
	len = strspn(c->at, "abcdefghijklmnopqrstuvwxyz0123456789");
	for (size_t i = 0; i < sizeof(x86_regs) / sizeof(x86_regs[0]); i++) {
		for (int size = 0; size < 4; size++) {
			const char *name = x86_regs[i].names[size];

			if (strlen(name) != len || memcmp(name, c->at, len))
				continue;
			*offset = x86_regs[i].offset;
			c->at += len;
			return true;
		}
	}
	return false;
}

/* (%base), (%base,%index), (%base,%index,scale); what stands before is in p->value. */
static bool x86_memory(struct cursor *c, struct trace_place *p)
{
	int64_t scale = 1;

	if (!take(c, '(') || !x86_reg(c, &p->reg))
		return false;
	if (take(c, ',')) {
		if (!x86_reg(c, &p->index) || (take(c, ',') && !number(c, &scale)))
			return false;
		if (scale != 1 && scale != 2 && scale != 4 && scale != 8)
			return false;
		p->scale = (uint8_t)__builtin_ctz((unsigned int)scale);
	}
	p->in_memory = 1;
	return take(c, ')');
}

static bool x86_operand(struct cursor *c, struct trace_place *p)
{
	if (take(c, '$'))
		return number(c, &p->value);
	if (*c->at == '%')
		return x86_reg(c, &p->reg);
	if (*c->at != '(' && !number(c, &p->value))
		return false;
	return x86_memory(c, p);
}

/* x0..x30, w0..w30, sp */
static bool arm64_reg(struct cursor *c, int16_t *offset)
{
	int64_t n;

	if (take(c, 's')) {
		*offset = ARM64_SP;
		return take(c, 'p');
	}
	if ((!take(c, 'x') && !take(c, 'w')) || *c->at == '-' || !number(c, &n) || n > 30)
		return false;
	*offset = (int16_t)(8 * n);
	return true;
}

static bool arm64_operand(struct cursor *c, struct trace_place *p)
{
	if (isdigit((unsigned char)*c->at) || *c->at == '-')
		return number(c, &p->value);
	if (!take(c, '['))
		return arm64_reg(c, &p->reg);
	if (!arm64_reg(c, &p->reg))
		return false;
	if (take(c, ',')) {
		skip_blanks(c);
		take(c, '#');
		if (!number(c, &p->value))
			return false;
	}
	p->in_memory = 1;
	return take(c, ']');
}

static bool argument(struct cursor *c, struct trace_place *p, enum trace_machine machine)
{
	int64_t size;

	*p = (struct trace_place){ .reg = -1, .index = -1 };
	if (!number(c, &size) || !take(c, '@'))
		return false;
	p->is_signed = size < 0;
	size = size < 0 ? -size : size;
	if (size != 1 && size != 2 && size != 4 && size != 8)
		return false;
	p->size = (uint8_t)size;
	return machine == TRACE_X86_64 ? x86_operand(c, p) : arm64_operand(c, p);
}

int trace_parse_args(struct trace_site *site, const char *text, enum trace_machine machine)
{
	struct cursor c = { .at = text };

	site->nargs = 0;
	if (machine == TRACE_NO_MACHINE)
		return -EINVAL;
	for (skip_blanks(&c); *c.at; skip_blanks(&c)) {
		if (site->nargs == TRACE_SITE_ARGS ||
		    !argument(&c, &site->arg[site->nargs++], machine) || (*c.at && *c.at != ' '))
			return -EINVAL;
	}
	return 0;
}

enum trace_machine trace_this_machine(void)
{
#if defined(__x86_64__)
	return TRACE_X86_64;
#elif defined(__aarch64__)
	return TRACE_ARM64;
#else
	return TRACE_NO_MACHINE;
#endif
}
