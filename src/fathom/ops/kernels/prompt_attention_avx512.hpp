// Attention of a piece of a prompt: many queries meet the same keys, so that it is worth turning
// weights and values into pairs of bfloat16, which VDPBF16PS multiplies at twice the rate of
// float32: what comes out is no more exact than they are. An error of a score is one of an
// exponent, and large channels of keys make it large: scores are float32 products of what is
// stored, or pairs too where what made the queries was rounded further than that. For one
// instruction set, whose file includes this.
#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstring>

#include "arithmetic.hpp"

namespace fathom {
namespace {

constexpr int keys_at_once = 2 * page_tokens;
constexpr int page_vectors = page_tokens / lanes;  // of scores of a row
constexpr int rows_at_once = 4;                    // whose scores are in registers together
constexpr int widest_pairs = widest_prompt_head / 2;

// What some keys and values become. A pair is the values of two tokens, which are multiplied by
// two weights and added, or two dimensions of a key.
struct alignas(64) Unpacked {
    union {
        float keys[widest_prompt_head * keys_at_once];         // (width, keys_at_once)
        std::uint32_t key_pairs[widest_pairs * keys_at_once];  // (pairs of dimensions, the same)
    };
    std::uint32_t queries[prompt_rows * widest_pairs];  // (rows, padded(width) / 2) as pairs
    std::uint32_t values[keys_at_once / 2 * widest_prompt_head];    // (keys_at_once / 2, padded)
    std::uint32_t weights[rows_at_once * keys_at_once / 2];
    float sums[prompt_rows * lanes];
    float highest[prompt_rows];
};

inline __m512i counting() {
    return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

// The first number of each pair, and the second.
inline __m512i paired(__m512 first, __m512 second) {
    const auto both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first));
    const __m512i halves = _mm512_slli_epi32(_mm512_set1_epi32(1), 20);  // 16 places on
    const __m512i low = counting();
    const __m512i order = _mm512_or_si512(low, _mm512_or_si512(halves, _mm512_slli_epi32(low, 16)));
    return _mm512_permutexvar_epi16(order, both);
}

inline __m512 halves_at(const std::uint16_t* from) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}

inline __m512 dot(__m512 sum, const std::uint32_t* vector, std::uint32_t pair) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(_mm512_load_si512(vector)),
                            reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(pair))));
}

// e^x for x ≤ 0 to about 2^-14, which is finer than what weights are rounded to.
inline __m512 shares(__m512 x) {
    const __m512 bounded = _mm512_max_ps(_mm512_set1_ps(-87), x);  // not a number stays one
    const __m512 t = _mm512_mul_ps(bounded, _mm512_set1_ps(1.442695F));
    const __m512 n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 f = _mm512_sub_ps(t, n);
    __m512 p = _mm512_fmadd_ps(f, _mm512_set1_ps(9.618129e-3F), _mm512_set1_ps(5.550411e-2F));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.402265e-1F));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.931472e-1F));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1));
    return _mm512_scalef_ps(p, n);
}

// Scores as float32 products of queries and keys.
struct ExactScores {
    static void prepare(const Attending& /*work*/, Unpacked& /*unpacked*/) {}
    static void unpack(const std::uint16_t* keys, std::int64_t width, int page,
                       Unpacked& unpacked) {
        for (std::int64_t d = 0; d < width; ++d) {
            float* to = unpacked.keys + d * keys_at_once + page * page_tokens;
            for (int half = 0; half < page_tokens; half += lanes) {
                _mm512_store_ps(to + half, halves_at(keys + d * page_tokens + half));
            }
        }
    }
    static std::int64_t steps(std::int64_t width) { return width; }
    static const float* row(const Attending& work, const Unpacked& /*unpacked*/, int row) {
        return work.queries + row * padded(work.width);
    }
    static const float* keys(const Unpacked& unpacked) { return unpacked.keys; }
    static __m512 multiply(__m512 sum, const float* keys, __m512 query) {
        return _mm512_fmadd_ps(_mm512_load_ps(keys), query, sum);
    }
    static __m512 all(float query) { return _mm512_set1_ps(query); }
};

