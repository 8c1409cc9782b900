// Halves read and written, with AVX-512. Static: see layout.hpp.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "lanes.hpp"

namespace fathom {
namespace {

inline Lane read_lane(const std::uint16_t* from) {
    return by_part([&](int) {
        return reinterpret_cast<Vector>(
            _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
    });
}

inline std::uint16_t write_half(float value) {
    return static_cast<std::uint16_t>(
        _mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(value), _MM_FROUND_TO_NEAREST_INT), 0));
}

}  // namespace
}  // namespace fathom
