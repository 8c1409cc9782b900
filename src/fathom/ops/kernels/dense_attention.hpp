// Attention in which every query sees every key, as among the places of a picture. Queries lie in
// the lanes of vectors, so that no width of a head leaves lanes empty, and softmax needs no sum
// across them. Scores of some keys at a time stay near (Dao et al., 2022, arXiv 2205.14135).
#pragma once

#include <cstdint>

namespace fathom {

// Where numbers of a tensor (batch, heads, tokens, width) lie; those of a head are side by side.
struct Heads {
    void* data;
    std::int64_t batch_step, head_step, token_step;  // in numbers
};

// Numbers are float32, or all bfloat16, whose pairs are multiplied as such.
struct DenseAttending {
    bool bfloat16;
    std::int64_t batch, heads, queries, keys, width, value_width;
    float scale;  // above zero
    Heads query, key, value, results;
};

struct DenseAttentionKernels {
    const char* name;
    int queries;    // that go together
    bool bfloat16;  // whether pairs of bfloat16 can be multiplied
    // Numbers of room that one thread needs, of float32.
    std::int64_t (*room)(const DenseAttending& work);
    // Lays out a head's keys and values.
    void (*lay_out)(const DenseAttending& work, std::int64_t batch, std::int64_t head, float* room);
    // Up to `queries` of that head from `first` on.
    void (*attend)(const DenseAttending& work, std::int64_t batch, std::int64_t head,
                   std::int64_t first, float* room);
};

// The kernels that go with those of cpu.hpp, and some by the name of those, or nullptr.
const DenseAttentionKernels& dense_attention_kernels();
const DenseAttentionKernels* dense_attention_kernels_named(const char* name);

// All of it, by up to so many threads.
void attend_densely(const DenseAttentionKernels& kernels, const DenseAttending& work, int threads);

extern const DenseAttentionKernels portable_dense_attention;
#if defined(__x86_64__)
extern const DenseAttentionKernels avx2_dense_attention;
extern const DenseAttentionKernels avx512_dense_attention;
extern const DenseAttentionKernels avx512_bfloat16_dense_attention;
#elif defined(__aarch64__)
extern const DenseAttentionKernels neon_dense_attention;
#endif

}  // namespace fathom
