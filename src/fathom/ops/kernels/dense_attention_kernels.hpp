// The one source of `DenseAttentionKernels`, for the instructions that a file including it is
// compiled for. A head's keys and values, and the tile of queries, are laid out so that each
// product takes a vector of queries and one number, or one pair of bfloat16, of a key:
//
//     queries (width, tile) · keys [six keys][width][key] ─► scores (keys at once, tile)
//     weights (keys at once, tile) · values [six of the width][key][number] ─► results (width, tile)
#pragma once

#include <cmath>
#include <cstring>

#include "dense_attention.hpp"
#include "floats.hpp"
#include "vectors.hpp"
#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace fathom {
namespace {

#if defined(__AVX512F__)
constexpr int tile_vectors = 4;
#else
constexpr int tile_vectors = 2;
#endif
constexpr int tile_queries = tile_vectors * vector_numbers;
constexpr int six = 6;             // keys, or numbers of values, whose sums are in registers
constexpr int keys_at_once = 96;   // whose scores are kept

constexpr std::int64_t over(std::int64_t count, std::int64_t unit) {
    return (count + unit - 1) / unit;
}

inline Vector larger(const Vector& a, const Vector& b) { return a > b ? a : b; }

// 2^x for x ≤ 0: to a unit in the last place, or to 2^-13 where weights are rounded to bfloat16.
template <bool exactly>
inline Vector power_of_two(const Vector& x) {
#if defined(__AVX512F__)
    const auto full = reinterpret_cast<__m512>(x);
    const auto f = reinterpret_cast<Vector>(_mm512_reduce_ps(full, _MM_FROUND_TO_NEG_INF));
    Vector p;
    if constexpr (exactly) {
        p = 0.009678840637207031F + f * (0.001243968727067113F + f * 0.00021702254889532924F);
        p = 0.6931470036506653F + f * (0.24022983014583588F + f * (0.055483341217041016F + f * p));
        p = 1.0F + f * p;
    } else {
        p = 0.6958335638046265F + f * (0.22606715559959412F + f * 0.07802452147006989F);
        p = 0.9999251961708069F + f * p;
    }
    return reinterpret_cast<Vector>(_mm512_scalef_ps(reinterpret_cast<__m512>(p), full));
#else
    const Vector bounded = x < all(-126.0F) ? all(-126.0F) : x;  // not a number stays one
    const Vector shifted = bounded + 12582912.0F;  // the low bits are the exponent
    const Vector f = bounded - (shifted - 12582912.0F);
    Vector p = 0.009618489071726799F + f * (0.0013399930903688073F + f * 0.0001534581242594868F);
    p = 0.6931471824645996F + f * (0.24022646248340607F + f * (0.05550328642129898F + f * p));
    p = 1.0F + f * p;
    return p * reinterpret_cast<Vector>((reinterpret_cast<Bits>(shifted) << 23) + 0x3f800000U);
#endif
}

// One number at a time.
struct Single {
    using Stored = float;  // in memory
    using Unit = float;    // that is multiplied at once
    static constexpr int count = 1;
    static constexpr bool exactly = true;
    static Unit unit(const Stored* from, std::int64_t, std::int64_t) { return *from; }
    static void add(Vector& sum, const Vector& vector, Unit one) { sum += vector * all(one); }
    static Vector weights(const Vector* of_keys) { return of_keys[0]; }
    static Stored stored(float value) { return value; }
};

#if defined(__AVX512BF16__)
// Two numbers of bfloat16: two of the width, or values of two keys.
struct Paired {
    using Stored = std::uint16_t;
    using Unit = std::uint32_t;
    static constexpr int count = 2;
    static constexpr bool exactly = false;
    static Unit unit(const Stored* from, std::int64_t step, std::int64_t left) {
        return from[0] | (left > 1 ? static_cast<Unit>(from[step]) << 16 : 0U);
    }
    static void add(Vector& sum, const Vector& vector, Unit one) {
        sum = reinterpret_cast<Vector>(_mm512_dpbf16_ps(
            reinterpret_cast<__m512>(sum), reinterpret_cast<__m512bh>(vector),
            reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(one)))));
    }
    static Vector weights(const Vector* of_keys) {
        const Bits first = reinterpret_cast<Bits>(of_keys[0]) + 0x8000U;  // never negative
        const Bits second = reinterpret_cast<Bits>(of_keys[1]) + 0x8000U;
        return reinterpret_cast<Vector>(first >> 16 | (second & 0xffff0000U));
    }
    static Stored stored(float value) {
        return static_cast<Stored>(to_bits(as_bfloat16(value)) >> 16);
    }
};
#endif