// Scores as products of two dimensions at once, each rounded to bfloat16.
struct PairedScores {
    static void prepare(const Attending& work, Unpacked& unpacked) {
        const std::int64_t stride = padded(work.width);
        for (int row = 0; row < work.rows; ++row) {
            for (std::int64_t d = 0; d < stride; d += lanes) {
                const std::int64_t left = work.width - d;
                const auto seen = static_cast<__mmask16>(left < lanes ? (1U << left) - 1 : 0xffff);
                const __m512 some = _mm512_maskz_loadu_ps(seen, work.queries + row * stride + d);
                const auto pairs = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(some));
                auto* to = unpacked.queries + (row * stride + d) / 2;
                _mm256_store_si256(reinterpret_cast<__m256i*>(to), pairs);
            }
        }
    }
    static void unpack(const std::uint16_t* keys, std::int64_t width, int page,
                       Unpacked& unpacked) {
        for (std::int64_t d = 0; d < width; d += 2) {
            std::uint32_t* to = unpacked.key_pairs + d / 2 * keys_at_once + page * page_tokens;
            const std::uint16_t* from = keys + d * page_tokens;
            for (int half = 0; half < page_tokens; half += lanes) {
                const __m512 second =
                    d + 1 < width ? halves_at(from + page_tokens + half) : _mm512_setzero_ps();
                _mm512_store_si512(to + half, paired(halves_at(from + half), second));
            }
        }
    }
    static std::int64_t steps(std::int64_t width) { return (width + 1) / 2; }
    static const std::uint32_t* row(const Attending& work, const Unpacked& unpacked, int row) {
        return unpacked.queries + row * padded(work.width) / 2;
    }
    static const std::uint32_t* keys(const Unpacked& unpacked) { return unpacked.key_pairs; }
    static __m512 multiply(__m512 sum, const std::uint32_t* keys, __m512i query) {
        return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(_mm512_load_si512(keys)),
                                reinterpret_cast<__m512bh>(query));
    }
    static __m512i all(std::uint32_t query) { return _mm512_set1_epi32(static_cast<int>(query)); }
};

// A page of keys and values as the `page`-th of those at once. Values before `begin` or from `end`
// on are nobody's, and become zero.
template <class Scores>
void unpack_page(const std::uint16_t* keys, std::int64_t width, int page, int begin, int end,
                 Unpacked& unpacked) {
    const std::int64_t stride = padded(width);
    Scores::unpack(keys, width, page, unpacked);
    const std::uint16_t* values = keys + page_tokens * width;
    for (int token = 0; token < page_tokens; token += 2) {
        const auto at = [&](int index, std::int64_t d) {
            const bool seen = begin <= index && index < end;
            return seen ? halves_at(values + index * stride + d) : _mm512_setzero_ps();
        };
        std::uint32_t* to = unpacked.values + (page * page_tokens + token) / 2 * stride;
        for (std::int64_t d = 0; d < stride; d += lanes) {
            _mm512_store_si512(to + d, paired(at(token, d), at(token + 1, d)));
        }
    }
}

