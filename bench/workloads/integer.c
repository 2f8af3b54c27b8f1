// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Integer work whose data fits the inner caches. */
#include <immintrin.h>
#include <string.h>

#include "workload.h"

static u64 arith(void)
{
	u64 a = 1, b = 0x123456789abcdefull, c = 7;

	for (u32 i = 0; i < 1500000; i++) {
		a = a * 6364136223846793005ull + c;
		b ^= a >> 17;
		b = b << 11 | b >> 53;
		c += b & i;
		c -= (u32)a >> 3;
	}
	return a ^ b ^ c;
}

static u32 sort_data[65536], sort_work[65536];

static void sort_setup(void)
{
	u64 seed = 42;

	for (u32 i = 0; i < 65536; i++)
		sort_data[i] = wl_random(&seed) >> 32;
}

static void quick_sort(u32 *v, long n)
{
	while (n > 16) {
		u32 pivot = v[n / 2], t;
		long i = -1, j = n;

		for (;;) {
			while (v[++i] < pivot)
				;
			while (v[--j] > pivot)
				;
			if (i >= j)
				break;
			t = v[i];
			v[i] = v[j];
			v[j] = t;
		}
		quick_sort(v + j + 1, n - j - 1);
		n = j + 1;
	}
	for (long i = 1; i < n; i++) {
		u32 x = v[i];
		long j = i;

		for (; j > 0 && v[j - 1] > x; j--)
			v[j] = v[j - 1];
		v[j] = x;
	}
}

static u64 sort(void)
{
	u64 sum = 0;

	memcpy(sort_work, sort_data, sizeof(sort_data));
	quick_sort(sort_work, 65536);
	for (u32 i = 0; i < 65536; i += 97)
		sum = wl_mix(sum, sort_work[i]);
	return sum;
}

/* open addressing, 16 KiB */
static u64 hash_small(void)
{
	static u32 keys[2048], values[2048];
	u64 seed = 7, sum = 0;

	memset(keys, 0, sizeof(keys));
	memset(values, 0, sizeof(values));
	for (u32 i = 0; i < 300000; i++) {
		u32 key = (wl_random(&seed) >> 40) % 1500 + 1;
		u32 slot = (key * 2654435761u) >> 21;

		while (keys[slot] && keys[slot] != key)
			slot = (slot + 1) & 2047;
		keys[slot] = key;
		values[slot] += i;
	}
	for (u32 i = 0; i < 2048; i++)
		sum = wl_mix(sum, values[i]);
	return sum;
}

static u32 crc_table[256];
static u8 crc_data[65536];

static void crc_setup(void)
{
	u64 seed = 3;

	for (u32 i = 0; i < 256; i++) {
		u32 c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? 0xedb88320u ^ c >> 1 : c >> 1;
		crc_table[i] = c;
	}
	for (u32 i = 0; i < sizeof(crc_data); i++)
		crc_data[i] = wl_random(&seed) >> 56;
}

static u64 crc(void)
{
	u32 c = ~0u;

	for (int round = 0; round < 16; round++)
		for (u32 i = 0; i < sizeof(crc_data); i++)
			c = crc_table[(c ^ crc_data[i]) & 255] ^ c >> 8;
	return c;
}

static u64 divide(void)
{
	u64 sum = 0, x = 0xfedcba9876543210ull;

	for (u32 i = 1; i < 300000; i++) {
		sum += x / (i | 0x10001) + (u32)x / i;
		x = x * 0x9e3779b97f4a7c15ull + (int64_t)(x % 1000003) % (int)i;
	}
	return sum;
}

