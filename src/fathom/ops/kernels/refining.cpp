#include <algorithm>
#include <vector>

#include "cpu.hpp"
#include "remainders.hpp"

namespace fathom {
namespace {

const ActivationBlock& block_at(const std::uint8_t* blocks, std::int64_t step,
                                std::int64_t index) {
    return *reinterpret_cast<const ActivationBlock*>(blocks + index * step);
}

// Which blocks of a token are the `most` largest, in order of columns. A block of zeros is none of
// them, nor is one with something that is no number.
class Largest {
public:
    explicit Largest(std::int64_t most) : most_(most) {}

    const std::vector<std::int32_t>& find(const std::uint8_t* blocks, std::int64_t step,
                                          std::int64_t count) {
        places_.clear();
        if (most_ == 1) {
            find_one(blocks, step, count);
        } else {
            find_several(blocks, step, count);
        }
        return places_;
    }

private:
    void find_one(const std::uint8_t* blocks, std::int64_t step, std::int64_t count) {
        float highest = 0;
        std::int32_t found = -1;
        for (std::int32_t place = 0; place < count; ++place) {
            const float scale = block_at(blocks, step, place).scale;
            if (!(scale > highest)) continue;
            highest = scale;
            found = place;
        }
        if (found >= 0) places_.push_back(found);
    }

    void find_several(const std::uint8_t* blocks, std::int64_t step, std::int64_t count) {
        for (std::int32_t place = 0; place < count; ++place) {
            if (block_at(blocks, step, place).scale > 0) places_.push_back(place);
        }
        if (static_cast<std::int64_t>(places_.size()) <= most_) return;
        std::nth_element(places_.begin(), places_.begin() + most_, places_.end(),
                         [&](std::int32_t a, std::int32_t b) {
                             const float left = block_at(blocks, step, a).scale,
                                         right = block_at(blocks, step, b).scale;
                             return left == right ? a < b : left > right;
                         });
        places_.resize(static_cast<std::size_t>(most_));
        std::sort(places_.begin(), places_.end());
    }

    std::int64_t most_;
    std::vector<std::int32_t> places_;
};

// `x` has the numbers of the block that there are: the last one of a row may be cut off.
void take_remainder(const float* x, std::int64_t numbers, const ActivationBlock& block,
                    ActivationBlock& remainder) {
    alignas(alignment) float rest[block_columns] = {};
    for (std::int64_t index = 0; index < numbers; ++index) {
        rest[index] = x[index] - block.scale * static_cast<float>(block.values[index]);
    }
    kernels().quantise(ActivationKind::Bytes, rest, block_columns, 1, block_columns, 0, 1,
                       reinterpret_cast<std::uint8_t*>(&remainder));
}

}  // namespace

void refine(const float* x, std::int64_t stride, std::int64_t tokens, std::int64_t columns,
            std::int64_t begin, std::int64_t end, std::int64_t refined,
            std::uint8_t* destination) {
    Largest largest(refined);
    for (std::int64_t token = begin; token < end; ++token) {
        const Place from = place_of(ActivationKind::Bytes, tokens, columns, token);
        const Place to = remainders_of(tokens, columns, refined, token);
        const std::uint8_t* blocks = destination + from.offset;
        auto* next = destination + to.offset;
        const auto& places = largest.find(blocks, from.step, blocks_of(columns));
        for (const std::int32_t place : places) {
            const std::int64_t first = std::int64_t{place} * block_columns;
            auto& remainder = *reinterpret_cast<ActivationBlock*>(next);
            take_remainder(x + token * stride + first,
                           std::min<std::int64_t>(columns - first, block_columns),
                           block_at(blocks, from.step, place), remainder);
            remainder.place = place;
            next += to.step;
        }
        for (auto left = static_cast<std::int64_t>(places.size()); left < refined; ++left) {
            reinterpret_cast<ActivationBlock*>(next)->place = no_place;
            next += to.step;
        }
    }
}

Remainders::Remainders(const Activations& x, std::int64_t first, std::int64_t stop)
    : first_(first), stop_(stop), refined_(x.refined) {
    const std::int64_t count = (stop - first) * refined_;
    if (count > few) found_ = new Remainder[static_cast<std::size_t>(count)];
    if (count == 0) return;
    Remainder* next = found_;
    for (std::int64_t begin = first; begin < stop; begin += near_tokens) {
        Remainder* const own = next;
        for (std::int64_t token = begin; token < std::min(begin + near_tokens, stop); ++token) {
            const Place place = remainders_of(x.tokens, x.columns, refined_, token);
            for (std::int64_t index = 0; index < refined_; ++index) {
                const auto& block = block_at(x.data + place.offset, place.step, index);
                *next++ = {&block, block.place, static_cast<std::int32_t>(token - begin)};
            }
        }
        if (next - own == refined_) continue;  // a single token has them in order
        std::sort(own, next, [](const Remainder& a, const Remainder& b) {
            return a.place == b.place ? a.token < b.token : a.place < b.place;
        });
    }
}

Remainders::~Remainders() {
    if (found_ != few_) delete[] found_;
}

RemaindersNear Remainders::of(std::int64_t token) const {
    const std::int64_t end = std::min(token + near_tokens, stop_);
    return {found_ + (token - first_) * refined_, found_ + (end - first_) * refined_};
}

}  // namespace fathom
