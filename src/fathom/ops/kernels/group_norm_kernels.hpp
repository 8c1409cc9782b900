// The one source of `GroupNormKernels`, for the instructions that a file including it is compiled
// for.
#pragma once

#include "group_norm.hpp"
#include "vectors.hpp"

namespace fathom {
namespace {

constexpr std::int64_t places_at_once = 64;  // whose sums in float32 lose nothing that matters

// x / (1 + e^-x), to some units in the last place.
inline Vector sigmoid_linear(const Vector& x) {
    Vector t = x * -1.44269504F;
    t = t > all(126.0F) ? all(126.0F) : t;  // not a number stays one
    t = t < all(-126.0F) ? all(-126.0F) : t;
    const Vector shifted = t + 12582912.0F;  // the low bits are the exponent
    const Vector f = t - (shifted - 12582912.0F);
    Vector p = 0.009618489071726799F + f * (0.0013399930903688073F + f * 0.0001534581242594868F);
    p = 0.6931471824645996F + f * (0.24022646248340607F + f * (0.05550328642129898F + f * p));
    p = 1.0F + f * p;
    p *= reinterpret_cast<Vector>((reinterpret_cast<Bits>(shifted) << 23) + 0x3f800000U);
    return x / (1.0F + p);
}

template <class Number>
void sum_numbers(const GroupNorming& work, std::int64_t row, std::int64_t begin, std::int64_t end,
                 double* sums) {
    const auto* source =
        static_cast<const Number*>(work.source) + row * work.places * work.channels;
    for (std::int64_t first = begin; first < end; first += places_at_once) {
        const std::int64_t last = first + places_at_once < end ? first + places_at_once : end;
        for (std::int64_t channel = 0; channel < work.channels; channel += vector_numbers) {
            const std::int64_t left = work.channels - channel;
            const Number* from = source + first * work.channels + channel;
            Vector sum{}, squares{};
            for (std::int64_t place = first; place < last; ++place, from += work.channels) {
                const Vector x = left >= vector_numbers ? read(from) : read(from, left);
                sum += x;
                squares += x * x;
            }
            for (int i = 0; i < vector_numbers && i < left; ++i) {
                sums[channel + i] += static_cast<double>(sum[i]);
                sums[work.channels + channel + i] += static_cast<double>(squares[i]);
            }
        }
    }
}

void sum_planes(const GroupNorming& work, std::int64_t row, std::int64_t begin, std::int64_t end,
                double* sums) {
    if (work.bfloat16) return sum_numbers<std::uint16_t>(work, row, begin, end, sums);
    sum_numbers<float>(work, row, begin, end, sums);
}

template <class Number, bool silu>
void apply_numbers(const GroupNorming& work, std::int64_t row, std::int64_t begin,
                   std::int64_t end, const float* factors) {
    const std::int64_t before = (row * work.places + begin) * work.channels;
    const auto* from = static_cast<const Number*>(work.source) + before;
    auto* to = static_cast<Number*>(work.results) + before;
    const auto pass = [&](std::int64_t channel, std::int64_t left) __attribute__((always_inline)) {
        const bool whole = left >= vector_numbers;
        const float *factor = factors + channel, *shift = factor + work.channels;
        const Vector x = whole ? read(from + channel) : read(from + channel, left);
        const Vector y = x * (whole ? read(factor) : read(factor, left)) +
                         (whole ? read(shift) : read(shift, left));
        const Vector result = silu ? sigmoid_linear(y) : y;
        whole ? write(to + channel, result) : write(to + channel, result, left);
    };
    for (std::int64_t place = begin; place < end; ++place) {
        std::int64_t channel = 0;
        for (; channel + vector_numbers <= work.channels; channel += vector_numbers) {
            pass(channel, vector_numbers);
        }
        if (channel < work.channels) pass(channel, work.channels - channel);
        from += work.channels;
        to += work.channels;
    }
}

void apply_planes(const GroupNorming& work, std::int64_t row, std::int64_t begin,
                  std::int64_t end, const float* factors) {
    if (work.bfloat16) {
        work.silu ? apply_numbers<std::uint16_t, true>(work, row, begin, end, factors)
                  : apply_numbers<std::uint16_t, false>(work, row, begin, end, factors);
    } else {
        work.silu ? apply_numbers<float, true>(work, row, begin, end, factors)
                  : apply_numbers<float, false>(work, row, begin, end, factors);
    }
}

constexpr GroupNormKernels group_norm_table(const char* name) {
    return {name, sum_planes, apply_planes};
}

}  // namespace
}  // namespace fathom
