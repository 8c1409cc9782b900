// Products with NEON: four registers for 16 rows. What a file that includes it is compiled for
// decides how bytes are multiplied: by SDOT and BFDOT where there are such instructions, else by
// those that every 64-bit ARM processor has. Everything is in an unnamed namespace: see
// products.hpp.
//
// SMMLA (i8mm) is not used: it takes eight columns of two rows, and panels hold four of sixteen.
#pragma once

#include <arm_neon.h>

#include "products.hpp"
#include "quantising.hpp"

namespace fathom {
namespace {

struct Neon {
    template <class Register>
    struct Rows {
        Register at[4];  // rows 0 to 3, 4 to 7, 8 to 11, 12 to 15
    };
    using Integers = Rows<int32x4_t>;
    using Floats = Rows<float32x4_t>;
    using Bytes = Rows<uint8x16_t>;
    using Four = int8x16_t;
    static constexpr int panels = 1;
    static constexpr int tokens = 4;
    static constexpr bool wide_is_unsigned = false;
    static constexpr std::int64_t prefetch_distance = 3072;

    template <class Result, class Work>
    static Result each(const Work& work) {
        return {work(0), work(1), work(2), work(3)};
    }

    static Floats zero() { return all(0); }
    static Floats all(float value) {
        return each<Floats>([&](int) { return vdupq_n_f32(value); });
    }
    static Floats multiply(const Floats& a, const Floats& b) {
        return each<Floats>([&](int part) { return vmulq_f32(a.at[part], b.at[part]); });
    }
    static Floats multiply_add(const Floats& a, const Floats& b, const Floats& c) {
        return each<Floats>([&](int part) { return vfmaq_f32(c.at[part], a.at[part], b.at[part]); });
    }
    static Floats numbers(const Integers& a) {
        return each<Floats>([&](int part) { return vcvtq_f32_s32(a.at[part]); });
    }

    static Bytes load(const std::uint8_t* bytes) {
        return each<Bytes>([&](int part) { return vld1q_u8(bytes + 16 * part); });
    }
    static Four four(const std::int8_t* values) {
        std::int32_t lane;
        std::memcpy(&lane, values, sizeof lane);
        return vreinterpretq_s8_s32(vdupq_n_s32(lane));
    }
    template <int high>
    static Bytes nibble(const Bytes& bytes) {
        return each<Bytes>([&](int part) {
            if constexpr (high) return vshrq_n_u8(bytes.at[part], 4);
            return vandq_u8(bytes.at[part], vdupq_n_u8(15));
        });
    }
    // `width` bits from `position` on become bits 4 and up of the nibble.
    template <int position, int width>
    static Bytes with_bits(const Bytes& nibble, const Bytes& rest) {
        const uint8x16_t mask = vdupq_n_u8(((1 << width) - 1) << 4);
        return each<Bytes>([&](int part) {
            uint8x16_t moved = rest.at[part];
            if constexpr (position < 4) moved = vshlq_n_u8(moved, 4 - position);
            if constexpr (position > 4) moved = vshrq_n_u8(moved, position - 4);
            return vbslq_u8(mask, moved, nibble.at[part]);
        });
    }
    // Values below 64 are the same without a sign; those of eight bits lie 128 above theirs.
    template <bool wide>
    static Integers dot(const Integers& sum, const Bytes& weights, Four x) {
        return each<Integers>([&](int part) {
            const uint8x16_t bytes = weights.at[part];
            const uint8x16_t exact = wide ? veorq_u8(bytes, vdupq_n_u8(128)) : bytes;
            return dot_four(sum.at[part], vreinterpretq_s8_u8(exact), x);
        });
    }
    static int32x4_t dot_four(int32x4_t sum, int8x16_t weights, int8x16_t x) {
#if defined(__ARM_FEATURE_DOTPROD)
        return vdotq_s32(sum, weights, x);
#else
        // Two products fit in 16 bits, as 128 · 127 · 2 < 2^15.
        const int16x8_t low = vmull_s8(vget_low_s8(weights), vget_low_s8(x));
        const int16x8_t high = vmull_high_s8(weights, x);
        return vpadalq_s16(sum, vpaddq_s16(low, high));
#endif
    }
    // A power of two, or zero, times an integer, for all rows.
    template <int power>
    static Integers times_power(std::int32_t value) {
        return each<Integers>([&](int) { return vdupq_n_s32(power * value); });
    }