/* 2048-bit modular-style multiply and fold */
static u64 bignum(void)
{
	u64 a[32], b[32], r[64], seed = 11;

	for (int i = 0; i < 32; i++) {
		a[i] = wl_random(&seed);
		b[i] = wl_random(&seed);
	}
	for (int round = 0; round < 1500; round++) {
		memset(r, 0, sizeof(r));
		for (int i = 0; i < 32; i++) {
			u64 carry = 0;

			for (int j = 0; j < 32; j++) {
				unsigned __int128 t = (unsigned __int128)a[i] * b[j] + r[i + j] + carry;

				r[i + j] = t;
				carry = t >> 64;
			}
			r[i + 32] = carry;
		}
		for (int i = 0; i < 32; i++)
			a[i] = r[i] ^ r[i + 32];
	}
	return a[0] ^ a[31];
}

static u64 sieve(void)
{
	static u8 composite[131072];
	u64 sum = 0;

	for (int round = 0; round < 4; round++) {
		memset(composite, 0, sizeof(composite));
		for (u32 i = 2; i * i < sizeof(composite); i++)
			if (!composite[i])
				for (u32 j = i * i; j < sizeof(composite); j += i)
					composite[j] = 1;
	}
	for (u32 i = 2; i < sizeof(composite); i++)
		sum += !composite[i] * i;
	return sum;
}

/* byte strings: copy, compare, search, all by hand */
static u64 strings(void)
{
	static char words[512][24];
	u64 seed = 5, sum = 0;

	for (int i = 0; i < 512; i++) {
		int n = 4 + (wl_random(&seed) >> 60);

		for (int k = 0; k < n; k++)
			words[i][k] = 'a' + (wl_random(&seed) >> 40) % 4;
		words[i][n] = 0;
	}
	for (int i = 0; i < 512; i++) {
		for (int j = 0; j < 512; j++) {
			const char *p = words[i], *q = words[j];

			while (*p && *p == *q)
				p++, q++;
			sum += (u8)*p > (u8)*q ? p - words[i] : 1;
		}
	}
	return sum;
}

static inline u32 rotr(u32 x, int n)
{
	return x >> n | x << (32 - n);
}

static u32 sha_k[64];

/* the first 32 bits of the fractions of the cube roots of the first 64 primes, by integer search */
static void sha_setup(void)
{
	int n = 0;

	for (u32 p = 2; n < 64; p++) {
		unsigned __int128 low = 0, high = (unsigned __int128)8 << 32;
		u32 d;

		for (d = 2; d * d <= p && p % d; d++)
			;
		if (d * d <= p)
			continue;
		while (high - low > 1) {
			unsigned __int128 mid = (low + high) / 2;

			if (mid * mid * mid <= (unsigned __int128)p << 96)
				low = mid;
			else
				high = mid;
		}
		sha_k[n++] = (u32)low;
	}
	crc_setup();
}

