// Arithmetic on float32 rows between the products: compiled once for every set of instructions.
#pragma once

#include <cstdint>

namespace fathom {

enum class Activation : std::int32_t {
    Silu, Gelu, GeluTanh, GeluQuick, Relu, ReluSquared, Sigmoid, Tanh, Identity, ClampedSwish,
};

// What keys and values are kept in.
enum class StateType : std::int32_t { Float32, Float16 };

constexpr int page_tokens = 32;    // keys of one head that lie in one piece
constexpr int most_rows = 8;       // queries that meet the same keys at once
constexpr int prompt_rows = 64;    // the same for pieces of prompts, where there is such a kernel
constexpr int widest_prompt_head = 128;
constexpr int lanes = 16;          // numbers of one vector; values are padded to a multiple
constexpr int widest_head = 512;

constexpr std::int64_t padded(std::int64_t width) { return (width + lanes - 1) / lanes * lanes; }

// Numbers that the keys and values of one head take in a page:
// keys (width, page_tokens), so that one vector holds a dimension of 16 keys, then values
// (page_tokens, padded(width)).
constexpr std::int64_t head_numbers(std::int64_t width) {
    return page_tokens * (width + padded(width));
}

struct NormShape {
    std::int64_t width;    // of one part that is normed by itself
    std::int64_t parts;    // of a row
    std::int64_t weights;  // how far `weight` and `bias` move on from part to part: 0 or width
    bool centred;          // layer norm, else root-mean-square norm
    float epsilon;
    const float* weight;  // or nullptr
    const float* bias;    // or nullptr
};

// The softmax of a row over some keys: their highest score, and the sum of e^(score - highest).
struct Softmax {
    float highest, sum;
};

// Some queries of heads that share a key head, and the keys that they may see.
struct Attending {
    int rows;
    std::int64_t width;       // of a head
    const float* queries;     // (rows, padded(width)), multiplied by the scale already
    float* results;           // (rows, padded(width))
    const std::int32_t* first;     // (rows): position of the first key that a row sees
    const std::int32_t* last;      // (rows): position after the last one; at least first + 1
    const std::uint8_t* pages;     // of the layer
    std::int64_t page_bytes;
    std::int64_t head_offset;      // bytes from a page's start to this head's keys
    const std::int32_t* table;     // page of each `page_tokens` positions
    StateType type;
    float soft_cap;                // 0 for none
    const float* slopes;           // (rows) of a penalty linear in distance, or nullptr
    const std::int32_t* positions; // (rows) of the queries
    const float* sinks;            // (rows) scores that take their share, or nullptr
    Softmax* softmax;              // (rows) to be merged with other keys', or nullptr
    float rounded;                 // 0, or the factor of slope · key position in bfloat16, which
                                   // is added in place of the penalty
    const float* const* distances; // (rows) of what is added to a score, by how far its key stands
                                   // ahead: from -furthest to furthest, or nullptr
    std::int32_t furthest;
    bool paired = false;           // scores from queries and keys in bfloat16, where that is quicker
};

struct Arithmetic {
    const char* name;
    void (*norm)(const NormShape& shape, const float* x, float* y);
    // y = activation(x) · other, or without `other` activation(x) alone.
    void (*activate)(Activation kind, float alpha, float limit, const float* x, const float* other,
                     std::int64_t count, float* y);
    // Pairs are (i, i + half), or (2i, 2i + 1). cosine and sine hold `half` numbers.
    void (*rotate)(float* x, const float* cosine, const float* sine, std::int64_t half,
                   bool interleaved);
    void (*add)(float* x, const float* y, float scale, std::int64_t count);
    // y = y · scale, bounded by cap · tanh(y / cap) where the cap is not 0.
    void (*bound)(float* y, float scale, float cap, std::int64_t count);
    void (*attend)(const Attending& work);
    // The same of up to `prompt_rows` queries, weights and values rounded to bfloat16, where that is
    // quicker: for float16 state and heads up to `widest_prompt_head`, without a cap or slopes,
    // over all keys at once. Or nullptr.
    void (*attend_prompt)(const Attending& work);
    // One head's key and value go to a place of a page.
    void (*store)(const float* key, const float* value, std::int64_t width, StateType type,
                  std::int64_t place, std::uint8_t* head);
};

// Those for the instructions that the kernels of cpu.hpp use.
const Arithmetic& arithmetic();

extern const Arithmetic portable_arithmetic;
#if defined(__x86_64__)
extern const Arithmetic avx2_arithmetic;
extern const Arithmetic avx512_arithmetic;
extern const Arithmetic avx512_bfloat16_arithmetic;
#elif defined(__aarch64__)
extern const Arithmetic neon_arithmetic;
#endif

}  // namespace fathom
