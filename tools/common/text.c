// SPDX-License-Identifier: MIT
/* See text.h. */
#include "tools/common/text.h"

#include "tools/common/xalloc.h"

char *text_safe(const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	size_t len = strnlen(s, n);
	char *out = xcheck(malloc(4 * len + 1)), *p = out;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c >= 0x20 && c < 0x7f && c != '\\') {
			*p++ = (char)c;
		} else if (c == '\\') {
			*p++ = '\\';
			*p++ = '\\';
		} else {
			*p++ = '\\';
			*p++ = 'x';
			*p++ = hex[c >> 4];
			*p++ = hex[c & 15];
		}
	}
	*p = '\0';
	return out;
}

/* RFC 3629: no surrogates, nothing overlong. */
size_t text_utf8(const char *text, size_t left)
{
	const unsigned char *s = (const unsigned char *)text;
	uint32_t c = left ? s[0] : 0xff;
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

bool text_is_utf8(const char *s, size_t n)
{
	for (size_t i = 0, len; i < n; i += len) {
		len = text_utf8(s + i, n - i);
		if (!len)
			return false;
	}
	return true;
}

bool text_is_control(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;

	return n == 1 ? u[0] < 0x20 || u[0] == 0x7f : n == 2 && u[0] == 0xc2 && u[1] < 0xa0;
}

char *text_join(char *text, const char *sep, const char *fmt, ...)
{
	size_t have = text ? strlen(text) : 0, gap = text ? strlen(sep) : 0, len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		err(1, "text");
	len = (size_t)n;
	text = xcheck(realloc(text, have + gap + len + 1));
	memcpy(text + have, sep, gap);
	va_start(ap, fmt);
	vsnprintf(text + have + gap, len + 1, fmt, ap);
	va_end(ap);
	return text;
}

char *text_bytes(uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	uint64_t whole = bytes, tenths = 0;
	int u = 0;

	while (whole >= 1024) {
		tenths = (whole % 1024) * 10 / 1024;
		whole /= 1024;
		u++;
	}
	if (!u)
		return xasprintf("%luB", (unsigned long)whole);
	if (whole >= 10 || !tenths)
		return xasprintf("%lu%c", (unsigned long)whole, units[u]);
	return xasprintf("%lu.%lu%c", (unsigned long)whole, (unsigned long)tenths, units[u]);
}

char *text_duration(uint64_t seconds)
{
	if (seconds < 60)
		return xasprintf("%lus", (unsigned long)seconds);
	if (seconds < 3600)
		return xasprintf("%lum", (unsigned long)(seconds / 60));
	if (seconds < 86400)
		return xasprintf("%luh", (unsigned long)(seconds / 3600));
	return xasprintf("%lud", (unsigned long)(seconds / 86400));
}
