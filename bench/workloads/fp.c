// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Floating point and vectors. No libm: its variants per CPU would make the checksums differ. */
#include <immintrin.h>
#include <string.h>

#include "workload.h"

static u64 bits(double d)
{
	u64 u;

	memcpy(&u, &d, sizeof(u));
	return u;
}

static u64 nbody(void)
{
	double p[5][3], v[5][3], m[5];

	for (int i = 0; i < 5; i++) {
		m[i] = 1.0 / (1 + i);
		for (int k = 0; k < 3; k++) {
			p[i][k] = i * 1.5 + k * 0.25;
			v[i][k] = (i - 2) * 0.01 * (k + 1);
		}
	}
	for (int step = 0; step < 12000; step++) {
		for (int i = 0; i < 5; i++) {
			for (int j = i + 1; j < 5; j++) {
				double d[3], d2 = 0.01, mag;

				for (int k = 0; k < 3; k++) {
					d[k] = p[i][k] - p[j][k];
					d2 += d[k] * d[k];
				}
				mag = 0.001 / (d2 * __builtin_sqrt(d2));
				for (int k = 0; k < 3; k++) {
					v[i][k] -= d[k] * m[j] * mag;
					v[j][k] += d[k] * m[i] * mag;
				}
			}
		}
		for (int i = 0; i < 5; i++)
			for (int k = 0; k < 3; k++)
				p[i][k] += 0.001 * v[i][k];
	}
	return bits(p[0][0]) ^ bits(p[4][2]);
}

static double ma[96][96], mb[96][96], mc[96][96];

static void matrix_setup(void)
{
	for (int i = 0; i < 96; i++) {
		for (int j = 0; j < 96; j++) {
			ma[i][j] = (i * 7 + j) % 13 * 0.125;
			mb[i][j] = (i + j * 5) % 11 * 0.25;
		}
	}
}

static u64 matrix(void)
{
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 96; i++) {
			for (int j = 0; j < 96; j++) {
				double s = 0;

				for (int k = 0; k < 96; k++)
					s += ma[i][k] * mb[k][j];
				mc[i][j] = s;
			}
		}
	}
	return bits(mc[5][7]) ^ bits(mc[90][33]);
}

static u64 mandelbrot(void)
{
	u64 sum = 0;

	for (int y = 0; y < 96; y++) {
		for (int x = 0; x < 96; x++) {
			double cr = x / 48.0 - 1.5, ci = y / 48.0 - 1.0, zr = 0, zi = 0;
			int n;

			for (n = 0; n < 300 && zr * zr + zi * zi < 4; n++) {
				double t = zr * zr - zi * zi + cr;

				zi = 2 * zr * zi + ci;
				zr = t;
			}
			sum += n;
		}
	}
	return sum;
}

static float fa[8192] __attribute__((aligned(64))), fb[8192] __attribute__((aligned(64)));
static u8 ba[65536] __attribute__((aligned(64))), bb[65536] __attribute__((aligned(64)));

static void vector_setup(void)
{
	u64 seed = 21;

	for (int i = 0; i < 8192; i++) {
		fa[i] = (i % 37) * 0.5f;
		fb[i] = (i % 29) * 0.25f;
	}
	for (int i = 0; i < 65536; i++) {
		ba[i] = wl_random(&seed) >> 56;
		bb[i] = wl_random(&seed) >> 56;
	}
}

/* dot products and a scaled sum, four floats at a time */
static u64 sse_float(void)
{
	__m128 sum = _mm_setzero_ps();
	float r[4];

	for (int round = 0; round < 300; round++) {
		for (int i = 0; i < 8192; i += 8) {
			__m128 a = _mm_load_ps(fa + i), b = _mm_load_ps(fb + i);
			__m128 c = _mm_load_ps(fa + i + 4), d = _mm_load_ps(fb + i + 4);

			sum = _mm_add_ps(sum, _mm_mul_ps(a, b));
			sum = _mm_max_ps(sum, _mm_sub_ps(c, d));
			sum = _mm_mul_ps(sum, _mm_set1_ps(0.999f));
		}
	}
	_mm_storeu_ps(r, sum);
	return bits(r[0] + r[1] * 2.0 + r[2] * 4.0 + r[3] * 8.0);
}

