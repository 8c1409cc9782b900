// The one source of `Arithmetic`. A file that includes it says first how 16 halves are read and
// written: `read_lane` and `write_half`. Everything is static: objects for different sets of
// instructions must not share code.
#pragma once

#include <cmath>
#include <cstring>

#include "arithmetic.hpp"
#include "floats.hpp"
#include "functions.hpp"
#include "lanes.hpp"

namespace fathom {
namespace {

void norm(const NormShape& shape, const float* x, float* y) {
    const std::int64_t width = shape.width;
    for (std::int64_t part = 0; part < shape.parts; ++part, x += width, y += width) {
        float mean = 0;
        if (shape.centred) {
#pragma omp simd reduction(+ : mean)
            for (std::int64_t i = 0; i < width; ++i) mean += x[i];
            mean /= static_cast<float>(width);
        }
        float squares = 0;
#pragma omp simd reduction(+ : squares)
        for (std::int64_t i = 0; i < width; ++i) squares += (x[i] - mean) * (x[i] - mean);
        const float factor =
            1.0F / std::sqrt(squares / static_cast<float>(width) + shape.epsilon);
        const float* weight = shape.weight ? shape.weight + part * shape.weights : nullptr;
        const float* bias = shape.bias ? shape.bias + part * shape.weights : nullptr;
        // Each case has its loop: in one, a vector of no addresses is read with no lane wanted,
        // which takes hundreds of cycles.
        if (weight && bias) {
#pragma omp simd
            for (std::int64_t i = 0; i < width; ++i) {
                y[i] = (x[i] - mean) * factor * weight[i] + bias[i];
            }
        } else if (weight) {
#pragma omp simd
            for (std::int64_t i = 0; i < width; ++i) y[i] = (x[i] - mean) * factor * weight[i];
        } else {
#pragma omp simd
            for (std::int64_t i = 0; i < width; ++i) y[i] = (x[i] - mean) * factor;
        }
    }
}

template <typename F>
inline void each(const float* x, const float* other, std::int64_t count, float* y, F activation) {
    if (other) {
#pragma omp simd
        for (std::int64_t i = 0; i < count; ++i) y[i] = activation(x[i]) * other[i];
    } else {
#pragma omp simd
        for (std::int64_t i = 0; i < count; ++i) y[i] = activation(x[i]);
    }
}

// ``(up + 1) · gate · sigmoid(alpha · gate)``, bounded (gpt-oss, arXiv 2508.10925).
void clamped_swish(float alpha, float limit, const float* x, const float* up, std::int64_t count,
                   float* y) {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) {
        const float gate = x[i] > limit ? limit : x[i];
        float other = up[i] > limit ? limit : up[i];
        other = other < -limit ? -limit : other;
        y[i] = (other + 1.0F) * gate * logistic(alpha * gate);
    }
}

void activate(Activation kind, float alpha, float limit, const float* x, const float* other,
              std::int64_t count, float* y) {
    const auto apply = [&](auto activation) { each(x, other, count, y, activation); };
    switch (kind) {
        case Activation::Silu: return apply([](float v) { return v * logistic(v); });
        case Activation::Gelu:
            return apply([](float v) { return 0.5F * v * (1.0F + error_function(v * 0.70710678F)); });
        case Activation::GeluTanh:
            return apply([](float v) {
                const float inner = 0.79788456F * (v + 0.044715F * v * v * v);
                return 0.5F * v * (1.0F + hyperbolic_tangent(inner));
            });
        case Activation::GeluQuick: return apply([](float v) { return v * logistic(1.702F * v); });
        case Activation::Relu: return apply([](float v) { return v < 0 ? 0.0F : v; });
        case Activation::ReluSquared:
            return apply([](float v) { return v < 0 ? 0.0F : v * v; });
        case Activation::Sigmoid: return apply([](float v) { return logistic(v); });
        case Activation::Tanh: return apply([](float v) { return hyperbolic_tangent(v); });
        case Activation::Identity: return apply([](float v) { return v; });
        case Activation::ClampedSwish: return clamped_swish(alpha, limit, x, other, count, y);
    }
}

void rotate(float* x, const float* cosine, const float* sine, std::int64_t half,
            bool interleaved) {
    if (interleaved) {
        for (std::int64_t i = 0; i < half; ++i) {
            const float first = x[2 * i], second = x[2 * i + 1];
            x[2 * i] = first * cosine[i] - second * sine[i];
            x[2 * i + 1] = second * cosine[i] + first * sine[i];
        }
        return;
    }
    float* y = x + half;
#pragma omp simd
    for (std::int64_t i = 0; i < half; ++i) {
        const float first = x[i], second = y[i];
        x[i] = first * cosine[i] - second * sine[i];
        y[i] = second * cosine[i] + first * sine[i];
    }
}

void add(float* x, const float* y, float scale, std::int64_t count) {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) x[i] += y[i] * scale;
}

void bound(float* y, float scale, float cap, std::int64_t count) {
    if (cap == 0) {
#pragma omp simd
        for (std::int64_t i = 0; i < count; ++i) y[i] *= scale;
        return;
    }
    const float inverse = 1.0F / cap;
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) {
        y[i] = cap * hyperbolic_tangent(y[i] * scale * inverse);
    }
}

