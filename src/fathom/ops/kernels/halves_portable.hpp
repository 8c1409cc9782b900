// Halves read and written, for any processor. Static: see layout.hpp.
#pragma once

#include "floats.hpp"
#include "lanes.hpp"

namespace fathom {
namespace {

inline Lane read_lane(const std::uint16_t* from) {
    return by_part([&](int i) {
        Vector numbers;
        for (int own = 0; own < vector_numbers; ++own) {
            numbers[own] = from_half(from[i * vector_numbers + own]);
        }
        return numbers;
    });
}

// Rounds to the nearest half, ties to even; beyond the largest there is infinity.
inline std::uint16_t write_half(float value) {
    const std::uint32_t bits = to_bits(value);
    const std::uint32_t sign = bits >> 16 & 0x8000U;
    const std::uint32_t magnitude = bits & 0x7fffffffU;
    if (magnitude > 0x7f800000U) return static_cast<std::uint16_t>(sign | 0x7e00U);
    if (magnitude >= 0x47800000U) return static_cast<std::uint16_t>(sign | 0x7c00U);
    if (magnitude < 0x38800000U) {  // subnormal: adding 0.5 leaves the half's bits at the end
        const float shifted = from_bits(magnitude) + 0.5F;
        return static_cast<std::uint16_t>(sign | (to_bits(shifted) - 0x3f000000U));
    }
    const std::uint32_t odd = magnitude >> 13 & 1U;
    return static_cast<std::uint16_t>(sign | (magnitude - 0x38000000U + 0xfffU + odd) >> 13);
}

}  // namespace
}  // namespace fathom