/* sums of absolute differences, saturating sums and shuffles, sixteen bytes at a time */
static u64 sse_bytes(void)
{
	__m128i sum = _mm_setzero_si128(), mix = _mm_setzero_si128();
	u64 r[2], m[2];

	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 65536; i += 16) {
			__m128i a = _mm_load_si128((__m128i *)(ba + i)), b = _mm_load_si128((__m128i *)(bb + i));

			sum = _mm_add_epi64(sum, _mm_sad_epu8(a, b));
			mix = _mm_xor_si128(_mm_adds_epu8(a, mix), _mm_unpacklo_epi8(b, a));
			mix = _mm_add_epi16(_mm_mullo_epi16(mix, b), _mm_shuffle_epi32(mix, 0x1b));
		}
	}
	_mm_storeu_si128((__m128i *)r, sum);
	_mm_storeu_si128((__m128i *)m, mix);
	return wl_mix(wl_mix(r[0], r[1]), m[0] ^ m[1]);
}

__attribute__((target("avx2,fma"))) static u64 avx2_fma(void)
{
	__m256 sum = _mm256_setzero_ps(), scale = _mm256_set1_ps(0.5f);
	float r[8];
	double all = 0;

	for (int round = 0; round < 500; round++)
		for (int i = 0; i < 8192; i += 8)
			sum = _mm256_fmadd_ps(_mm256_mul_ps(sum, scale), scale,
					      _mm256_mul_ps(_mm256_load_ps(fa + i), _mm256_load_ps(fb + i)));
	_mm256_storeu_ps(r, sum);
	for (int i = 0; i < 8; i++)
		all = all * 3 + r[i];
	return bits(all);
}

__attribute__((target("avx2"))) static u64 avx2_int(void)
{
	__m256i sum = _mm256_setzero_si256(), idx = _mm256_set_epi32(3, 6, 0, 5, 1, 7, 2, 4);
	u64 r[4];

	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 65536; i += 32) {
			__m256i a = _mm256_load_si256((__m256i *)(ba + i)), b = _mm256_load_si256((__m256i *)(bb + i));
			__m256i low = _mm256_shuffle_epi8(a, _mm256_and_si256(b, _mm256_set1_epi8(15)));

			sum = _mm256_add_epi32(_mm256_permutevar8x32_epi32(sum, idx), _mm256_maddubs_epi16(low, b));
			sum = _mm256_xor_si256(sum, _mm256_srli_epi32(sum, 7));
		}
	}
	_mm256_storeu_si256((__m256i *)r, sum);
	return wl_mix(wl_mix(r[0], r[1]), wl_mix(r[2], r[3]));
}

/* The SHA-256 rounds as the SHA extensions do them; constants and messages are arbitrary. */
__attribute__((target("sha,sse4.1"))) static u64 sha_ni(void)
{
	__m128i s0 = _mm_set1_epi32(0x6a09e667), s1 = _mm_set1_epi32(0x510e527f);
	u64 r[2];

	for (int round = 0; round < 24; round++) {
		for (int i = 0; i < 65536; i += 64) {
			__m128i w[4], k = _mm_set1_epi32(0x428a2f98);

			for (int j = 0; j < 4; j++)
				w[j] = _mm_load_si128((__m128i *)(ba + i + 16 * j));
			for (int j = 0; j < 16; j++) {
				__m128i t = _mm_add_epi32(w[0], k);

				s1 = _mm_sha256rnds2_epu32(s1, s0, t);
				s0 = _mm_sha256rnds2_epu32(s0, s1, _mm_shuffle_epi32(t, 0x0e));
				t = _mm_add_epi32(_mm_sha256msg1_epu32(w[0], w[1]), _mm_alignr_epi8(w[3], w[2], 4));
				w[0] = w[1];
				w[1] = w[2];
				w[2] = w[3];
				w[3] = _mm_sha256msg2_epu32(t, w[3]);
			}
		}
	}
	_mm_storeu_si128((__m128i *)r, _mm_xor_si128(s0, s1));
	return wl_mix(r[0], r[1]);
}

