// Halves read and written, with F16C. Static: see layout.hpp.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "lanes.hpp"

namespace fathom {
namespace {

inline Lane read_lane(const std::uint16_t* from) {
    const auto* source = reinterpret_cast<const __m128i*>(from);
    return by_part([&](int i) {
        return reinterpret_cast<Vector>(_mm256_cvtph_ps(_mm_loadu_si128(source + i)));
    });
}

inline std::uint16_t write_half(float value) {
    return static_cast<std::uint16_t>(
        _mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(value), _MM_FROUND_TO_NEAREST_INT), 0));
}

}  // namespace
}  // namespace fathom
