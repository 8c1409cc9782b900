// What rounding to eight bits took from the largest blocks of tokens: see Activations.
#pragma once

#include "layout.hpp"

namespace fathom {

struct Remainder {
    const ActivationBlock* block;
    std::int32_t place;
    std::int32_t token;  // of those that are near
};

// Tokens whose results are still in a cache when their remainders are added.
constexpr std::int64_t near_tokens = 8 * group_tokens;

struct RemaindersNear {
    const Remainder *begin = nullptr, *end = nullptr;
};

// Remainders of tokens `first` to `stop`. Those of tokens that are near come in order of places, so
// that what has one place meets the same weights. Nothing is inline here: see products.hpp.
class Remainders {
public:
    Remainders(const Activations& x, std::int64_t first, std::int64_t stop);
    ~Remainders();
    Remainders(const Remainders&) = delete;
    Remainders& operator=(const Remainders&) = delete;

    // Those of `near_tokens` that begin with a token.
    RemaindersNear of(std::int64_t token) const;

private:
    static constexpr std::int64_t few = 64;

    std::int64_t first_, stop_, refined_;
    Remainder few_[few];  // in place of memory from the system, where they have room
    Remainder* found_ = few_;
};

}  // namespace fathom
