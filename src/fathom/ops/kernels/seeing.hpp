// Attention among tokens that all come at once: what stands between its products. Scores of many
// queries with many keys are a product, and so are the values' sums; here keys and values become
// the packed matrices of those products (packed.hpp), and scores become weights. Compiled once for
// every set of instructions.
#pragma once

#include <cstdint>

namespace fathom {

// One query's scores, and what is added to them. Keys stand in a grid where scores know rows and
// columns: the key at (row, column) is number row · columns + column.
struct Scored {
    float* scores;         // (keys): products in, weights out, not yet divided by their sum
    std::int64_t seen;     // keys that the query sees; the weights of the others are zero
    std::int64_t keys;
    float scale;           // of the products
    const float* added;    // (keys), or nullptr
    const float* by_row;   // a number for each row of keys, or nullptr
    const float* by_column;
    std::int64_t columns;  // of the grid of keys
};

struct SeeingKernels {
    const char* name;
    // Numbers at `rows`, (count) pointers to `width` each, as a packed matrix (count, width) of
    // float32, or of bfloat16 if they are to be `halved`.
    void (*pack_rows)(const float* const* rows, std::int64_t count, std::int64_t width,
                      bool halved, std::uint8_t* to);
    // The same turned: a packed matrix (width, count).
    void (*pack_columns)(const float* const* rows, std::int64_t count, std::int64_t width,
                         bool halved, std::uint8_t* to);
    // Turns scores into weights e^(score - highest); returns one by their sum.
    float (*weigh)(const Scored& scored);
    // Numbers of bfloat16 as float32, and back to the nearest, ties to even.
    void (*widen)(const std::uint16_t* from, std::int64_t count, float* to);
    void (*narrow)(const float* from, std::int64_t count, std::uint16_t* to);
};

// Those for the instructions that the kernels of cpu.hpp use.
const SeeingKernels& seeing_kernels();

extern const SeeingKernels portable_seeing;
#if defined(__x86_64__)
extern const SeeingKernels avx2_seeing;
extern const SeeingKernels avx512_seeing;
#elif defined(__aarch64__)
extern const SeeingKernels neon_seeing;
#endif

}  // namespace fathom
