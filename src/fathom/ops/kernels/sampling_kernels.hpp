// The one source of `Draw`. Everything is static: objects for different sets of instructions must
// not share code.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "functions.hpp"
#include "sampling.hpp"

namespace fathom {
namespace {

constexpr std::int64_t looked_at = 64;  // numbers of which seldom one is wanted
constexpr double likely_share = 1e-3;   // of all, which few tokens have
constexpr std::int64_t summed = 256;    // weights whose sum is a float; those of all are a double

// The highest score; not a number wins over all.
inline float highest_of(const float* scores, std::int64_t count) {
    float highest = -std::numeric_limits<float>::infinity();
    int strange = 0;
#pragma omp simd reduction(max : highest) reduction(| : strange)
    for (std::int64_t i = 0; i < count; ++i) {
        highest = scores[i] > highest ? scores[i] : highest;
        strange |= scores[i] != scores[i] ? 1 : 0;
    }
    return strange ? std::numeric_limits<float>::quiet_NaN() : highest;
}

inline float weight_of(float score, float highest, float warmth) {
    const float x = (score - highest) * warmth;
    const float weight = exponential(x);
    return x < -87.0F ? 0.0F : weight;
}

inline double sum_of(const float* weights, std::int64_t count) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = 0; i < count; ++i) sum += weights[i];
    return sum;
}

// Fills the weights of all, e^((score - highest) / temperature); returns their sum.
inline double weigh_all(const Drawing& work, float highest) {
    const float warmth = 1.0F / work.temperature;
    double sum = 0;
    for (std::int64_t begin = 0; begin < work.count; begin += summed) {
        const std::int64_t end = std::min(begin + summed, work.count);
#pragma omp simd
        for (std::int64_t i = begin; i < end; ++i) {
            work.weights[i] = weight_of(work.scores[i], highest, warmth);
        }
        sum += sum_of(work.weights + begin, end - begin);
    }
    return sum;
}

// Places of the numbers that are no less than a bound, in order; returns how many.
inline std::int64_t no_less(const float* numbers, std::int64_t count, float bound,
                            std::int32_t* places) {
    std::int64_t found = 0;
    for (std::int64_t begin = 0; begin < count; begin += looked_at) {
        const std::int64_t end = std::min(begin + looked_at, count);
        int any = 0;
#pragma omp simd reduction(| : any)
        for (std::int64_t i = begin; i < end; ++i) any |= numbers[i] >= bound ? 1 : 0;
        for (std::int64_t i = begin; any && i < end; ++i) {
            places[found] = static_cast<std::int32_t>(i);
            found += numbers[i] >= bound ? 1 : 0;
        }
    }
    return found;
}

inline float place_from_top(float* numbers, std::int64_t count, std::int64_t place) {
    std::nth_element(numbers, numbers + place, numbers + count,
                     [](float a, float b) { return a > b; });
    return numbers[place];
}

// The `top_k` best and all that equal the last of them. The best of each of enough blocks bound
// those from below, which spares looking at the others.
inline std::int64_t keep_best(const Drawing& work) {
    const std::int64_t size = work.count / (2 * work.top_k);
    float bound = -std::numeric_limits<float>::infinity();
    if (size >= 2) {
        std::int64_t blocks = 0;
        for (std::int64_t begin = 0; begin < work.count; begin += size) {
            work.weights[blocks++] =
                highest_of(work.scores + begin, std::min(size, work.count - begin));
        }
        bound = place_from_top(work.weights, blocks, work.top_k - 1);
    }
    const std::int64_t found = no_less(work.scores, work.count, bound, work.places);
    for (std::int64_t i = 0; i < found; ++i) work.weights[i] = work.scores[work.places[i]];
    const float least = place_from_top(work.weights, found, work.top_k - 1);
    const auto worse = [&](std::int32_t place) { return work.scores[place] < least; };
    return std::remove_if(work.places, work.places + found, worse) - work.places;
}

// Places among which are all of the nucleus. Mostly few that are likely hold that much already; if
// not, those below an even share of what goes are sure to go.
inline std::int64_t likely(const Drawing& work, double sum) {
    const auto found =
        no_less(work.weights, work.count, static_cast<float>(sum * likely_share), work.places);
    double held = 0;
    for (std::int64_t i = 0; i < found; ++i) held += work.weights[work.places[i]];
    if (held > work.top_p * sum) return found;
    const double even = (1.0 - work.top_p) * sum / static_cast<double>(work.count);
    const auto bound = static_cast<float>(std::min(1.0, even));
    return no_less(work.weights, work.count, bound, work.places);
}

