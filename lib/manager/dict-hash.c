// SPDX-License-Identifier: MIT
/*
 * The hash of keys: SipHash-1-3 with a secret key of the dict's own, so that nobody who can only
 * choose keys can make them meet in one bucket.
 *
 * After: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", 2012, with one round a
 * word and three at the end, as Rust, Ruby and Python use it for the same purpose.
 */
#include "manager/dict.h"

#define ROTL(x, n)	((x) << (n) | (x) >> (64 - (n)))

#define ROUND(v0, v1, v2, v3)                                                                      \
	do {                                                                                       \
		v0 += v1;                                                                          \
		v2 += v3;                                                                          \
		v1 = ROTL(v1, 13) ^ v0;                                                            \
		v3 = ROTL(v3, 16) ^ v2;                                                            \
		v0 = ROTL(v0, 32);                                                                 \
		v2 += v1;                                                                          \
		v0 += v3;                                                                          \
		v1 = ROTL(v1, 17) ^ v2;                                                            \
		v3 = ROTL(v3, 21) ^ v0;                                                            \
		v2 = ROTL(v2, 32);                                                                 \
	} while (0)

static inline uint64_t word_at(const uint8_t *p)
{
	uint64_t w;

	memcpy(&w, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	w = __builtin_bswap64(w);
#endif
	return w;
}

uint64_t __kipc_siphash13(const uint64_t key[2], const void *data, size_t len)
{
	uint64_t v0 = key[0] ^ 0x736f6d6570736575ULL, v1 = key[1] ^ 0x646f72616e646f6dULL;
	uint64_t v2 = key[0] ^ 0x6c7967656e657261ULL, v3 = key[1] ^ 0x7465646279746573ULL;
	uint64_t last = (uint64_t)len << 56, w;
	const uint8_t *p = data;
	size_t n;

	for (n = len; n >= 8; n -= 8, p += 8) {
		w = word_at(p);
		v3 ^= w;
		ROUND(v0, v1, v2, v3);
		v0 ^= w;
	}
	for (; n; n--)
		last |= (uint64_t)p[n - 1] << 8 * (n - 1);
	v3 ^= last;
	ROUND(v0, v1, v2, v3);
	v0 ^= last;
	v2 ^= 0xff;
	ROUND(v0, v1, v2, v3);
	ROUND(v0, v1, v2, v3);
	ROUND(v0, v1, v2, v3);
	return v0 ^ v1 ^ v2 ^ v3;
}

int __kipc_dict_key(const struct kipc_dict *d, const struct kipc_value *v, struct kipc_dict_key *k)
{
	uint64_t hash_key[2] = { d->hash_key[0], d->hash_key[1] };

	switch (v->type) {
	case KIPC_INT:
		k->type = KIPC_SLOT_INT;
		k->i = v->i;
		k->data = &k->i;
		k->len = sizeof(k->i);
		break;
	case KIPC_STR:
	case KIPC_BYTES:
		if (unlikely(!v->data && v->len))
			return -EINVAL;
		if (unlikely(v->len > KIPC_DICT_KEY_MAX))
			return -EMSGSIZE;
		k->type = v->type == KIPC_STR ? KIPC_SLOT_STR : KIPC_SLOT_BYTES;
		k->data = v->len ? v->data : "";
		k->len = (uint32_t)v->len;
		break;
	default:
		return -EINVAL;
	}
	hash_key[0] ^= k->type;
	k->hash = __kipc_siphash13(hash_key, k->data, k->len);
	return 0;
}
