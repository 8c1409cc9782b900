// A norm over groups of channels, and an activation, over planes whose channels lie last
// (Wu & He, 2018, arXiv 1803.08494): once through for the sums, once for the results.
#pragma once

#include <cstdint>

namespace fathom {

// Numbers are float32, or all bfloat16 except weight and bias.
struct GroupNorming {
    bool bfloat16, silu;
    std::int64_t batch, places, channels, groups;
    float epsilon;
    const float *weight, *bias;  // (channels), or nullptr
    const void* source;          // (batch, places, channels)
    void* results;
};

struct GroupNormKernels {
    const char* name;
    // Adds sums and sums of squares of each channel over some places of a batch row: (2, channels).
    void (*sum)(const GroupNorming& work, std::int64_t row, std::int64_t begin, std::int64_t end,
                double* sums);
    // Multiplies and shifts each channel there, and activates: `factors` is (2, channels).
    void (*apply)(const GroupNorming& work, std::int64_t row, std::int64_t begin, std::int64_t end,
                  const float* factors);
};

// The kernels that go with those of cpu.hpp, and some by the name of those, or nullptr.
const GroupNormKernels& group_norm_kernels();
const GroupNormKernels* group_norm_kernels_named(const char* name);

// All of it, by up to so many threads.
void norm_groups(const GroupNormKernels& kernels, const GroupNorming& work, int threads);

extern const GroupNormKernels portable_group_norm;
#if defined(__x86_64__)
extern const GroupNormKernels avx2_group_norm;
extern const GroupNormKernels avx512_group_norm;
#elif defined(__aarch64__)
extern const GroupNormKernels neon_group_norm;
#endif

}  // namespace fathom
