// The one source of `SeeingKernels`: loops that a compiler makes vectors of. Everything is static:
// objects for different sets of instructions must not share code.
#pragma once

#include <cmath>

#include "floats.hpp"
#include "functions.hpp"
#include "layout.hpp"
#include "seeing.hpp"

namespace fathom {
namespace {

// To the nearest, ties to even; not a number stays one.
inline std::uint16_t halved_number(float value) {
    const std::uint32_t bits = to_bits(value);
    const std::uint32_t nearest = bits + 0x7fffU + (bits >> 16 & 1U);
    const bool number = (bits & 0x7fffffffU) <= 0x7f800000U;
    return static_cast<std::uint16_t>((number ? nearest : bits | 1U << 22) >> 16);
}

// Panels of 16 rows; in each, columns one after the other, of bfloat16 in pairs.
void pack_rows(const float* const* rows, std::int64_t count, std::int64_t width, bool halved,
               std::uint8_t* to) {
    const std::int64_t filled = blocks_of(width) * block_columns;
    for (std::int64_t first = 0; first < count; first += panel_rows) {
        for (std::int64_t lane = 0; lane < panel_rows; ++lane) {
            const float* row = first + lane < count ? rows[first + lane] : nullptr;
            const std::int64_t real = row ? width : 0;
            if (halved) {
                auto* place = reinterpret_cast<std::uint32_t*>(to) + lane;
                for (std::int64_t i = 0; i < filled; i += 2, place += panel_rows) {
                    const std::uint32_t low = i < real ? halved_number(row[i]) : 0;
                    const std::uint32_t high = i + 1 < real ? halved_number(row[i + 1]) : 0;
                    *place = low | high << 16;
                }
            } else {
                auto* place = reinterpret_cast<float*>(to) + lane;
                for (std::int64_t i = 0; i < filled; ++i) {
                    place[i * panel_rows] = i < real ? row[i] : 0.0F;
                }
            }
        }
        to += filled * panel_rows * (halved ? 2 : 4);
    }
}

// Sixteen numbers of a row from `first` on; zeros where there are none.
struct Sixteen {
    float numbers[panel_rows];
    Sixteen(const float* row, std::int64_t first, std::int64_t width) {
        const std::int64_t left = row == nullptr ? 0 : width - first;
        for (std::int64_t i = 0; i < panel_rows; ++i) numbers[i] = i < left ? row[first + i] : 0.0F;
    }
};

void pack_columns(const float* const* rows, std::int64_t count, std::int64_t width, bool halved,
                  std::uint8_t* to) {
    const std::int64_t filled = blocks_of(count) * block_columns;
    for (std::int64_t first = 0; first < width; first += panel_rows) {
        for (std::int64_t i = 0; i < filled; i += 2) {
            const Sixteen one(i < count ? rows[i] : nullptr, first, width);
            const Sixteen other(i + 1 < count ? rows[i + 1] : nullptr, first, width);
            if (halved) {
                auto* place = reinterpret_cast<std::uint16_t*>(to) + i * panel_rows;
                for (int lane = 0; lane < panel_rows; ++lane) {
                    place[2 * lane] = halved_number(one.numbers[lane]);
                    place[2 * lane + 1] = halved_number(other.numbers[lane]);
                }
            } else {
                auto* place = reinterpret_cast<float*>(to) + i * panel_rows;
                for (int lane = 0; lane < panel_rows; ++lane) {
                    place[lane] = one.numbers[lane];
                    place[panel_rows + lane] = other.numbers[lane];
                }
            }
        }
        to += filled * panel_rows * (halved ? 2 : 4);
    }
}

// What is added by rows and columns of a grid.
void add_places(const Scored& scored) {
    float* scores = scored.scores;
    for (std::int64_t row = 0; row * scored.columns < scored.keys; ++row) {
        const float by_row = scored.by_row[row];
#pragma omp simd
        for (std::int64_t i = 0; i < scored.columns; ++i) {
            scores[i] = scores[i] * scored.scale + (by_row + scored.by_column[i]);
        }
        scores += scored.columns;
    }
}

float weigh(const Scored& scored) {
    float* scores = scored.scores;
    const std::int64_t seen = scored.seen;
    if (scored.by_row) add_places(scored);
    const float scale = scored.by_row ? 1.0F : scored.scale;
    if (scored.added) {
#pragma omp simd
        for (std::int64_t i = 0; i < seen; ++i) scores[i] = scores[i] * scale + scored.added[i];
    }
    const float left = scored.added ? 1.0F : scale;  // at least 0: the highest stays the highest
    float highest = -INFINITY;
#pragma omp simd reduction(max : highest)
    for (std::int64_t i = 0; i < seen; ++i) highest = scores[i] > highest ? scores[i] : highest;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = 0; i < seen; ++i) {
        const float weight = exponential((scores[i] - highest) * left);
        scores[i] = weight;
        sum += weight;
    }
    for (std::int64_t i = seen; i < scored.keys; ++i) scores[i] = 0;
    return 1.0F / sum;
}

void widen(const std::uint16_t* from, std::int64_t count, float* to) {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) {
        to[i] = from_bits(static_cast<std::uint32_t>(from[i]) << 16);
    }
}

void narrow(const float* from, std::int64_t count, std::uint16_t* to) {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) to[i] = halved_number(from[i]);
}

constexpr SeeingKernels seeing_table(const char* name) {
    return {name, pack_rows, pack_columns, weigh, widen, narrow};
}

}  // namespace
}  // namespace fathom
