// The one source of `LatentKernels`. A file that includes it says first how halves are read and
// written. Everything is static: objects for different sets of instructions must not share code.
#pragma once

#include <cmath>
#include <cstring>

#include "functions.hpp"
#include "lanes.hpp"
#include "latents.hpp"

namespace fathom {
namespace {

constexpr int keys_at_once = one_vector ? 8 : 4;  // whose scores stay in registers
constexpr int numbers_at_once = keys_at_once;          // of a latent

// A page's first `count` keys as numbers.
inline const float* numbers(const LatentAttending& work, std::int32_t start, int count) {
    const std::uint8_t* page = work.pages + work.table[start / page_tokens] * work.page_bytes;
    if (work.type == StateType::Float32) return reinterpret_cast<const float*>(page);
    const auto* halves = reinterpret_cast<const std::uint16_t*>(page);
    const std::int64_t all = count * work.width;
    std::int64_t i = 0;
    for (; i + lanes <= all; i += lanes) write_lane(work.room + i, read_lane(halves + i));
    if (i < all) {
        alignas(64) std::uint16_t rest[lanes] = {};
        std::memcpy(rest, halves + i, sizeof(std::uint16_t) * (all - i));
        const Lane last = read_lane(rest);
        std::memcpy(work.room + i, &last, sizeof(float) * (all - i));
    }
    return work.room;
}

template <int Keys>
void score_keys(const LatentAttending& work, const float* keys, Lane* scores) {
    Lane sums[Keys] = {};
    for (std::int64_t d = 0; d < work.width; ++d) {
        const Lane query = read_lane(work.queries + d * latent_heads);
        for (int key = 0; key < Keys; ++key) sums[key] += query * keys[key * work.width + d];
    }
    for (int key = 0; key < Keys; ++key) scores[key] = sums[key];
}

// results = results · kept + Σ weight · latent, for some numbers of the latents.
template <int Numbers>
void add_latents(const LatentAttending& work, const float* keys, const Lane* weights, int begin,
                 int end, const Lane& kept, std::int64_t d) {
    Lane sums[Numbers];
    float* results = work.results + d * latent_heads;
    for (int i = 0; i < Numbers; ++i) sums[i] = read_lane(results + i * latent_heads) * kept;
    for (int key = begin; key < end; ++key) {
        const float* latent = keys + key * work.width + d;
        for (int i = 0; i < Numbers; ++i) sums[i] += weights[key] * latent[i];
    }
    for (int i = 0; i < Numbers; ++i) write_lane(results + i * latent_heads, sums[i]);
}

// e^(scores - highest), in place; returns the sums' and results' share that is kept.
inline Lane weigh_keys(const LatentAttending& work, int begin, int end, Lane* scores) {
    const Lane before = read_lane(work.highest);
    Lane highest = before;
    for (int key = begin; key < end; ++key) {
        highest = greater(scores[key], highest);
    }
    alignas(64) float top[latent_heads], share[latent_heads], sums[latent_heads];
    alignas(64) float own[latent_heads];
    write_lane(top, highest);
    write_lane(own, before);
    write_lane(sums, read_lane(work.sums));
#pragma omp simd
    for (int i = 0; i < latent_heads; ++i) {
        share[i] = own[i] == -INFINITY ? 0.0F : exponential(own[i] - top[i]);
        sums[i] *= share[i];
    }
    for (int key = begin; key < end; ++key) {
        write_lane(own, scores[key]);
#pragma omp simd
        for (int i = 0; i < latent_heads; ++i) {
            own[i] = exponential(own[i] - top[i]);
            sums[i] += own[i];
        }
        scores[key] = read_lane(own);
    }
    write_lane(work.highest, highest);
    write_lane(work.sums, read_lane(sums));
    return read_lane(share);
}

void attend_latents(const LatentAttending& work) {
    std::memset(work.results, 0, sizeof(float) * latent_heads * work.latent);
    for (int i = 0; i < latent_heads; ++i) {
        work.highest[i] = -INFINITY;
        work.sums[i] = 0;
    }
    Lane scores[page_tokens];
    for (std::int32_t start = work.first / page_tokens * page_tokens; start < work.last;
         start += page_tokens) {
        const int begin = work.first > start ? work.first - start : 0;
        const int end = work.last - start < page_tokens ? work.last - start : page_tokens;
        const float* keys = numbers(work, start, end);
        int key = 0;
        for (; key + keys_at_once <= end; key += keys_at_once) {
            score_keys<keys_at_once>(work, keys + key * work.width, scores + key);
        }
        for (; key < end; ++key) score_keys<1>(work, keys + key * work.width, scores + key);
        const Lane kept = weigh_keys(work, begin, end, scores);
        std::int64_t d = 0;
        for (; d + numbers_at_once <= work.latent; d += numbers_at_once) {
            add_latents<numbers_at_once>(work, keys, scores, begin, end, kept, d);
        }
        for (; d < work.latent; ++d) add_latents<1>(work, keys, scores, begin, end, kept, d);
    }
}

void store_latent(const float* x, std::int64_t width, StateType type, std::uint8_t* to) {
    if (type == StateType::Float32) {
        std::memcpy(to, x, sizeof(float) * width);
        return;
    }
    auto* halves = reinterpret_cast<std::uint16_t*>(to);
    for (std::int64_t i = 0; i < width; ++i) halves[i] = write_half(x[i]);
}

constexpr LatentKernels latent_table(const char* name) {
    return {name, attend_latents, store_latent};
}

}  // namespace
}  // namespace fathom