// Of the first `found` places the fewest whose probabilities sum to `top_p`: one stays while those
// likelier than it sum to less. Of equal ones the first stay. `weight` is that of a place.
template <class Weight>
std::int64_t keep_nucleus(const Drawing& work, std::int64_t found, double sum, Weight weight) {
    const auto likelier = [&](std::int32_t a, std::int32_t b) {
        return weight(a) > weight(b) || (weight(a) == weight(b) && a < b);
    };
    std::int32_t* begin = work.places;
    std::int64_t kept = 1, gone = found;  // by rank: those before `kept` stay, from `gone` on none
    double before = 0;                    // weights of all that are likelier than rank `kept` - 1
    while (gone > kept) {
        const std::int64_t rank = kept + (gone - kept) / 2;
        std::nth_element(begin + kept - 1, begin + rank, begin + gone, likelier);
        double reached = before;
        for (std::int64_t i = kept - 1; i < rank; ++i) reached += weight(begin[i]);
        const bool stays = 1.0 - reached / sum > 1.0 - work.top_p;
        if (stays) before = reached;
        (stays ? kept : gone) = stays ? rank + 1 : rank;
    }
    std::sort(begin, begin + kept);
    return kept;
}

// Draws among the first `found` places by their weights.
template <class Weight>
std::int64_t drawn(const Drawing& work, std::int64_t found, Weight weight) {
    double sum = 0;
    for (std::int64_t i = 0; i < found; ++i) sum += weight(work.places[i]);
    const double wanted = sum * work.share;
    double reached = 0;
    std::int64_t last = work.places[0];
    for (std::int64_t i = 0; i < found; ++i) {
        const float own = weight(work.places[i]);
        reached += own;
        if (own > 0) last = work.places[i];
        if (reached > wanted) return work.places[i];
    }
    return last;  // past the end by rounding
}

// Draws among all, whose weights are there and sum to `sum`.
inline std::int64_t drawn_of_all(const Drawing& work, double sum) {
    double left = sum * work.share;
    std::int64_t last = 0;
    for (std::int64_t begin = 0; begin < work.count; begin += summed) {
        const std::int64_t end = std::min(begin + summed, work.count);
        const double own = sum_of(work.weights + begin, end - begin);
        if (own > 0) last = begin;
        if (own > left) break;
        left -= own;
    }
    double reached = 0;
    std::int64_t found = last;
    for (std::int64_t i = last; i < std::min(last + summed, work.count); ++i) {
        reached += work.weights[i];
        if (work.weights[i] > 0) found = i;
        if (reached > left) return i;
    }
    return found;
}

std::int64_t draw_one(const Drawing& work) {
    const float highest = highest_of(work.scores, work.count);
    if (!std::isfinite(highest)) return -1;
    const float warmth = 1.0F / work.temperature;
    const auto own = [&](std::int32_t place) {
        return weight_of(work.scores[place], highest, warmth);
    };
    const auto known = [&](std::int32_t place) { return work.weights[place]; };
    const auto faint = [&](std::int32_t place) {
        return own(place) < static_cast<float>(work.min_p);
    };
    std::int64_t found = 0;
    if (0 < work.top_k && work.top_k < work.count) {
        found = keep_best(work);
        if (work.top_p < 1) {
            double sum = 0;
            for (std::int64_t i = 0; i < found; ++i) sum += own(work.places[i]);
            found = keep_nucleus(work, found, sum, own);
        }
    } else {
        const double sum = weigh_all(work, highest);
        if (work.top_p >= 1 && work.min_p <= 0) return drawn_of_all(work, sum);
        if (work.top_p < 1) {
            found = keep_nucleus(work, likely(work, sum), sum, known);
        } else {
            const auto bound = static_cast<float>(work.min_p);
            found = no_less(work.weights, work.count, bound, work.places);
        }
    }
    if (work.min_p > 0)
        found = std::remove_if(work.places, work.places + found, faint) - work.places;
    return drawn(work, found, own);
}

}  // namespace
}  // namespace fathom