// Parts of a thread's room, one after the other.
template <class Kind>
struct Room {
    using Unit = typename Kind::Unit;
    Room(const DenseAttending& work, float* from)
        : widths(over(work.width, Kind::count)),
          pairs(over(over(work.keys, keys_at_once) * keys_at_once, Kind::count)),
          queries(reinterpret_cast<Unit*>(from)),
          keys(queries + widths * tile_queries),
          values(keys + over(work.keys, six) * six * widths),
          results(reinterpret_cast<float*>(values + over(work.value_width, six) * six * pairs)),
          scores(results + over(work.value_width, six) * six * tile_queries),
          end(scores + keys_at_once * tile_queries) {}
    std::int64_t widths, pairs;
    Unit *queries, *keys, *values;
    float *results, *scores, *end;
};

template <class Kind>
std::int64_t room_of(const DenseAttending& work) {
    return Room<Kind>(work, nullptr).end - static_cast<float*>(nullptr);
}

template <class Kind>
const typename Kind::Stored* at(const Heads& heads, std::int64_t batch, std::int64_t head,
                                std::int64_t token) {
    return static_cast<const typename Kind::Stored*>(heads.data) + batch * heads.batch_step +
           head * heads.head_step + token * heads.token_step;
}

template <class Kind>
void lay_out(const DenseAttending& work, std::int64_t batch, std::int64_t head, float* from) {
    const Room<Kind> room(work, from);
    for (std::int64_t key = 0; key < over(work.keys, six) * six; ++key) {
        auto* to = room.keys + key / six * six * room.widths + key % six;
        const auto* numbers = at<Kind>(work.key, batch, head, key < work.keys ? key : 0);
        for (std::int64_t i = 0; i < room.widths; ++i) {
            const std::int64_t first = i * Kind::count;
            to[i * six] = Kind::unit(numbers + first, 1, work.width - first);
        }
    }
    const std::int64_t wide = over(work.value_width, six) * six;
    for (std::int64_t pair = 0; pair < room.pairs; ++pair) {
        const std::int64_t key = pair * Kind::count, left = work.keys - key;
        const auto* numbers = at<Kind>(work.value, batch, head, left > 0 ? key : 0);
        for (std::int64_t d = 0; d < wide; ++d) {
            const bool there = left > 0 && d < work.value_width;
            room.values[d / six * six * room.pairs + pair * six + d % six] =
                there ? Kind::unit(numbers + d, work.value.token_step, left) : 0;
        }
    }
}

// Sums of six rows of a tile: of each vector at `vectors` and the six units beside it.
template <class Kind>
inline void multiply_six(const typename Kind::Unit* units, const float* vectors, std::int64_t count,
                         Vector (&sums)[six][tile_vectors]) {
    for (std::int64_t i = 0; i < count; ++i) {
        Vector vector[tile_vectors];
        for (int v = 0; v < tile_vectors; ++v) vector[v] = read(vectors + v * vector_numbers);
        for (int r = 0; r < six; ++r) {
            for (int v = 0; v < tile_vectors; ++v) Kind::add(sums[r][v], vector[v], units[r]);
        }
        units += six;
        vectors += tile_queries;
    }
}

// Scores of the keys from `first` on, and the highest of each query.
template <class Kind>
void score(const DenseAttending& work, const Room<Kind>& room, std::int64_t first,
           Vector (&highest)[tile_vectors]) {
    const std::int64_t left = work.keys - first;
    for (int key = 0; key < keys_at_once && key < left; key += six) {
        Vector sums[six][tile_vectors] = {};
        multiply_six<Kind>(room.keys + (first + key) * room.widths,
                           reinterpret_cast<const float*>(room.queries), room.widths, sums);
        for (int r = 0; r < six && key + r < left; ++r) {
            float* to = room.scores + (key + r) * tile_queries;
            for (int v = 0; v < tile_vectors; ++v) {
                highest[v] = larger(sums[r][v], highest[v]);
                write(to + v * vector_numbers, sums[r][v]);
            }
        }
    }
}

// Scores become weights, pair by pair where those are multiplied; returns how many units of keys.
template <class Kind>
std::int64_t weigh(const DenseAttending& work, const Room<Kind>& room, std::int64_t first,
                   const Vector (&highest)[tile_vectors], Vector (&sums)[tile_vectors]) {
    const float factor = work.scale * 1.44269504F;  // of powers of two
    const std::int64_t left = work.keys - first;
    const std::int64_t units = over(left < keys_at_once ? left : keys_at_once, Kind::count);
    for (int v = 0; v < tile_vectors; ++v) {
        const Vector less = highest[v] * factor;
        float* scores = room.scores + v * vector_numbers;
        Vector sum = sums[v];
        for (std::int64_t unit = 0; unit < units; ++unit) {
            Vector weights[Kind::count];
            for (int i = 0; i < Kind::count; ++i) {
                const std::int64_t key = unit * Kind::count + i;
                const Vector own = read(scores + key * tile_queries) * factor - less;
                weights[i] = key < left ? power_of_two<Kind::exactly>(own) : Vector{};
                sum += weights[i];
            }
            write(scores + unit * tile_queries, Kind::weights(weights));
        }
        sums[v] = sum;
    }
    return units;
}

