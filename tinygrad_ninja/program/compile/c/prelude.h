#include <math.h>
#include <stdint.h>
#include <string.h>

/* One of the step's own functions: called from other files where they are compiled side by side. */
#if defined(_WIN32)
#define FUNCTION __attribute__((noinline))
#else
#define FUNCTION __attribute__((noinline, visibility("hidden")))
#endif

/* Functions of the inner loops, as polynomials that a compiler can vectorise. They are within 4 units in the last
   place of the exact values, and treat NaN, infinities and denormal numbers as the C library's do. */

#if defined(__FP_FAST_FMAF) || defined(__FMA__) || defined(__aarch64__)
static inline float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline double fused_d(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else /* ln 2 has two parts, of which the first is short: its product is exact without a fused operation */
static inline float fused(float a, float b, float c) { return a * b + c; }
static inline double fused_d(double a, double b, double c) { return a * b + c; }
#endif

static inline float float_of_bits(int32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline int32_t bits_of_float(float x) { int32_t bits; memcpy(&bits, &x, 4); return bits; }
static inline double double_of_bits(int64_t bits) { double x; memcpy(&x, &bits, 8); return x; }
static inline int64_t bits_of_double(double x) { int64_t bits; memcpy(&bits, &x, 8); return bits; }

/* condition ? a : b, for a condition of one byte that is read from memory: gcc 12 makes vectors of two elements of a
   loop that asks whether such a byte is 0, where it has masks for vectors. */
static inline float select_f(uint8_t condition, float a, float b) {
  int32_t all = -(int32_t)condition;
  return float_of_bits((all & bits_of_float(a)) | (~all & bits_of_float(b)));
}
static inline double select_d(uint8_t condition, double a, double b) {
  int64_t all = -(int64_t)condition;
  return double_of_bits((all & bits_of_double(a)) | (~all & bits_of_double(b)));
}

/* x / ln 2 is rounded to a whole number n by adding this: the sum holds n in its last bits, and it takes no conversion,
   which for 64 bits not all processors have in vectors. */
#define ROUND_F 12582912.0f
#define ROUND_D 6755399441055744.0
static inline int32_t whole_f(float shifted) { return (int32_t)((uint32_t)bits_of_float(shifted) - 0x4b400000u); }
static inline int64_t whole_d(double shifted) { return (int64_t)((uint64_t)bits_of_double(shifted) - 0x4338000000000000u); }
static inline float two_to_f(int32_t n) { return float_of_bits((int32_t)((uint32_t)(n + 127) << 23)); }
static inline double two_to_d(int64_t n) { return double_of_bits((int64_t)((uint64_t)(n + 1023) << 52)); }

/* e^r - 1 for r = x - n ln 2, |r| <= ln 2 / 2. */
static inline float expm1_of_rest_f(float x, float n) {
  float r = fused(n, -0.693359375f, x);
  r = fused(n, 2.12194440e-4f, r);
  float p = fused(fused(fused(fused(0.00139269266f, r, 0.00836377387f), r, 0.0416665501f), r, 0.166665734f), r, 0.5f);
  return fused(p * r, r, r);
}
static inline double expm1_of_rest_d(double x, double n) {
  double r = fused_d(n, -0.693147180369123816490, x);
  r = fused_d(n, -1.90821492927058770002e-10, r);
  double p = fused_d(fused_d(fused_d(fused_d(fused_d(fused_d(fused_d(fused_d(fused_d(2.5101346928350339e-08, r, 2.7621338669142925e-07), r, 2.7557266418612302e-06), r, 2.4801518641395993e-05), r, 0.00019841269864380513), r, 0.0013888888918939168), r, 0.0083333333333297926), r, 0.041666666666620639), r, 0.16666666666666669), r, 0.50000000000000011);
  return fused_d(p * r, r, r);
}

/* e^x = 2^n e^r. 2^n is multiplied in two halves, so that neither overflows. Both are 0 at the lower bound, so that of
   masked scores no product falls below the normal numbers, which takes many times as long. */
static inline float exp_f(float x) {
  float y = x > 90.0f ? 90.0f : x;
  y = y < -176.0f ? -176.0f : y; /* NaN is neither */
  float shifted = fused(y, 1.44269504f, ROUND_F);
  int32_t n = whole_f(shifted), half = n >> 1;
  return (expm1_of_rest_f(y, shifted - ROUND_F) + 1.0f) * two_to_f(half) * two_to_f(n - half);
}
static inline double exp_d(double x) {
  double y = x > 710.0 ? 710.0 : x;
  y = y < -1418.0 ? -1418.0 : y;
  double shifted = fused_d(y, 1.4426950408889634, ROUND_D);
  int64_t n = whole_d(shifted), half = n >> 1;
  return (expm1_of_rest_d(y, shifted - ROUND_D) + 1.0) * two_to_d(half) * two_to_d(n - half);
}

/* ln x = n ln 2 + ln m, with m from sqrt(1/2) to sqrt(2) and ln m = 2 s + s^3 P(s^2), s = (m - 1) / (m + 1). */
static inline float log_f(float x) {
  int tiny = x < 1.17549435e-38f;
  int32_t bits = bits_of_float(tiny ? x * 8388608.0f : x);
  int32_t shifted = (int32_t)((uint32_t)bits - 0x3f3504f3u); /* a negative x wraps */
  int32_t n = shifted >> 23;
  float t = float_of_bits((shifted & 0x7fffff) + 0x3f3504f3) - 1.0f;
  float s = t / (2.0f + t), z = s * s;
  float e = (float)(n - (tiny ? 23 : 0));
  float tail = s * z * fused(fused(fused(0.233535425f, z, 0.285499643f), z, 0.400001295f), z, 0.666666665f);
  float y = fused(e, 0.693359375f, t - (s * t - tail - e * -2.12194440e-4f));
  y = x == 0.0f ? -INFINITY : y;
  y = x < 0.0f ? NAN : y;
  return x < INFINITY ? y : x; /* infinity and NaN are their own logarithms */
}
static inline double log_d(double x) {
  int tiny = x < 2.2250738585072014e-308;
  int64_t bits = bits_of_double(tiny ? x * 18014398509481984.0 : x);
  int64_t shifted = (int64_t)((uint64_t)bits - 0x3fe6a09e667f3bcdULL);
  int64_t n = shifted >> 52;
  double t = double_of_bits((shifted & 0xfffffffffffffLL) + 0x3fe6a09e667f3bcdLL) - 1.0;
  double s = t / (2.0 + t), z = s * s;
  double e = (double)(n - (tiny ? 54 : 0));
  double tail = s * z * fused_d(fused_d(fused_d(fused_d(fused_d(fused_d(fused_d(0.13114976096717038, z, 0.13266035037261051), z, 0.15386342974308154), z, 0.18181793722272505), z, 0.22222222409844039), z, 0.28571428570722829), z, 0.40000000000001013), z, 0.66666666666666663);
  double y = fused_d(e, 0.693147180369123816490, t - (s * t - tail - e * 1.90821492927058770002e-10));
  y = x == 0.0 ? -INFINITY : y;
  y = x < 0.0 ? NAN : y;
  return x < INFINITY ? y : x;
}

/* tanh |x| = e / (e + 2) with e = e^(2 |x|) - 1, which is 2^n (e^r - 1) + (2^n - 1). Beyond the bound it is 1. */
static inline float tanh_f(float x) {
  float y = 2.0f * __builtin_fabsf(x);
  y = y > 20.0f ? 20.0f : y;
  float shifted = fused(y, 1.44269504f, ROUND_F), two_to_n = two_to_f(whole_f(shifted));
  float e = fused(two_to_n, expm1_of_rest_f(y, shifted - ROUND_F), two_to_n - 1.0f);
  return __builtin_copysignf(e / (e + 2.0f), x); /* also of 0 */
}
static inline double tanh_d(double x) {
  double y = 2.0 * __builtin_fabs(x);
  y = y > 42.0 ? 42.0 : y;
  double shifted = fused_d(y, 1.4426950408889634, ROUND_D), two_to_n = two_to_d(whole_d(shifted));
  double e = fused_d(two_to_n, expm1_of_rest_d(y, shifted - ROUND_D), two_to_n - 1.0);
  return __builtin_copysign(e / (e + 2.0), x);
}

/* The integer part. Not to be inlined: gcc would have a number that is made an integer and a number again keep the sign
   of a zero, which an integer has not. */
static __attribute__((noinline)) int32_t int32_of_f(float x) { return (int32_t)x; }
static __attribute__((noinline)) int64_t int64_of_f(float x) { return (int64_t)x; }
static __attribute__((noinline)) int32_t int32_of_d(double x) { return (int32_t)x; }
static __attribute__((noinline)) int64_t int64_of_d(double x) { return (int64_t)x; }

/* Python's % and //: the sign is that of the divisor; of a remainder that is 0.0 that of the dividend, as in PyTorch. */
static inline int64_t mod_i(int64_t a, int64_t b) { int64_t r = b == -1 ? 0 : a % b; return r && (r < 0) != (b < 0) ? r + b : r; }
static inline int64_t div_i(int64_t a, int64_t b) { return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b - (a % b && (a < 0) != (b < 0)); }
static inline float mod_f(float a, float b) { float r = fmodf(a, b); return r != 0.0f && (r < 0.0f) != (b < 0.0f) ? r + b : r; }
static inline double mod_d(double a, double b) { double r = fmod(a, b); return r != 0.0 && (r < 0.0) != (b < 0.0) ? r + b : r; }
static inline int64_t pow_i(int64_t a, int64_t b) {
  uint64_t x = (uint64_t)a, y = 1;
  if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;
  for (; b; b >>= 1, x *= x) if (b & 1) y *= x;
  return (int64_t)y;
}
/* a // b of floats, from the exact remainder, as NumPy has it. */
static inline double floor_divide_d(double a, double b) {
  if (b == 0.0) return a / b;
  double r = fmod(a, b), q = (a - r) / b - (r != 0.0 && (r < 0.0) != (b < 0.0)), whole = floor(q);
  return q == 0.0 ? copysign(0.0, a / b) : q - whole > 0.5 ? whole + 1.0 : whole;
}
static inline float floor_divide_f(float a, float b) {
  if (b == 0.0f) return a / b;
  float r = fmodf(a, b), q = (a - r) / b - (r != 0.0f && (r < 0.0f) != (b < 0.0f)), whole = floorf(q);
  return q == 0.0f ? copysignf(0.0f, a / b) : q - whole > 0.5f ? whole + 1.0f : whole;
}

/* The sum of 16 numbers, by halves. */
typedef float half_f __attribute__((vector_size(32), aligned(4), may_alias));
typedef double half_d __attribute__((vector_size(64), aligned(8), may_alias));
static inline float sum_lanes_f(const float *x) {
  half_f s = *(const half_f *)x + *(const half_f *)(x + 8);
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}
static inline double sum_lanes_d(const double *x) {
  half_d s = *(const half_d *)x + *(const half_d *)(x + 8);
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* Copies a matrix that is read along its columns, four by four elements at once where a column's elements lie one
   after the other. Not to be inlined: gcc would unroll it for each matrix, and take half of its time for that. */
#ifdef __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define FOUR_BY_FOUR
#endif
#endif
#define COPY_TRANSPOSED(type, size) \
  typedef type four_##type __attribute__((vector_size(4 * size), aligned(size), may_alias)); \
  static __attribute__((noinline, unused)) void copy_transposed_##type( \
      type *restrict to, const type *restrict from, int rows, int columns, int64_t step, int64_t row, int64_t column) { \
    int r = 0; \
    BLOCKS_OF(type) \
    for (; r < rows; r++) \
      for (int q = 0; q < columns; q++) \
        to[r * step + q] = from[r * row + q * column]; \
  }
#ifdef FOUR_BY_FOUR
#define BLOCKS_OF(type) \
    for (; row == 1 && r + 4 <= rows; r += 4) { \
      int q = 0; \
      for (; q + 4 <= columns; q += 4) { \
        const type *x = from + r + q * column; \
        type *y = to + r * step + q; \
        four_##type a = *(const four_##type *)x, b = *(const four_##type *)(x + column); \
        four_##type c = *(const four_##type *)(x + 2 * column), d = *(const four_##type *)(x + 3 * column); \
        four_##type ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5); \
        *(four_##type *)y = __builtin_shufflevector(ab, cd, 0, 1, 4, 5); \
        *(four_##type *)(y + step) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7); \
        ab = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd = __builtin_shufflevector(c, d, 2, 6, 3, 7); \
        *(four_##type *)(y + 2 * step) = __builtin_shufflevector(ab, cd, 0, 1, 4, 5); \
        *(four_##type *)(y + 3 * step) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7); \
      } \
      for (; q < columns; q++) \
        for (int i = 0; i < 4; i++) \
          to[(r + i) * step + q] = from[r + i + q * column]; \
    }
#else
#define BLOCKS_OF(type)
#endif
COPY_TRANSPOSED(float, 4)
COPY_TRANSPOSED(double, 8)

/* Where the n numbers at x, each `step` behind the last, stand in their order: the smallest first, equals as they stand,
   NaN last. Runs of 16 are sorted by insertion, and then merged, in the work's two lists of n places. */
#define ORDER(T) \
  static inline int precedes_##T(T a, T b) { return a < b || (b != b && a == a); } \
  static inline void order_##T(const T *x, int64_t step, int64_t *to, int64_t to_step, int64_t n, int64_t *work) { \
    int64_t *now = work, *next = work + n; \
    for (int64_t i = 0; i < n; i++) { \
      int64_t low = i - i % 16, j = i; \
      for (; j > low && precedes_##T(x[i * step], x[now[j - 1] * step]); j--) now[j] = now[j - 1]; \
      now[j] = i; \
    } \
    for (int64_t run = 16; run < n; run *= 2) { \
      for (int64_t low = 0; low < n; low += 2 * run) { \
        int64_t middle = low + run < n ? low + run : n, high = middle + run < n ? middle + run : n; \
        int64_t left = low, right = middle; \
        for (int64_t i = low; i < high; i++) { \
          int from_right = left == middle || (right < high && precedes_##T(x[now[right] * step], x[now[left] * step])); \
          next[i] = from_right ? now[right++] : now[left++]; \
        } \
      } \
      int64_t *before = now; \
      now = next; \
      next = before; \
    } \
    for (int64_t i = 0; i < n; i++) to[i * to_step] = now[i]; \
  }
