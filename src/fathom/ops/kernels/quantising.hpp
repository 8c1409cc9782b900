// Activations from float32, written so that a compiler makes vector code of it for any processor:
// loops of fixed length without branches. In an unnamed namespace: see products.hpp.
#pragma once

#include <cstring>

#include "floats.hpp"
#include "layout.hpp"

namespace fathom {
namespace {

constexpr std::uint32_t infinity_bits = 0x7f800000;
constexpr std::uint32_t magnitude_bits = 0x7fffffff;

// Rounds to the nearest integer, ties to even, |value| < 2^22: adding 1.5 · 2^23 leaves the
// integer in the last bits of the sum.
inline std::int32_t rounded(float value) {
    return static_cast<std::int32_t>(to_bits(value + 0x1.8p23F) - to_bits(0x1.8p23F));
}

// What 32 values are divided by: their largest magnitude becomes 127. Magnitudes are compared as
// integers, which orders numbers as they are and puts infinities and not-a-numbers above them.
// Returns 0 for a block that is done: of zeros, or with something that is no number.
inline float inverse_scale(std::uint32_t most, ActivationBlock& block) {
    block = {};
    if (most >= infinity_bits) {
        block.scale = block.sum = from_bits(infinity_bits | 1U << 22);
        return 0;
    }
    const float largest = from_bits(most);
    if (largest < 0x1p-110F) return 0;  // its inverse could be infinite
    block.scale = largest / 127.0F;
    return 127.0F / largest;
}

inline void note_sums(std::int32_t first_half, std::int32_t second_half, ActivationBlock& block) {
    block.sum = block.scale * static_cast<float>(first_half + second_half);
    block.negative_sum = -first_half - second_half;
    block.negative_half[0] = -first_half;
    block.negative_half[1] = -second_half;
}

// 32 values → 8-bit integers.
inline void quantise_block(const float* x, ActivationBlock& block) {
    std::uint32_t most = 0;
    for (int index = 0; index < block_columns; ++index) {
        const std::uint32_t magnitude = to_bits(x[index]) & magnitude_bits;
        most = magnitude > most ? magnitude : most;
    }
    const float inverse = inverse_scale(most, block);
    if (inverse == 0) return;
    std::int32_t half[2] = {0, 0};
    for (int index = 0; index < block_columns; ++index) {
        const std::int32_t value = rounded(x[index] * inverse);
        block.values[index] = static_cast<std::int8_t>(value);
        half[index * 2 / block_columns] += value;
    }
    note_sums(half[0], half[1], block);
}

// float32 → bfloat16, to the nearest, ties to even; a not-a-number stays one.
inline std::uint16_t bfloat16(float value) {
    const std::uint32_t bits = to_bits(value);
    const std::uint32_t even = bits + 0x7fff + (bits >> 16 & 1);
    const bool number = (bits & magnitude_bits) <= infinity_bits;
    return static_cast<std::uint16_t>((number ? even : bits | 1U << 22) >> 16);
}

template <class Isa, ActivationKind kind>
inline void convert_block(const float* x, std::uint8_t* block) {
    if constexpr (kind == ActivationKind::Bytes) {
        Isa::quantise(x, *reinterpret_cast<ActivationBlock*>(block));
    } else if constexpr (kind == ActivationKind::BFloat16 && requires { Isa::round(x, block); }) {
        Isa::round(x, block);
    } else if constexpr (kind == ActivationKind::BFloat16) {
        std::uint16_t values[block_columns];
        for (int index = 0; index < block_columns; ++index) values[index] = bfloat16(x[index]);
        std::memcpy(block, values, sizeof values);
    } else {
        std::memcpy(block, x, block_columns * sizeof(float));
    }
}

template <class Isa, ActivationKind kind>
void convert_row(const float* row, std::int64_t columns, std::uint8_t* block, std::int64_t step) {
    std::int64_t column = 0;
    for (; column + block_columns <= columns; column += block_columns, block += step) {
        convert_block<Isa, kind>(row + column, block);
    }
    if (column == columns) return;
    float rest[block_columns] = {};
    std::memcpy(rest, row + column, static_cast<std::size_t>(columns - column) * sizeof(float));
    convert_block<Isa, kind>(rest, block);
}

template <class Isa>
void quantise_tokens(ActivationKind kind, const float* x, std::int64_t stride, std::int64_t tokens,
                     std::int64_t columns, std::int64_t begin, std::int64_t end,
                     std::uint8_t* destination) {
    const auto convert = kind == ActivationKind::Bytes ? convert_row<Isa, ActivationKind::Bytes>
                         : kind == ActivationKind::BFloat16
                             ? convert_row<Isa, ActivationKind::BFloat16>
                             : convert_row<Isa, ActivationKind::Float32>;
    for (std::int64_t token = begin; token < end; ++token) {
        const Place place = place_of(kind, tokens, columns, token);
        convert(x + token * stride, columns, destination + place.offset, place.step);
    }
}

}  // namespace
}  // namespace fathom