static void sha_block(u32 *h, const u8 *p)
{
	u32 w[64], s[8];

	for (int i = 0; i < 16; i++)
		w[i] = (u32)p[4 * i] << 24 | p[4 * i + 1] << 16 | p[4 * i + 2] << 8 | p[4 * i + 3];
	for (int i = 16; i < 64; i++)
		w[i] = w[i - 16] + w[i - 7] + (rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ w[i - 15] >> 3) +
			(rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ w[i - 2] >> 10);
	memcpy(s, h, sizeof(s));
	for (int i = 0; i < 64; i++) {
		u32 t1 = s[7] + (rotr(s[4], 6) ^ rotr(s[4], 11) ^ rotr(s[4], 25)) +
			((s[4] & s[5]) ^ (~s[4] & s[6])) + sha_k[i] + w[i];
		u32 t2 = (rotr(s[0], 2) ^ rotr(s[0], 13) ^ rotr(s[0], 22)) +
			((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

		memmove(s + 1, s, 7 * sizeof(u32));
		s[4] += t1;
		s[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		h[i] += s[i];
}

static u64 sha256(void)
{
	u32 h[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};

	for (int round = 0; round < 6; round++)
		for (u32 i = 0; i < sizeof(crc_data); i += 64)
			sha_block(h, crc_data + i);
	return (u64)h[0] << 32 | h[7];
}

/* sums of 1024-bit numbers: carries from one instruction to the next */
static u64 carries(void)
{
	unsigned long long a[16], b[16], seed = 13;

	for (int i = 0; i < 16; i++) {
		a[i] = wl_random((u64 *)&seed);
		b[i] = wl_random((u64 *)&seed);
	}
	for (int round = 0; round < 60000; round++) {
		unsigned char c = 0;

		for (int i = 0; i < 16; i++)
			c = _addcarry_u64(c, a[i], b[i], &a[i]);
		a[0] += c;
		b[round & 15] ^= a[(round + 7) & 15];
	}
	return a[3] ^ a[15];
}

/* x^e modulo m with 128-bit products: multiply and divide */
static u64 power_mod(void)
{
	u64 sum = 0;

	for (u64 base = 2; base < 400; base++) {
		u64 r = 1, x = base, m = 0xfffffffffffffc5ull;

		for (u64 e = 0xfedcba987654321ull; e; e >>= 1) {
			if (e & 1)
				r = (unsigned __int128)r * x % m;
			x = (unsigned __int128)x * x % m;
		}
		sum = wl_mix(sum, r);
	}
	return sum;
}

/* scans, rotations and double shifts */
static u64 bit_scans(void)
{
	u64 x = 0x123456789abcdef1ull, sum = 0;

	for (u32 i = 0; i < 500000; i++) {
		sum += __builtin_ctzll(x | 1ull << 40) + __builtin_clzll(x | 256) * 3;
		x = (x << (i & 31) | x >> (64 - (i & 31) - !(i & 31))) + i;
		x ^= __builtin_bswap64(x) >> 3;
		sum += __builtin_parity((u32)x);
	}
	return sum ^ x;
}

/* minima, maxima and clamps: conditional moves and sets */
static u64 selections(void)
{
	u64 seed = 29, sum = 0;
	long low = 1000, high = -1000;

	for (u32 i = 0; i < 600000; i++) {
		long v = (long)(wl_random(&seed) >> 32) - (1l << 31);
		long c = v < -5000000 ? -5000000 : v > 7000000 ? 7000000 : v;

		low = c < low ? c : low;
		high = c > high ? c : high;
		sum += (v < 0) + (v == c) * 2 + ((u32)v > 77) * 4;
	}
	return sum ^ (u64)low ^ (u64)high << 20;
}

/* a byte-wise compressor: find the last place of each three bytes, count how long they agree */
static u64 compress(void)
{
	static u16 last[4096];
	u32 at = 0, out = 0;
	u64 sum = 0;

	memset(last, 0, sizeof(last));
	for (u32 i = 0; i < sizeof(crc_data); i++)
		crc_data[i] = (i * i >> 7 ^ i >> 3) & 15;
	while (at + 3 < 40000) {
		u32 key = (crc_data[at] | crc_data[at + 1] << 8 | crc_data[at + 2] << 16) * 2654435761u >> 20;
		u32 from = last[key], n = 0;

		last[key] = at;
		while (n < 64 && at + n < 40000 && from + n < at && crc_data[from + n] == crc_data[at + n])
			n++;
		sum = sum * 31 + n + crc_data[at];
		at += n > 2 ? n : 1;
		out++;
	}
	return wl_mix(sum, out);
}

const struct workload wl_integer[] = {
	{ "arith", "integer", arith },
	{ "sort", "integer", sort, sort_setup },
	{ "hash-small", "integer", hash_small },
	{ "crc", "integer", crc, crc_setup },
	{ "divide", "integer", divide },
	{ "bignum", "integer", bignum },
	{ "sieve", "integer", sieve },
	{ "strings", "integer", strings },
	{ "sha256", "integer", sha256, sha_setup },
	{ "carries", "integer", carries },
	{ "power-mod", "integer", power_mod },
	{ "bit-scans", "integer", bit_scans },
	{ "selections", "integer", selections },
	{ "compress", "integer", compress },
	{ NULL },
};