// Scores of one row → weights, and its results to the new highest score.
template <int vectors>
inline void weigh_row(const Attending& work, int row, std::int32_t start,
                      const __m512 (&given)[vectors], std::uint32_t* weights, Unpacked& unpacked) {
    constexpr int count = vectors * lanes;
    const std::int64_t stride = padded(work.width);
    const std::int32_t first = work.first[row] - start, last = work.last[row] - start;
    const __m512 nothing = _mm512_set1_ps(-INFINITY);
    __m512 scores[vectors], most = nothing;
    for (int vector = 0; vector < vectors; ++vector) {
        scores[vector] = given[vector];
        if (first > 0 || last < count) {
            const __m512i key = _mm512_add_epi32(counting(), _mm512_set1_epi32(vector * lanes));
            const __mmask16 seen = _mm512_cmpge_epi32_mask(key, _mm512_set1_epi32(first)) &
                                   _mm512_cmplt_epi32_mask(key, _mm512_set1_epi32(last));
            scores[vector] = _mm512_mask_mov_ps(nothing, seen, scores[vector]);
        }
        most = _mm512_max_ps(most, scores[vector]);
    }
    const float before = unpacked.highest[row], found = _mm512_reduce_max_ps(most);
    const float highest = found > before ? found : before;
    float* sums = unpacked.sums + row * lanes;
    if (highest == -INFINITY) {  // nothing of these is seen, nor was before
        std::memset(weights, 0, sizeof(std::uint32_t) * count / 2);
        return;
    }
    if (highest != before) {
        const float kept = before == -INFINITY ? 0.0F : std::exp(before - highest);
        const __m512 factor = _mm512_set1_ps(kept);
        float* results = work.results + row * stride;
        for (std::int64_t d = 0; d < stride; d += lanes) {
            _mm512_storeu_ps(results + d, _mm512_mul_ps(_mm512_loadu_ps(results + d), factor));
        }
        _mm512_store_ps(sums, _mm512_mul_ps(_mm512_load_ps(sums), factor));
        unpacked.highest[row] = highest;
    }
    __m512 sum = _mm512_load_ps(sums);
    for (int vector = 0; vector < vectors; ++vector) {
        // Not a number is unordered, and stays.
        const __mmask16 seen = _mm512_cmp_ps_mask(scores[vector], nothing, _CMP_NEQ_UQ);
        const __m512 less = _mm512_sub_ps(scores[vector], _mm512_set1_ps(highest));
        scores[vector] = _mm512_maskz_mov_ps(seen, shares(less));
        sum = _mm512_add_ps(sum, scores[vector]);
    }
    _mm512_store_ps(sums, sum);
    for (int vector = 0; vector < vectors; vector += 2) {
        const auto both = _mm512_cvtne2ps_pbh(scores[vector + 1], scores[vector]);
        _mm512_store_si512(weights + vector / 2 * lanes, reinterpret_cast<__m512i>(both));
    }
}

// Rows `row` to row + R against the keys of P pages, from position `start` on.
template <class Scores, int R, int P>
void attend_some(const Attending& work, int row, std::int32_t start, Unpacked& unpacked) {
    constexpr int vectors = P * page_vectors;
    const std::int64_t stride = padded(work.width);
    const auto* queries = Scores::row(work, unpacked, row);
    const std::int64_t apart = Scores::row(work, unpacked, 1) - Scores::row(work, unpacked, 0);
    __m512 scores[R][vectors];
    for (auto& own : scores) {
        for (__m512& vector : own) vector = _mm512_setzero_ps();
    }
    for (std::int64_t step = 0; step < Scores::steps(work.width); ++step) {
        const auto* keys = Scores::keys(unpacked) + step * keys_at_once;
        for (int r = 0; r < R; ++r) {
            const auto query = Scores::all(queries[r * apart + step]);
            for (int vector = 0; vector < vectors; ++vector) {
                scores[r][vector] =
                    Scores::multiply(scores[r][vector], keys + vector * lanes, query);
            }
        }
    }
    for (int r = 0; r < R; ++r) {
        weigh_row(work, row + r, start, scores[r], unpacked.weights + r * keys_at_once / 2, unpacked);
    }
    constexpr int width = 4;  // vectors of results in registers
    for (std::int64_t d = 0; d < stride; d += width * lanes) {
        const auto some = static_cast<int>((stride - d) / lanes);
        const auto pass = [&]<int V>() __attribute__((always_inline)) {
            __m512 sums[R][V];
            float* results = work.results + row * stride + d;
            for (int r = 0; r < R; ++r) {
                for (int v = 0; v < V; ++v) {
                    sums[r][v] = _mm512_loadu_ps(results + r * stride + v * lanes);
                }
            }
            for (int pair = 0; pair < P * page_tokens / 2; ++pair) {
                const std::uint32_t* values = unpacked.values + pair * stride + d;
                for (int r = 0; r < R; ++r) {
                    const std::uint32_t weight = unpacked.weights[r * keys_at_once / 2 + pair];
                    for (int v = 0; v < V; ++v) {
                        sums[r][v] = dot(sums[r][v], values + v * lanes, weight);
                    }
                }
            }
            for (int r = 0; r < R; ++r) {
                for (int v = 0; v < V; ++v) {
                    _mm512_storeu_ps(results + r * stride + v * lanes, sums[r][v]);
                }
            }
        };
        if (some >= 4) {
            pass.template operator()<4>();
        } else if (some == 3) {
            pass.template operator()<3>();
        } else if (some == 2) {
            pass.template operator()<2>();
        } else {
            pass.template operator()<1>();
        }
    }
}

