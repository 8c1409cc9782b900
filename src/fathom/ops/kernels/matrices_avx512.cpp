// Products with AVX-512: VPDPBUSD for bytes, VDPBF16PS for bfloat16 where the processor has it.
// Compiled for these instructions; nothing here runs before cpu.cpp has seen them.
#include <immintrin.h>

#include "products.hpp"
#include "quantising.hpp"

namespace fathom {
namespace {

template <bool has_bfloat16>
struct Avx512 {
    using Integers = __m512i;  // 16 rows
    using Floats = __m512;
    using Bytes = __m512i;  // 16 rows of four columns
    static constexpr int panels = 2;
    static constexpr int tokens = 8;
    static constexpr bool wide_is_unsigned = true;
    static constexpr std::int64_t prefetch_distance = 3072;

    static Floats zero() { return _mm512_setzero_ps(); }
    static Floats all(const float& value) { return _mm512_set1_ps(value); }
    static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
    static Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
    static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
    static Floats numbers(Integers a) { return _mm512_cvtepi32_ps(a); }

    static Bytes load(const std::uint8_t* bytes) { return _mm512_loadu_si512(bytes); }
    static Bytes four(const std::int8_t* values) {
        std::int32_t lane;
        __builtin_memcpy(&lane, values, sizeof lane);
        return _mm512_set1_epi32(lane);
    }
    template <int high>
    static Bytes nibble(Bytes bytes) {
        const Bytes shifted = high ? _mm512_srli_epi16(bytes, 4) : bytes;
        return _mm512_and_si512(shifted, _mm512_set1_epi8(15));
    }
    // `width` bits from `position` on become bits 4 and up of the nibble.
    template <int position, int width>
    static Bytes with_bits(Bytes nibble, Bytes rest) {
        const Bytes shifted = position < 4
                                  ? _mm512_slli_epi16(rest, position < 4 ? 4 - position : 0)
                                  : _mm512_srli_epi16(rest, position < 4 ? 0 : position - 4);
        const Bytes mask = _mm512_set1_epi8(((1 << width) - 1) << 4);
        return _mm512_ternarylogic_epi32(nibble, shifted, mask, 0xf8);  // nibble | (shifted & mask)
    }
    template <bool wide>
    static Integers dot(Integers sum, Bytes weights, Bytes activations) {
        return _mm512_dpbusd_epi32(sum, weights, activations);
    }
    // A power of two, or zero, times an integer, for all rows.
    template <int power>
    static Integers times_power(const std::int32_t& value) {
        if constexpr (power == 0) return _mm512_setzero_si512();
        return _mm512_slli_epi32(_mm512_set1_epi32(value), __builtin_ctz(power));
    }

    static Floats halves(const std::uint8_t* bytes) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes)));
    }
    static Floats unsigned_bytes(const std::uint8_t* bytes) {
        return _mm512_cvtepi32_ps(
            _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes))));
    }
    static Floats signed_bytes(const std::uint8_t* bytes) {
        return _mm512_cvtepi32_ps(
            _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes))));
    }

    template <Encoding encoding>
    static Floats plain(Floats sum, const std::uint8_t* weights, const std::uint8_t* x) {
        if constexpr (encoding == Encoding::BF16) {
            return pair(sum, _mm512_loadu_si512(weights),
                        four(reinterpret_cast<const std::int8_t*>(x)));
        } else {
            float value;
            __builtin_memcpy(&value, x, sizeof value);
            const Floats row =
                encoding == Encoding::F16 ? halves(weights) : _mm512_loadu_ps(weights);
            return multiply_add(row, _mm512_set1_ps(value), sum);
        }
    }
    static Floats pair(Floats sum, __m512i weights, __m512i x) {
        if constexpr (has_bfloat16) {
            return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(weights),
                                    reinterpret_cast<__m512bh>(x));
        }
        const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000U));
        const Floats first = _mm512_castsi512_ps(_mm512_slli_epi32(weights, 16));
        const Floats second = _mm512_castsi512_ps(_mm512_and_si512(weights, upper));
        sum = multiply_add(first, _mm512_castsi512_ps(_mm512_slli_epi32(x, 16)), sum);
        return multiply_add(second, _mm512_castsi512_ps(_mm512_and_si512(x, upper)), sum);
    }

    static void quantise(const float* x, ActivationBlock& block) {
        const __m512i magnitude = _mm512_set1_epi32(magnitude_bits);
        const Floats first = _mm512_loadu_ps(x), second = _mm512_loadu_ps(x + panel_rows);
        const __m512i most =
            _mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(first), magnitude),
                             _mm512_and_si512(_mm512_castps_si512(second), magnitude));
        const Floats inverse = _mm512_set1_ps(inverse_scale(_mm512_reduce_max_epu32(most), block));
        if (_mm512_cvtss_f32(inverse) == 0) return;
        const Integers low = _mm512_cvtps_epi32(_mm512_mul_ps(first, inverse));  // ties to even
        const Integers high = _mm512_cvtps_epi32(_mm512_mul_ps(second, inverse));
        auto* values = reinterpret_cast<__m128i*>(block.values);
        _mm_store_si128(values, _mm512_cvtepi32_epi8(low));
        _mm_store_si128(values + 1, _mm512_cvtepi32_epi8(high));
        note_sums(_mm512_reduce_add_epi32(low), _mm512_reduce_add_epi32(high), block);
    }

    // 32 values → bfloat16. What is too small for a normal number becomes zero, as it would be in
    // the product.
    static void round(const float* x, std::uint8_t* block)
        requires has_bfloat16
    {
        const auto both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + panel_rows), _mm512_loadu_ps(x));
        _mm512_store_si512(block, reinterpret_cast<__m512i>(both));
    }

    static void store(float* place, Floats values, int from, int to) {
        const auto mask = static_cast<__mmask16>((1U << to) - (1U << from));
        _mm512_mask_storeu_ps(place, mask, values);
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

extern const Kernels avx512_bfloat16_kernels = {
    "avx512-vnni-bf16", "", multiply_packed<Avx512<true>>, quantise_tokens<Avx512<true>>};
extern const Kernels avx512_kernels = {"avx512-vnni", "", multiply_packed<Avx512<false>>,
                                       quantise_tokens<Avx512<false>>};

}  // namespace fathom
