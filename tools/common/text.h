/* SPDX-License-Identifier: MIT */
/*
 * Values as text for people.  What comes from a segment or from another process may hold anything,
 * escape sequences for terminals included: it is printed through text_safe() alone.
 *
 * All results are malloc'ed.
 */
#ifndef TOOLS_COMMON_TEXT_H
#define TOOLS_COMMON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * s up to its NUL, or its first n bytes: printable ASCII as it is, a backslash as \\, every other
 * byte as \xNN.
 */
char *text_safe(const char *s, size_t n);

/* Bytes of the UTF-8 sequence at s, of which n are there; 0: it is none. */
size_t text_utf8(const char *s, size_t n);
/* All of it is UTF-8. */
bool text_is_utf8(const char *s, size_t n);
/* That sequence (n: its bytes) is a control character: C0, DEL, C1. */
bool text_is_control(const char *s, size_t n);

/*
 * Appends to a malloc'ed text, which may be NULL, with sep between: gives the result, malloc'ed.
 */
char *text_join(char *text, const char *sep, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* 512B, 64K, 1.5M: in powers of 1024, two or three digits. */
char *text_bytes(uint64_t bytes);

/* 12s, 5m, 3h, 2d: the largest unit that fits. */
char *text_duration(uint64_t seconds);

#endif
