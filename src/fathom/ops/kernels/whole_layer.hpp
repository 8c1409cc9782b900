// A layer of an encoder in one call: tokens that all come at once see one another, then each goes
// through a feed-forward.
//
//     x ─┬─ norm ─ into ─ attention ─ output ─ + ─┬─ norm ─ up ─ activation ─ down ─ + ─►
//        └──────────────────────────────────────┘ └────────────────────────────────┘
//
// Tokens go through the maps some at a time, so that what lies between two of them stays in the
// cache; of all tokens only the stream and their queries, keys and values are in memory.
#pragma once

#include <cstdint>
#include <optional>

#include "arithmetic.hpp"
#include "packed.hpp"

namespace fathom {

struct Map {
    PackedMatrix matrix;
    const float* bias = nullptr;
};

// How a part joins the stream: x ← closing(x + scales · part(before(x))).
struct Joint {
    std::optional<NormShape> before, closing;
    const float* scales = nullptr;  // (width), or nullptr
};

// Vectors of the distances in a grid, the most positive first: queries' products with them are
// added to scores.
struct Distances {
    PackedMatrix rows, columns;           // (2 · extent - 1, head width)
    std::int64_t high, wide;              // the grid
};

struct WholeLayer {
    std::int64_t width, heads, head_width;
    float scale;
    bool causal;                        // a token sees itself and those of its group before it
    Joint mixing, feeding;
    Map into, output;                   // queries, keys and values of all heads; back to the width
    std::optional<Distances> distances;
    Map up, down;                       // where gated, `up` is the gate's rows, then the others
    Activation activation;
    bool gated;
};

// Who sees whom: the tokens of a group one another.
struct Groups {
    std::int64_t count;
    const std::int32_t* begins;  // (count + 1): where in `members` a group begins
    const std::int32_t* members; // numbers of tokens; -1 for what is seen and was zeros before `into`
    const float* added;          // (added_groups, heads, length, length), or nullptr
    std::int64_t added_groups;   // that follow one another, again and again
};

// Rows of numbers in either type, of which one is not nullptr.
template <class Number, class Half>
struct Stream {
    Number* numbers;
    Half* halves;
};
using StreamIn = Stream<const float, const std::uint16_t>;
using StreamOut = Stream<float, std::uint16_t>;

// Takes (tokens, width) through a layer. A token that is in no group keeps its own query as what
// it found. `from` and `to` may be the same.
void run_layer(const WholeLayer& layer, const Groups& groups, std::int64_t tokens,
               const StreamIn& from, const StreamOut& to, int threads);

}  // namespace fathom
