// Recurrences over a few tokens of one sequence: compiled once for every set of instructions.
//
// Each kernel works on numbers of its own, so threads share out channels or heads. A token is
// added to the memory and read from it before the next: a prompt cut anywhere gives the same bits.
#pragma once

#include <cstdint>

namespace fathom {

constexpr int recurrent_lanes = 16;    // channels or columns that go together
constexpr int recurrent_tokens = 64;   // tokens that one call of `dual` and `correct` may have
constexpr int widest_convolution = 8;  // tokens that a channel's sum may see

constexpr std::int64_t whole_lanes(std::int64_t width) {
    return (width + recurrent_lanes - 1) / recurrent_lanes * recurrent_lanes;
}

// y[t] = bias + Σ_k weight[k] · x[t - kernel + 1 + k], each channel for itself. Before the first
// token stand the rows that `before` keeps, which are those of the last tokens afterwards.
struct Convolving {
    std::int64_t tokens, channels, kernel;
    const float* x;       // (tokens, channels), rows `x_stride` apart
    std::int64_t x_stride;
    float* y;             // (tokens, channels), rows `y_stride` apart; no part of x
    std::int64_t y_stride;
    const float* weight;  // (kernel, channels), rows `weight_stride` apart
    std::int64_t weight_stride;
    const float* bias;    // (channels) or nullptr
    float* before;        // (kernel - 1, channels), rows `before_stride` apart
    std::int64_t before_stride;
};

// 16 channels of a selective scan: h ← exp(Δ·decay)·h + Δ·x·write, y = (h·read + skip·x)·silu(gate)
// with Δ = softplus(step + bias). All rows are `channels` numbers wide here, 1 to 16 of them.
struct Scanning {
    std::int64_t tokens, channels, state_width;
    const float *x, *step, *gate;  // rows of tokens
    std::int64_t x_stride, step_stride, gate_stride;
    const float *write, *read;     // (tokens, state_width), rows `state_stride` apart
    std::int64_t write_stride, read_stride;
    const float* decay;            // (state_width, 16), below zero
    const float *bias, *skip;      // (16)
    float* memory;                 // (state_width, 16)
    float* y;
    std::int64_t y_stride;
};

// One head of a state-space dual: memory ← decay·memory + write ⊗ input, y += read · memory.
struct Dual {
    std::int64_t tokens, width, state_width;  // the width of rows, whole lanes
    const float* decays;                      // (tokens)
    const float* inputs;                      // (tokens, width)
    const float *write, *read;                // (tokens, state_width), rows `state_stride` apart
    std::int64_t state_stride;
    float* memory;                            // (state_width, width)
    float* results;                           // (tokens, width)
};

// One head of the delta rule: memory ← decay·memory, then + key ⊗ share·(value - key·memory), and
// y = query · memory.
struct Correcting {
    std::int64_t tokens, width, key_width;  // the width of rows, whole lanes
    const float *decays, *shares;           // (tokens)
    const float *queries, *keys;            // (tokens, key_width)
    const float* values;                    // (tokens, width)
    float* memory;                          // (key_width, width)
    float* results;                         // (tokens, width)
};

struct Recurrences {
    const char* name;
    void (*convolve)(const Convolving& work);
    void (*scan)(const Scanning& work);
    void (*dual)(const Dual& work);
    void (*correct)(const Correcting& work);
    // x = softplus(x + bias), of one number.
    float (*softplus)(float x);
};

// Those for the instructions that the kernels of cpu.hpp use.
const Recurrences& recurrences();

extern const Recurrences portable_recurrences;
#if defined(__x86_64__)
extern const Recurrences avx2_recurrences;
extern const Recurrences avx512_recurrences;
#elif defined(__aarch64__)
extern const Recurrences neon_recurrences;
#endif

}  // namespace fathom
