// Products with AVX2, for processors without byte products in AVX-512: two registers for 16 rows.
// Compiled for these instructions; nothing here runs before cpu.cpp has seen them.
#include <immintrin.h>

#include "products.hpp"
#include "quantising.hpp"

namespace fathom {
namespace {

struct Avx2 {
    struct Integers {
        __m256i low, high;  // rows 0 to 7, and 8 to 15
    };
    struct Floats {
        __m256 low, high;
    };
    using Bytes = Integers;
    static constexpr int panels = 1;
    static constexpr int tokens = 4;
    static constexpr bool wide_is_unsigned = false;
    static constexpr std::int64_t prefetch_distance = 3072;

    static Floats both(__m256 value) { return {value, value}; }
    static Integers both(__m256i value) { return {value, value}; }
    static Floats zero() { return both(_mm256_setzero_ps()); }
    static Floats all(const float& value) { return both(_mm256_set1_ps(value)); }
    static Floats add(Floats a, Floats b) {
        return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
    }
    static Floats multiply(Floats a, Floats b) {
        return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
    }
    static Floats multiply_add(Floats a, Floats b, Floats c) {
        return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
    }
    static Floats numbers(Integers a) {
        return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)};
    }

    static Bytes load(const std::uint8_t* bytes) {
        const auto* lanes = reinterpret_cast<const __m256i*>(bytes);
        return {_mm256_loadu_si256(lanes), _mm256_loadu_si256(lanes + 1)};
    }
    static Bytes four(const std::int8_t* values) {
        std::int32_t lane;
        __builtin_memcpy(&lane, values, sizeof lane);
        return both(_mm256_set1_epi32(lane));
    }
    template <int high>
    static Bytes nibble(Bytes bytes) {
        const __m256i mask = _mm256_set1_epi8(15);
        if constexpr (high) {
            bytes = {_mm256_srli_epi16(bytes.low, 4), _mm256_srli_epi16(bytes.high, 4)};
        }
        return {_mm256_and_si256(bytes.low, mask), _mm256_and_si256(bytes.high, mask)};
    }
    // `width` bits from `position` on become bits 4 and up of the nibble.
    template <int position, int width>
    static Bytes with_bits(Bytes nibble, Bytes rest) {
        return {joined<position, width>(nibble.low, rest.low),
                joined<position, width>(nibble.high, rest.high)};
    }
    template <int position, int width>
    static __m256i joined(__m256i nibble, __m256i rest) {
        const __m256i mask = _mm256_set1_epi8(((1 << width) - 1) << 4);
        if constexpr (position < 4) {
            rest = _mm256_slli_epi16(rest, 4 - position);
        } else {
            rest = _mm256_srli_epi16(rest, position - 4);
        }
        return _mm256_or_si256(nibble, _mm256_and_si256(rest, mask));
    }
    template <bool wide>
    static Integers dot(Integers sum, Bytes weights, Bytes activations) {
        return {dot_half<wide>(sum.low, weights.low, activations.low),
                dot_half<wide>(sum.high, weights.high, activations.high)};
    }
    // VPMADDUBSW adds two products in 16 bits: enough for 6-bit weights, and for 8-bit ones once
    // their sign has moved to the activation, as 128 · 127 · 2 < 2^15.
    template <bool wide>
    static __m256i dot_half(__m256i sum, __m256i weights, __m256i activations) {
        if constexpr (wide) {
            const __m256i exact = _mm256_xor_si256(weights, _mm256_set1_epi8(-128));
            activations = _mm256_sign_epi8(activations, exact);
            weights = _mm256_abs_epi8(exact);
        }
        const __m256i pairs = _mm256_maddubs_epi16(weights, activations);
        return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
    }
    // A power of two, or zero, times an integer, for all rows.
    template <int power>
    static Integers times_power(const std::int32_t& value) {
        if constexpr (power == 0) {
            return both(_mm256_setzero_si256());
        } else {
            return both(_mm256_slli_epi32(_mm256_set1_epi32(value), __builtin_ctz(power)));
        }
    }

    static Floats halves(const std::uint8_t* bytes) {
        const auto* lanes = reinterpret_cast<const __m128i*>(bytes);
        return {_mm256_cvtph_ps(_mm_loadu_si128(lanes)),
                _mm256_cvtph_ps(_mm_loadu_si128(lanes + 1))};
    }
    static Floats unsigned_bytes(const std::uint8_t* bytes) {
        return numbers(
            {_mm256_cvtepu8_epi32(eight(bytes)), _mm256_cvtepu8_epi32(eight(bytes + 8))});
    }
    static Floats signed_bytes(const std::uint8_t* bytes) {
        return numbers(
            {_mm256_cvtepi8_epi32(eight(bytes)), _mm256_cvtepi8_epi32(eight(bytes + 8))});
    }
    static __m128i eight(const std::uint8_t* bytes) {
        return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
    }

    template <Encoding encoding>
    static Floats plain(Floats sum, const std::uint8_t* weights, const std::uint8_t* x) {
        if constexpr (encoding == Encoding::BF16) {
            const Bytes row = load(weights), value = four(reinterpret_cast<const std::int8_t*>(x));
            return multiply_add(second(row), second(value),
                                multiply_add(first(row), first(value), sum));
        } else {
            float value;
            __builtin_memcpy(&value, x, sizeof value);
            const auto* numbers = reinterpret_cast<const float*>(weights);
            const Floats row = encoding == Encoding::F16
                                   ? halves(weights)
                                   : Floats{_mm256_loadu_ps(numbers), _mm256_loadu_ps(numbers + 8)};
            return multiply_add(row, all(value), sum);
        }
    }
    // bfloat16 is the upper half of a float32: the first of two columns lies in the lower bits.
    static Floats first(Bytes pairs) {
        return {_mm256_castsi256_ps(_mm256_slli_epi32(pairs.low, 16)),
                _mm256_castsi256_ps(_mm256_slli_epi32(pairs.high, 16))};
    }
    static Floats second(Bytes pairs) {
        const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000U));
        return {_mm256_castsi256_ps(_mm256_and_si256(pairs.low, upper)),
                _mm256_castsi256_ps(_mm256_and_si256(pairs.high, upper))};
    }

    static void quantise(const float* x, ActivationBlock& block) { quantise_block(x, block); }

    static void store(float* place, Floats values, int from, int to) {
        if (from == 0 && to == panel_rows) {
            _mm256_storeu_ps(place, values.low);
            _mm256_storeu_ps(place + 8, values.high);
            return;
        }
        alignas(32) float rows[panel_rows];
        _mm256_store_ps(rows, values.low);
        _mm256_store_ps(rows + 8, values.high);
        for (int row = from; row < to; ++row) place[row] = rows[row];
    }
    // What is needed soon goes to the nearest cache, what comes later to the one behind.
    template <std::int64_t bytes, bool soon>
    static void prefetch(const std::uint8_t* place) {
        for (std::int64_t line = 0; line < bytes; line += alignment) {
            _mm_prefetch(reinterpret_cast<const char*>(place + line),
                         soon ? _MM_HINT_T0 : _MM_HINT_T1);
        }
    }
};

}  // namespace

extern const Kernels avx2_kernels = {"avx2", "", multiply_packed<Avx2>, quantise_tokens<Avx2>};

}  // namespace fathom
