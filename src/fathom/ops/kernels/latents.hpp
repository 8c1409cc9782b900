// Attention over latents: compiled once for every set of instructions. All heads share one key per
// token, so that 16 heads are the numbers of a vector and a key's numbers are spread over them.
#pragma once

#include <cstdint>

#include "arithmetic.hpp"

namespace fathom {

constexpr int latent_heads = 16;  // that go together

// Queries of up to 16 heads at one token, and the keys that they may see.
struct LatentAttending {
    std::int64_t width, latent;  // of a key; of its first numbers, which are values too
    const float* queries;        // (width, 16), multiplied by the scale already
    float* results;              // (latent, 16): sums of latents, not yet divided by `sums`
    float *highest, *sums;       // (16) of the softmax, as in `Softmax`
    std::int32_t first, last;    // positions of the first key and after the last one
    const std::uint8_t* pages;   // of the layer; in each (page_tokens, width)
    std::int64_t page_bytes;
    const std::int32_t* table;   // page of each `page_tokens` positions
    StateType type;
    float* room;                 // (page_tokens, width): a page's keys as numbers
};

struct LatentKernels {
    const char* name;
    void (*attend)(const LatentAttending& work);
    // (width) numbers go to a place of a page.
    void (*store)(const float* x, std::int64_t width, StateType type, std::uint8_t* to);
};

// Those for the instructions that the kernels of cpu.hpp use.
const LatentKernels& latent_kernels();

extern const LatentKernels portable_latents;
#if defined(__x86_64__)
extern const LatentKernels avx2_latents;
extern const LatentKernels avx512_latents;
#elif defined(__aarch64__)
extern const LatentKernels neon_latents;
#endif

}  // namespace fathom
