// Halves read and written, with NEON, whose half-precision type converts by itself. Static: see layout.hpp.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

typedef float Halves __attribute__((vector_size(64)));

inline Halves read_halves(const std::uint16_t* from) {
    Halves numbers;
    for (int i = 0; i < 16; ++i) {
        __fp16 half;
        std::memcpy(&half, from + i, sizeof half);
        numbers[i] = half;
    }
    return numbers;
}

inline std::uint16_t write_half(float value) {
    const __fp16 half = value;
    std::uint16_t bits;
    std::memcpy(&bits, &half, sizeof bits);
    return bits;
}

}  // namespace