// Lanes of sums, and rows of scores, that registers hold while a page passes.
constexpr int page_sums = one_vector ? 12 : 4, page_rows = one_vector ? 8 : 3;

// Asks for what is read soon: as many numbers as stand here, `ahead` bytes on.
template <int Count, typename Number>
inline void fetch(const Number* here, std::int64_t ahead) {
    constexpr int line = 64;
    const char* place = reinterpret_cast<const char*>(here) + ahead;
    for (int byte = 0; byte < Count * static_cast<int>(sizeof(Number)); byte += line) {
        __builtin_prefetch(place + byte);
    }
}

// Scores of one page's keys: (R, page_tokens). The next page's keys lie `ahead` bytes on.
template <int R, typename Number>
inline void score_rows(const float* queries, std::int64_t stride, std::int64_t width,
                       const Number* keys, std::int64_t ahead, float* scores) {
    Lane sums[R][2] = {};
    for (std::int64_t d = 0; d < width; ++d, keys += page_tokens) {
        fetch<page_tokens>(keys, ahead);
        const Lane first = read_lane(keys), second = read_lane(keys + lanes);
        for (int row = 0; row < R; ++row) {
            const float query = queries[row * stride + d];
            sums[row][0] += first * query;
            sums[row][1] += second * query;
        }
    }
    for (int row = 0; row < R; ++row) {
        write_lane(scores + row * page_tokens, sums[row][0]);
        write_lane(scores + row * page_tokens + lanes, sums[row][1]);
    }
}

template <int R, typename Number>
void score_page(const float* queries, std::int64_t stride, std::int64_t width, const Number* keys,
                std::int64_t ahead, float* scores) {
    constexpr int now = R < page_rows ? R : page_rows;
    score_rows<now>(queries, stride, width, keys, ahead, scores);
    if constexpr (now < R) {
        score_page<R - now>(queries + now * stride, stride, width, keys, 0,
                            scores + now * page_tokens);
    }
}

// `C` lanes of `add_page`'s results.
template <int R, int C, typename Number>
inline void add_lanes(const float* weights, const Number* values, std::int64_t stride, int begin,
                      int end, std::int64_t ahead, float* results) {
    Lane sums[R][C];
    for (int row = 0; row < R; ++row) {
        for (int c = 0; c < C; ++c) sums[row][c] = read_lane(results + row * stride + c * lanes);
    }
    for (int token = begin; token < end; ++token) {
        const Number* own = values + token * stride;
        fetch<C * lanes>(own, ahead);
        for (int c = 0; c < C; ++c) {
            const Lane value = read_lane(own + c * lanes);
            for (int row = 0; row < R; ++row) {
                sums[row][c] += value * weights[row * page_tokens + token];
            }
        }
    }
    for (int row = 0; row < R; ++row) {
        for (int c = 0; c < C; ++c) write_lane(results + row * stride + c * lanes, sums[row][c]);
    }
}

// results += weights (R, page_tokens) · values, of the page's tokens `begin` to `end`. The next
// page's values lie `ahead` bytes on.
template <int R, typename Number>
void add_page(const float* weights, const Number* values, std::int64_t stride, int begin, int end,
              std::int64_t ahead, float* results) {
    constexpr int now = R < page_rows ? R : page_rows, most = page_sums / now;
    constexpr int at_once = most >= 4 ? 4 : most;  // lanes; a head of 64 is four
    std::int64_t d = 0;
    for (; d + at_once * lanes <= stride; d += at_once * lanes) {
        add_lanes<now, at_once>(weights, values + d, stride, begin, end, ahead, results + d);
    }
    for (; d < stride; d += lanes) {
        add_lanes<now, 1>(weights, values + d, stride, begin, end, ahead, results + d);
    }
    if constexpr (now < R) {
        add_page<R - now>(weights + now * page_tokens, values, stride, begin, end, 0,
                          results + now * stride);
    }
}