__attribute__((target("aes"))) static u64 aes(void)
{
	__m128i key = _mm_set1_epi32(0x2b7e1516), sum = _mm_setzero_si128();
	u64 r[2];

	for (int round = 0; round < 24; round++) {
		for (int i = 0; i < 65536; i += 16) {
			__m128i x = _mm_xor_si128(_mm_load_si128((__m128i *)(ba + i)), sum);

			for (int j = 0; j < 9; j++)
				x = _mm_aesenc_si128(x, key);
			sum = _mm_aesenclast_si128(x, key);
		}
	}
	_mm_storeu_si128((__m128i *)r, sum);
	return wl_mix(r[0], r[1]);
}

/* the matrix product again, four doubles at a time */
__attribute__((target("avx2,fma"))) static u64 avx2_matrix(void)
{
	for (int round = 0; round < 12; round++) {
		for (int i = 0; i < 96; i++) {
			for (int j = 0; j < 96; j += 8) {
				__m256d s = _mm256_setzero_pd(), t = _mm256_setzero_pd();

				for (int k = 0; k < 96; k++) {
					__m256d a = _mm256_broadcast_sd(&ma[i][k]);

					s = _mm256_fmadd_pd(a, _mm256_loadu_pd(&mb[k][j]), s);
					t = _mm256_fmadd_pd(a, _mm256_loadu_pd(&mb[k][j + 4]), t);
				}
				_mm256_storeu_pd(&mc[i][j], s);
				_mm256_storeu_pd(&mc[i][j + 4], t);
			}
		}
	}
	return bits(mc[5][7]) ^ bits(mc[90][33]);
}

__attribute__((target("avx2,fma"))) static u64 avx2_mandelbrot(void)
{
	u64 sum = 0;

	for (int y = 0; y < 96; y++) {
		for (int x = 0; x < 96; x += 4) {
			__m256d cr = _mm256_div_pd(_mm256_set_pd(x + 3, x + 2, x + 1, x), _mm256_set1_pd(48));
			__m256d ci = _mm256_set1_pd(y / 48.0 - 1), zr = _mm256_setzero_pd(), zi = zr, four = _mm256_set1_pd(4);

			cr = _mm256_sub_pd(cr, _mm256_set1_pd(1.5));
			for (int n = 0; n < 200; n++) {
				__m256d a = _mm256_mul_pd(zr, zr), b = _mm256_mul_pd(zi, zi);
				int in = _mm256_movemask_pd(_mm256_cmp_pd(_mm256_add_pd(a, b), four, _CMP_LT_OQ));

				if (!in)
					break;
				sum += __builtin_popcount(in);
				zi = _mm256_fmadd_pd(_mm256_add_pd(zr, zr), zi, ci);
				zr = _mm256_add_pd(_mm256_sub_pd(a, b), cr);
			}
		}
	}
	return sum;
}

/* a filter over 16-bit samples */
__attribute__((target("avx2"))) static u64 avx2_filter(void)
{
	static short out[32768];
	__m256i tap = _mm256_set1_epi16(181), round16 = _mm256_set1_epi32(1 << 14);
	u64 sum = 0;

	for (int round = 0; round < 60; round++) {
		for (int i = 0; i + 64 < 65536; i += 32) {
			__m256i a = _mm256_loadu_si256((__m256i *)(ba + i)), b = _mm256_loadu_si256((__m256i *)(ba + i + 2));
			__m256i low = _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), tap);
			__m256i high = _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), tap);

			low = _mm256_srai_epi32(_mm256_add_epi32(low, round16), 15);
			high = _mm256_srai_epi32(_mm256_add_epi32(high, round16), 15);
			_mm256_storeu_si256((__m256i *)(out + i / 2), _mm256_packs_epi32(low, high));
		}
	}
	for (int i = 0; i < 32768; i += 511)
		sum = wl_mix(sum, (u16)out[i]);
	return sum;
}