    static Floats halves(const std::uint8_t* bytes) {
        return each<Floats>([&](int part) {
            const uint8x8_t four = vld1_u8(bytes + 8 * part);
            return vcvt_f32_f16(vreinterpret_f16_u8(four));
        });
    }
    static Floats unsigned_bytes(const std::uint8_t* bytes) {
        const uint8x16_t rows = vld1q_u8(bytes);
        const uint16x8_t low = vmovl_u8(vget_low_u8(rows)), high = vmovl_high_u8(rows);
        return {vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_high_u16(low)),
                vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_high_u16(high))};
    }
    static Floats signed_bytes(const std::uint8_t* bytes) {
        const int8x16_t rows = vreinterpretq_s8_u8(vld1q_u8(bytes));
        const int16x8_t low = vmovl_s8(vget_low_s8(rows)), high = vmovl_high_s8(rows);
        return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
                vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))};
    }

    template <Encoding encoding>
    static Floats plain(const Floats& sum, const std::uint8_t* weights, const std::uint8_t* x) {
        if constexpr (encoding == Encoding::BF16) {
            const auto value = vreinterpretq_u8_s8(four(reinterpret_cast<const std::int8_t*>(x)));
            const Bytes row = load(weights);
            return each<Floats>([&](int part) { return pair(sum.at[part], row.at[part], value); });
        } else {
            float value;
            std::memcpy(&value, x, sizeof value);
            const Floats row = encoding == Encoding::F16 ? halves(weights) : floats(weights);
            return multiply_add(row, all(value), sum);
        }
    }
    static Floats floats(const std::uint8_t* bytes) {
        const Bytes loaded = load(bytes);
        return each<Floats>([&](int part) { return vreinterpretq_f32_u8(loaded.at[part]); });
    }
    static float32x4_t pair(float32x4_t sum, uint8x16_t weights, uint8x16_t x) {
#if defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
        return vbfdotq_f32(sum, vreinterpretq_bf16_u8(weights), vreinterpretq_bf16_u8(x));
#else
        sum = vfmaq_f32(sum, first(weights), first(x));
        return vfmaq_f32(sum, second(weights), second(x));
#endif
    }
    // bfloat16 is the upper half of a float32: the first of two columns lies in the lower bits.
    static float32x4_t first(uint8x16_t pairs) {
        return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_u8(pairs), 16));
    }
    static float32x4_t second(uint8x16_t pairs) {
        return vreinterpretq_f32_u32(
            vandq_u32(vreinterpretq_u32_u8(pairs), vdupq_n_u32(0xffff0000U)));
    }

    static void quantise(const float* x, ActivationBlock& block) { quantise_block(x, block); }

    static void store(float* place, const Floats& values, int from, int to) {
        float rows[panel_rows];
        float* all = from == 0 && to == panel_rows ? place : rows;
        for (int part = 0; part < 4; ++part) vst1q_f32(all + 4 * part, values.at[part]);
        if (all == place) return;
        for (int row = from; row < to; ++row) place[row] = rows[row];
    }
    // What is needed soon goes to the nearest cache, what comes later to the one behind.
    template <std::int64_t bytes, bool soon>
    static void prefetch(const std::uint8_t* place) {
        for (std::int64_t line = 0; line < bytes; line += alignment) {
            __builtin_prefetch(place + line, 0, soon ? 3 : 2);
        }
    }
};

}  // namespace
}  // namespace fathom