// Turns a row's scores of a page into weights, and its results to the new highest score.
inline void weigh(const Attending& work, int row, std::int32_t start, float* scores,
                  Softmax& softmax, float* results, std::int64_t stride) {
    if (work.soft_cap != 0) bound(scores, 1.0F, work.soft_cap, page_tokens);
    if (work.rounded != 0) {
        const float slope = as_bfloat16(work.slopes[row]);
#pragma omp simd
        for (int i = 0; i < page_tokens; ++i) {
            const float place = as_bfloat16(static_cast<float>(start + i));
            scores[i] += as_bfloat16(slope * place) * work.rounded;
        }
    } else if (work.slopes) {
        const float slope = work.slopes[row];
        const std::int32_t position = work.positions[row];
#pragma omp simd
        for (int i = 0; i < page_tokens; ++i) {
            scores[i] -= slope * static_cast<float>(position - start - i);
        }
    }
    if (work.distances) {
        const float* own = work.distances[row];
        const std::int32_t ahead = start - work.positions[row], furthest = work.furthest;
#pragma omp simd
        for (int i = 0; i < page_tokens; ++i) {
            const std::int32_t most = ahead + i < furthest ? ahead + i : furthest;
            scores[i] += own[most > -furthest ? most : -furthest];
        }
    }
    const std::int32_t first = work.first[row] - start, last = work.last[row] - start;
    if (first > 0 || last < page_tokens) {
#pragma omp simd
        for (int i = 0; i < page_tokens; ++i) {
            scores[i] = i < first || i >= last ? -INFINITY : scores[i];
        }
    }
    float highest = softmax.highest;
#pragma omp simd reduction(max : highest)
    for (int i = 0; i < page_tokens; ++i) highest = scores[i] > highest ? scores[i] : highest;
    if (highest == -INFINITY) {  // nothing of this page is seen, nor was before
        std::memset(scores, 0, sizeof(float) * page_tokens);
        return;
    }
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < page_tokens; ++i) {
        const float weight = scores[i] == -INFINITY ? 0.0F : exponential(scores[i] - highest);
        scores[i] = weight;
        sum += weight;
    }
    if (highest != softmax.highest) {
        const float kept =
            softmax.highest == -INFINITY ? 0.0F : exponential(softmax.highest - highest);
        for (std::int64_t i = 0; i < stride; ++i) results[i] *= kept;
        softmax.sum *= kept;
        softmax.highest = highest;
    }
    softmax.sum += sum;
}

template <int R, typename Number>
void attend_rows(const Attending& work) {
    const std::int64_t stride = padded(work.width);
    std::int32_t first = work.first[0], last = work.last[0];
    Softmax softmax[R];
    for (int row = 0; row < R; ++row) {  // rows may see nothing of some keys
        first = work.first[row] < first ? work.first[row] : first;
        last = work.last[row] > last ? work.last[row] : last;
        softmax[row] = work.sinks ? Softmax{work.sinks[row], 1.0F} : Softmax{-INFINITY, 0.0F};
    }
    std::memset(work.results, 0, sizeof(float) * R * stride);
    alignas(64) float scores[R * page_tokens];
    for (std::int32_t start = first / page_tokens * page_tokens; start < last;
         start += page_tokens) {
        const std::int32_t* page = work.table + start / page_tokens;
        const auto* keys = reinterpret_cast<const Number*>(work.pages + *page * work.page_bytes +
                                                           work.head_offset);
        const bool more = start + page_tokens < last;
        const std::int64_t ahead = more ? (page[1] - *page) * work.page_bytes : 0;
        score_page<R>(work.queries, stride, work.width, keys, ahead, scores);
        for (int row = 0; row < R; ++row) {
            weigh(work, row, start, scores + row * page_tokens, softmax[row],
                  work.results + row * stride, stride);
        }
        const int begin = first > start ? first - start : 0;
        const int end = last - start < page_tokens ? last - start : page_tokens;
        add_page<R>(scores, keys + page_tokens * work.width, stride, begin, end, ahead,
                    work.results);
    }
    for (int row = 0; row < R; ++row) {
        if (work.softmax) {
            work.softmax[row] = softmax[row];
            continue;
        }
        const float share = 1.0F / softmax[row].sum;
        for (std::int64_t i = 0; i < stride; ++i) work.results[row * stride + i] *= share;
    }
}

template <typename Number>
void attend_typed(const Attending& work) {
    switch (work.rows) {
        case 1: return attend_rows<1, Number>(work);
        case 2: return attend_rows<2, Number>(work);
        case 3: return attend_rows<3, Number>(work);
        case 4: return attend_rows<4, Number>(work);
        case 5: return attend_rows<5, Number>(work);
        case 6: return attend_rows<6, Number>(work);
        case 7: return attend_rows<7, Number>(work);
        default: return attend_rows<8, Number>(work);
    }
}

void attend(const Attending& work) {
    if (work.type == StateType::Float32) {
        attend_typed<float>(work);
    } else {
        attend_typed<std::uint16_t>(work);
    }
}

inline void put(float* to, float value) { *to = value; }
inline void put(std::uint16_t* to, float value) { *to = write_half(value); }

template <typename Number>
void store_typed(const float* key, const float* value, std::int64_t width, std::int64_t place,
                 Number* head) {
    const std::int64_t stride = padded(width);
    for (std::int64_t d = 0; d < width; ++d) put(head + d * page_tokens + place, key[d]);
    Number* values = head + page_tokens * width + place * stride;
    for (std::int64_t d = 0; d < width; ++d) put(values + d, value[d]);
    for (std::int64_t d = width; d < stride; ++d) put(values + d, 0.0F);
}

void store(const float* key, const float* value, std::int64_t width, StateType type,
           std::int64_t place, std::uint8_t* head) {
    if (type == StateType::Float32) {
        store_typed(key, value, width, place, reinterpret_cast<float*>(head));
    } else {
        store_typed(key, value, width, place, reinterpret_cast<std::uint16_t*>(head));
    }
}

constexpr Arithmetic table(const char* name, void (*prompt)(const Attending&) = nullptr) {
    return {name, norm, activate, rotate, add, bound, attend, prompt, store};
}

}  // namespace
}  // namespace fathom