// results = results · kept + weights · values.
template <class Kind>
void add_values(const DenseAttending& work, const Room<Kind>& room, std::int64_t first,
                std::int64_t units, const Vector (&kept)[tile_vectors]) {
    for (std::int64_t d = 0; d < work.value_width; d += six) {
        float* results = room.results + d * tile_queries;
        Vector sums[six][tile_vectors];
        for (int r = 0; r < six; ++r) {
            for (int v = 0; v < tile_vectors; ++v) {
                sums[r][v] = read(results + r * tile_queries + v * vector_numbers) * kept[v];
            }
        }
        multiply_six<Kind>(room.values + d * room.pairs + first / Kind::count * six, room.scores,
                           units, sums);
        for (int r = 0; r < six; ++r) {
            for (int v = 0; v < tile_vectors; ++v) {
                write(results + r * tile_queries + v * vector_numbers, sums[r][v]);
            }
        }
    }
}

template <class Kind>
void read_queries(const DenseAttending& work, const Room<Kind>& room, std::int64_t batch,
                  std::int64_t head, std::int64_t first) {
    for (std::int64_t q = 0; q < tile_queries; ++q) {
        const std::int64_t query = first + q < work.queries ? first + q : work.queries - 1;
        const auto* numbers = at<Kind>(work.query, batch, head, query);
        for (std::int64_t i = 0; i < room.widths; ++i) {
            const std::int64_t d = i * Kind::count;
            room.queries[i * tile_queries + q] = Kind::unit(numbers + d, 1, work.width - d);
        }
    }
}

template <class Kind>
void attend(const DenseAttending& work, std::int64_t batch, std::int64_t head, std::int64_t first,
            float* from) {
    const Room<Kind> room(work, from);
    read_queries(work, room, batch, head, first);
    std::memset(room.results, 0, sizeof(float) * (room.scores - room.results));
    Vector highest[tile_vectors], sums[tile_vectors] = {};
    for (Vector& each : highest) each = all(-INFINITY);
    for (std::int64_t key = 0; key < work.keys; key += keys_at_once) {
        Vector before[tile_vectors], kept[tile_vectors];
        for (int v = 0; v < tile_vectors; ++v) before[v] = highest[v];
        score(work, room, key, highest);
        for (int v = 0; v < tile_vectors; ++v) {
            kept[v] = key == 0 ? Vector{}
                               : power_of_two<true>((before[v] - highest[v]) *
                                                    (work.scale * 1.44269504F));
            sums[v] *= kept[v];
        }
        const std::int64_t units = weigh(work, room, key, highest, sums);
        add_values(work, room, key, units, kept);
    }
    float shares[tile_queries];
    for (int v = 0; v < tile_vectors; ++v) write(shares + v * vector_numbers, 1.0F / sums[v]);
    for (std::int64_t q = 0; q < tile_queries && first + q < work.queries; ++q) {
        auto* to = const_cast<typename Kind::Stored*>(at<Kind>(work.results, batch, head, first + q));
        for (std::int64_t d = 0; d < work.value_width; ++d) {
            to[d] = Kind::stored(room.results[d * tile_queries + q] * shares[q]);
        }
    }
}

constexpr DenseAttentionKernels dense_attention_table(const char* name) {
    return {name, tile_queries, false, room_of<Single>, lay_out<Single>, attend<Single>};
}

#if defined(__AVX512BF16__)
std::int64_t any_room(const DenseAttending& work) {
    return work.bfloat16 ? room_of<Paired>(work) : room_of<Single>(work);
}
void lay_any_out(const DenseAttending& work, std::int64_t batch, std::int64_t head, float* room) {
    work.bfloat16 ? lay_out<Paired>(work, batch, head, room)
                  : lay_out<Single>(work, batch, head, room);
}
void attend_any(const DenseAttending& work, std::int64_t batch, std::int64_t head,
                std::int64_t first, float* room) {
    work.bfloat16 ? attend<Paired>(work, batch, head, first, room)
                  : attend<Single>(work, batch, head, first, room);
}
#endif

}  // namespace
}  // namespace fathom
