// Halves read and written, with NEON, whose half-precision type converts by itself. Static: see layout.hpp.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

#include "lanes.hpp"

namespace fathom {
namespace {

inline Lane read_lane(const std::uint16_t* from) {
    return by_part([&](int i) {
        float16x4_t halves;
        std::memcpy(&halves, from + i * vector_numbers, sizeof halves);
        return reinterpret_cast<Vector>(vcvt_f32_f16(halves));
    });
}

inline std::uint16_t write_half(float value) {
    const __fp16 half = value;
    std::uint16_t bits;
    std::memcpy(&bits, &half, sizeof bits);
    return bits;
}

}  // namespace
}  // namespace fathom
