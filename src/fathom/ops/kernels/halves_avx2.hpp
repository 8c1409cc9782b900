// Halves read and written, with F16C. Static: see layout.hpp.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace {

typedef float Halves __attribute__((vector_size(64)));

inline Halves read_halves(const std::uint16_t* from) {
    const auto* source = reinterpret_cast<const __m128i*>(from);
    const __m256 parts[2] = {_mm256_cvtph_ps(_mm_loadu_si128(source)),
                             _mm256_cvtph_ps(_mm_loadu_si128(source + 1))};
    Halves joined;
    std::memcpy(&joined, parts, sizeof joined);
    return joined;
}

inline std::uint16_t write_half(float value) {
    return static_cast<std::uint16_t>(
        _mm_extract_epi16(_mm_cvtps_ph(_mm_set_ss(value), _MM_FROUND_TO_NEAREST_INT), 0));
}

}  // namespace
