// 16-bit floats as numbers, for processors without an instruction for it. Static: see layout.hpp.
#pragma once

#include <cstdint>
#include <cstring>

namespace fathom {

[[maybe_unused]] static inline float from_bits(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

[[maybe_unused]] static inline std::uint32_t to_bits(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

// A number as bfloat16 holds it: the nearest, ties to even.
[[maybe_unused]] static inline float as_bfloat16(float value) {
    const std::uint32_t bits = to_bits(value);
    return from_bits((bits + 0x7fffU + (bits >> 16 & 1U)) & 0xffff0000U);
}

// float16 → float32, exactly (IEEE 754). The exponent is moved by a product with 2^112, which is
// right for subnormal numbers too; infinities and not-a-numbers have their exponent put back.
[[maybe_unused]] static inline float from_half(std::uint16_t half) {
    const std::uint32_t magnitude = static_cast<std::uint32_t>(half & 0x7fff) << 13;
    const float scaled = from_bits(magnitude) * 0x1p112F;
    const std::uint32_t special = (half & 0x7c00) == 0x7c00 ? 0x7f800000U : 0U;
    return from_bits(to_bits(scaled) | special | static_cast<std::uint32_t>(half & 0x8000) << 16);
}

}  // namespace fathom