// The same of as many pages as one of the rows sees, perhaps of none.
template <class Scores, int R>
void attend_seen(const Attending& work, int row, std::int32_t start, Unpacked& unpacked) {
    std::int32_t first = work.first[row], last = work.last[row];
    for (int r = 1; r < R; ++r) {
        first = work.first[row + r] < first ? work.first[row + r] : first;
        last = work.last[row + r] > last ? work.last[row + r] : last;
    }
    if (last <= start || first >= start + keys_at_once) return;
    if (last <= start + page_tokens) {
        attend_some<Scores, R, 1>(work, row, start, unpacked);
    } else {
        attend_some<Scores, R, 2>(work, row, start, unpacked);
    }
}

template <class Scores>
void attend_prompt_by(const Attending& work) {
    const std::int64_t stride = padded(work.width);
    Unpacked unpacked;
    Scores::prepare(work, unpacked);
    std::int32_t first = work.first[0], last = work.last[0];
    for (int row = 0; row < work.rows; ++row) {
        first = work.first[row] < first ? work.first[row] : first;
        last = work.last[row] > last ? work.last[row] : last;
        unpacked.highest[row] = work.sinks ? work.sinks[row] : -INFINITY;
        std::memset(unpacked.sums + row * lanes, 0, sizeof(float) * lanes);
        if (work.sinks) unpacked.sums[row * lanes] = 1;
    }
    std::memset(work.results, 0, sizeof(float) * work.rows * stride);
    for (std::int32_t start = first / page_tokens * page_tokens; start < last;
         start += keys_at_once) {
        for (int page = 0; page < keys_at_once / page_tokens; ++page) {
            const std::int32_t begin = start + page * page_tokens;
            // Behind the last page there is none: its values become zero, its keys are not seen.
            const std::int32_t number = work.table[(begin < last ? begin : start) / page_tokens];
            unpack_page<Scores>(reinterpret_cast<const std::uint16_t*>(
                          work.pages + number * work.page_bytes + work.head_offset),
                      work.width, page, first - begin, last - begin, unpacked);
        }
        int row = 0;
        for (; row + rows_at_once <= work.rows; row += rows_at_once) {
            attend_seen<Scores, rows_at_once>(work, row, start, unpacked);
        }
        for (; row < work.rows; ++row) attend_seen<Scores, 1>(work, row, start, unpacked);
    }
    for (int row = 0; row < work.rows; ++row) {
        const float share = 1.0F / _mm512_reduce_add_ps(_mm512_load_ps(unpacked.sums + row * lanes));
        for (std::int64_t d = 0; d < stride; ++d) work.results[row * stride + d] *= share;
    }
}

void attend_prompt(const Attending& work) {
    return work.paired ? attend_prompt_by<PairedScores>(work) : attend_prompt_by<ExactScores>(work);
}

}  // namespace
}  // namespace fathom