/* quarter rounds of a stream cipher on four lanes: add, xor, rotate */
static u64 sse_cipher(void)
{
	__m128i a = _mm_set_epi32(4, 3, 2, 1), b = _mm_set1_epi32(0x61707865), c = _mm_set1_epi32(0x3320646e), d = a;
	u64 r[2];

#define ROTATE(v, n) _mm_or_si128(_mm_slli_epi32(v, n), _mm_srli_epi32(v, 32 - (n)))
	for (int i = 0; i < 100000; i++) {
		a = _mm_add_epi32(a, b);
		d = ROTATE(_mm_xor_si128(d, a), 16);
		c = _mm_add_epi32(c, d);
		b = ROTATE(_mm_xor_si128(b, c), 12);
		a = _mm_add_epi32(a, b);
		d = ROTATE(_mm_xor_si128(d, a), 8);
		c = _mm_add_epi32(c, d);
		b = ROTATE(_mm_xor_si128(b, c), 7);
		b = _mm_shuffle_epi32(b, 0x39);
	}
#undef ROTATE
	_mm_storeu_si128((__m128i *)r, _mm_xor_si128(_mm_xor_si128(a, b), _mm_xor_si128(c, d)));
	return wl_mix(r[0], r[1]);
}

/* look for bytes, sixteen at a time */
static u64 sse_scan(void)
{
	u64 sum = 0;

	for (int round = 0; round < 120; round++) {
		__m128i want = _mm_set1_epi8(round * 7);

		for (int i = 0; i < 65536; i += 16)
			sum += _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_load_si128((__m128i *)(ba + i)), want));
	}
	return sum;
}

static u64 sse_double(void)
{
	__m128d x = _mm_set_pd(0.3, 0.7), y = _mm_set_pd(1.1, 0.9), one = _mm_set1_pd(1.0), k = _mm_set1_pd(0.5);
	double r[2];

	for (int i = 0; i < 150000; i++) {
		__m128d s = _mm_sqrt_pd(_mm_add_pd(_mm_mul_pd(x, x), one));

		y = _mm_add_pd(_mm_mul_pd(y, k), _mm_div_pd(one, s));
		x = _mm_sub_pd(_mm_max_pd(x, y), _mm_mul_pd(_mm_min_pd(x, y), k));
		x = _mm_shuffle_pd(x, x, 1);
	}
	_mm_storeu_pd(r, _mm_add_pd(x, y));
	return bits(r[0]) ^ bits(r[1]) >> 1;
}

static u64 x87(void)
{
	volatile long double seed = 1.25L;
	long double x = seed, y = 0.5L, sum = 0;

	for (int i = 1; i < 150000; i++) {
		x = x * 0.75L + y / i;
		y = (y + x) * 0.5L;
		sum += x - y;
	}
	return bits((double)sum);
}

const struct workload wl_fp[] = {
	{ "nbody", "fp", nbody },
	{ "matrix", "fp", matrix, matrix_setup },
	{ "mandelbrot", "fp", mandelbrot },
	{ "x87", "fp", x87 },
	{ "sse-float", "fp", sse_float, vector_setup },
	{ "sse-double", "fp", sse_double },
	{ "sse-bytes", "fp", sse_bytes, vector_setup },
	{ "sse-cipher", "fp", sse_cipher },
	{ "sse-scan", "fp", sse_scan, vector_setup },
	{ "avx2-fma", "fp", avx2_fma, vector_setup, WL_AVX2 },
	{ "avx2-matrix", "fp", avx2_matrix, matrix_setup, WL_AVX2 },
	{ "avx2-mandel", "fp", avx2_mandelbrot, NULL, WL_AVX2 },
	{ "avx2-filter", "fp", avx2_filter, vector_setup, WL_AVX2 },
	{ "avx2-int", "fp", avx2_int, vector_setup, WL_AVX2 },
	{ "sha-ni", "fp", sha_ni, vector_setup, WL_SHA },
	{ "aes-ni", "fp", aes, vector_setup, WL_AES },
	{ NULL },
};
