// Packed weights times activations, written once for every instruction set.
//
// A file per instruction set defines `Isa`, what 16 rows of numbers are there and how four columns
// of each are multiplied, and includes this. Everything is in an unnamed namespace: code that was
// compiled for one processor must never be linked into another's.
//
// A tile is R panels times T tokens of the result, held in registers over all columns:
//
//     for each block of 32 columns:   dot[r][t]   = Σ q · a          (integers, exact)
//                                     total[r][t] += scale[r] · (dot[r][t] · activation scale[t])
//
// Every output is summed in the same order whatever R and T are. So a token's result has the same
// bits alone and among others, and what was drafted can be checked in one pass.
#pragma once

#include "cpu.hpp"
#include "remainders.hpp"
#include "weight_blocks.hpp"

namespace fathom {
namespace {

// Where a tile reads and writes.
struct Tile {
    const std::uint8_t* panels;
    std::int64_t panel_step;
    const std::uint8_t* activations;
    std::int64_t activation_step;  // from a block of the tokens to the next
    std::int64_t blocks;
    float* y;
    std::int64_t stride;
    std::int64_t begin, end;  // rows to write, counted from the tile's first
    // Panels are one stream, scales and all: what is fetched ahead runs over it evenly.
    const std::uint8_t* ahead;  // or nullptr
    std::int64_t ahead_step;
    std::int64_t ahead_lines;  // for each block, or 0 for as many as the tile reads itself
    RemaindersNear alone;  // of a token that comes alone, or nothing
};

template <class Isa, int R, int T>
inline __attribute__((always_inline)) void store_tile(const Tile& tile,
                                                      const typename Isa::Floats (&total)[R][T]) {
    for (int r = 0; r < R; ++r) {
        const std::int64_t first = r * panel_rows;
        const std::int64_t from = tile.begin > first ? tile.begin - first : 0;
        const std::int64_t to = tile.end < first + panel_rows ? tile.end - first : panel_rows;
        if (from >= to) continue;
        for (int t = 0; t < T; ++t) {
            float* place = tile.y + t * tile.stride + first;
            Isa::store(place, total[r][t], static_cast<int>(from), static_cast<int>(to));
        }
    }
}

// Fetches what comes later, while a tile of R panels goes through block `index`.
template <class Isa, Encoding encoding, int R>
inline __attribute__((always_inline)) void fetch_ahead(const Tile& tile, std::int64_t index) {
    if (tile.ahead == nullptr) return;
    if (tile.ahead_lines == 0) {
        constexpr std::int64_t bytes = R * (block_bytes(encoding) + alignment);
        return Isa::template prefetch<bytes, R == 1>(tile.ahead + index * tile.ahead_step);
    }
    const std::uint8_t* place = tile.ahead + index * tile.ahead_lines * alignment;
    for (std::int64_t line = 0; line < tile.ahead_lines; ++line) {
        Isa::template prefetch<alignment, false>(place + line * alignment);
    }
}

template <class Isa, int R, int T>
inline __attribute__((always_inline)) void clear(typename Isa::Floats (&total)[R][T]) {
    for (int r = 0; r < R; ++r) {
        for (int t = 0; t < T; ++t) total[r][t] = Isa::zero();
    }
}

// Adds what block `index` of the columns gives, of T tokens with `block_of(t)` each.
template <class Isa, Encoding encoding, int R, int T, class BlockOf>
inline __attribute__((always_inline)) void add_block(const Tile& tile, std::int64_t index,
                                                     const BlockOf& block_of,
                                                     typename Isa::Floats (&total)[R][T]) {
    constexpr Layout layout = layout_of(encoding);
    using Scale = BlockScales<Isa, layout.scales>;
    constexpr bool wide = layout.bits == 8;
    constexpr int zero = wide && !Isa::wide_is_unsigned ? 0 : layout.zero;
    const std::uint8_t* block = tile.panels + block_offset(encoding, index);
    typename Isa::Integers dot[Scale::runs][R][T];
    for (int t = 0; t < T; ++t) {
        const ActivationBlock& x = block_of(t);
        for (int run = 0; run < Scale::runs; ++run) {
            const std::int32_t& sum = Scale::runs == 1 ? x.negative_sum : x.negative_half[run];
            const auto start = Isa::template times_power<zero>(sum);
            for (int r = 0; r < R; ++r) dot[run][r][t] = start;
        }
    }
    each_quad_from<0>([&]<int quad>() __attribute__((always_inline)) {
        typename Isa::Bytes values[R];
        for (int r = 0; r < R; ++r) {
            values[r] = values_of<Isa, layout.bits, quad>(block + r * tile.panel_step);
        }
        for (int t = 0; t < T; ++t) {
            const auto four = Isa::four(block_of(t).values + 4 * quad);
            for (int r = 0; r < R; ++r) {
                auto& sum = dot[quad * Scale::runs / quads][r][t];
                sum = Isa::template dot<wide>(sum, values[r], four);
            }
        }
    });
    for (int r = 0; r < R; ++r) {
        const Scale scale(tile.panels + r * tile.panel_step + section_offset(encoding, index),
                          index % section_blocks(encoding));
        for (int t = 0; t < T; ++t) {
            const ActivationBlock& x = block_of(t);
            for (int run = 0; run < Scale::runs; ++run) {
                const auto part = Isa::multiply(Isa::numbers(dot[run][r][t]), Isa::all(x.scale));
                total[r][t] = Isa::multiply_add(scale.scale[run], part, total[r][t]);
            }
            if constexpr (Scale::has_minimum) {
                total[r][t] = Isa::multiply_add(scale.minimum, Isa::all(x.sum), total[r][t]);
            }
        }
    }
}

// The remainders of a token that comes alone: as `remainder_tile` adds them, before it is stored.
template <class Isa, Encoding encoding, int R>
inline __attribute__((always_inline)) void add_alone(const Tile& tile,
                                                     typename Isa::Floats (&total)[R][1]) {
    for (const Remainder* one = tile.alone.begin; one != tile.alone.end; ++one) {
        if (one->place == no_place) return;
        constexpr float whole = 1;
        typename Isa::Floats found[R][1];
        clear<Isa>(found);
        const auto block_of = [one](int) __attribute__((always_inline)) -> const ActivationBlock& {
            return *one->block;
        };
        add_block<Isa, encoding>(tile, one->place, block_of, found);
        for (int r = 0; r < R; ++r) {
            total[r][0] = Isa::multiply_add(found[r][0], Isa::all(whole), total[r][0]);
        }
    }
}

template <class Isa, Encoding encoding, int R, int T>
void quantised_tile(const Tile& tile) {
    typename Isa::Floats total[R][T];
    clear<Isa>(total);
    for (std::int64_t index = 0; index < tile.blocks; ++index) {
        const auto* x = reinterpret_cast<const ActivationBlock*>(tile.activations +
                                                                 index * tile.activation_step);
        fetch_ahead<Isa, encoding, R>(tile, index);
        const auto block_of = [x](int t) __attribute__((always_inline)) -> const ActivationBlock& {
            return x[t];
        };
        add_block<Isa, encoding>(tile, index, block_of, total);
    }
    if constexpr (T == 1) add_alone<Isa, encoding>(tile, total);
    store_tile<Isa, R, T>(tile, total);
}

// Plain numbers. A step is two columns of BF16, multiplied in pairs, or one of the others.
template <class Isa, Encoding encoding, int R, int T>
void plain_tile(const Tile& tile) {
    constexpr ActivationKind kind =
        encoding == Encoding::BF16 ? ActivationKind::BFloat16 : ActivationKind::Float32;
    constexpr int steps = kind == ActivationKind::BFloat16 ? block_columns / 2 : block_columns;
    constexpr std::int64_t bytes = block_bytes(encoding);
    typename Isa::Floats total[R][T];
    clear<Isa>(total);
    for (std::int64_t index = 0; index < tile.blocks; ++index) {
        const std::uint8_t* block = tile.panels + block_offset(encoding, index);
        const std::uint8_t* x = tile.activations + index * tile.activation_step;
        fetch_ahead<Isa, encoding, R>(tile, index);
        for (int step = 0; step < steps; ++step) {
            for (int r = 0; r < R; ++r) {
                const std::uint8_t* weights = block + r * tile.panel_step + step * (bytes / steps);
                for (int t = 0; t < T; ++t) {
                    const std::uint8_t* value = x + t * activation_block_bytes(kind) + step * 4;
                    total[r][t] = Isa::template plain<encoding>(total[r][t], weights, value);
                }
            }
        }
    }
    store_tile<Isa, R, T>(tile, total);
}

template <class Isa, Encoding encoding, int R, int T>
void one_tile(const Tile& tile) {
    if constexpr (layout_of(encoding).scales == Scales::None) {
        plain_tile<Isa, encoding, R, T>(tile);
    } else {
        quantised_tile<Isa, encoding, R, T>(tile);
    }
}

// `count` tokens of one group against R panels: as many at once as registers hold.
template <class Isa, Encoding encoding, int R, int T>
inline void tokens_of_group(Tile tile, std::int64_t count, std::int64_t token_bytes) {
    for (; count >= T; count -= T) {
        one_tile<Isa, encoding, R, T>(tile);
        tile.activations += T * token_bytes;
        tile.y += T * tile.stride;
        tile.ahead = nullptr;
    }
    if constexpr (T > 1) tokens_of_group<Isa, encoding, R, T / 2>(tile, count, token_bytes);
}

// Adds what panel `r` gave to rows that are there: 16 of them, or those that the tile has.
template <class Isa>
inline __attribute__((always_inline)) void add_rows(const Tile& tile, int r,
                                                    typename Isa::Floats found, float* y) {
    const std::int64_t first = r * panel_rows;
    const std::int64_t from = tile.begin > first ? tile.begin - first : 0;
    const std::int64_t to = tile.end < first + panel_rows ? tile.end - first : panel_rows;
    if (to - from == panel_rows) {
        constexpr float one = 1;
        found = Isa::template plain<Encoding::F32>(found, reinterpret_cast<std::uint8_t*>(y),
                                                   reinterpret_cast<const std::uint8_t*>(&one));
        Isa::store(y, found, 0, panel_rows);
        return;
    }
    float apart[panel_rows];
    Isa::store(apart, found, 0, panel_rows);
    for (std::int64_t row = from; row < to; ++row) y[row] += apart[row];
}

// T remainders of one place, each added to what its token has by now.
template <class Isa, Encoding encoding, int R, int T>
inline void remainder_tile(const Tile& tile, const Remainder* some) {
    typename Isa::Floats total[R][T];
    clear<Isa>(total);
    const auto block_of = [some](int t) __attribute__((always_inline)) -> const ActivationBlock& {
        return *some[t].block;
    };
    add_block<Isa, encoding>(tile, some->place, block_of, total);
    for (int t = 0; t < T; ++t) {
        float* y = tile.y + some[t].token * tile.stride;
        for (int r = 0; r < R; ++r) add_rows<Isa>(tile, r, total[r][t], y + r * panel_rows);
    }
}

// Remainders of one place, as many at once as registers hold.
template <class Isa, Encoding encoding, int R, int T>
inline void remainders_of_place(const Tile& tile, const Remainder* some, const Remainder* end) {
    for (; end - some >= T; some += T) remainder_tile<Isa, encoding, R, T>(tile, some);
    if constexpr (T > 1) {
        if (some != end) remainders_of_place<Isa, encoding, R, T / 2>(tile, some, end);
    }
}

// What is left of some tokens, while their results are near.
template <class Isa, Encoding encoding, int R>
void add_remainders(const Tile& tile, const RemaindersNear& remainders) {
    if constexpr (layout_of(encoding).scales != Scales::None) {
        const Remainder* some = remainders.begin;
        while (some != remainders.end && some->place != no_place) {
            const Remainder* end = some + 1;
            while (end != remainders.end && end->place == some->place) ++end;
            remainders_of_place<Isa, encoding, R, Isa::tokens>(tile, some, end);
            some = end;
        }
    }
}

template <class Isa, Encoding encoding>
void multiply_encoding(const PackedMatrix& matrix, const Activations& x, std::int64_t begin,
                       std::int64_t end, float* y, std::int64_t stride) {
    constexpr int R = Isa::panels;
    constexpr std::int64_t cached = 384 * 1024;  // bytes of activations that stay in the L2 cache
    const ActivationKind kind = activation_kind(encoding);
    const std::int64_t token_bytes = activation_block_bytes(kind),
                       blocks = blocks_of(matrix.columns);
    const std::int64_t groups_at_once = cached / (token_bytes * group_tokens * (blocks + 1)) + 1;
    const std::int64_t chunk = groups_at_once * group_tokens;
    const std::int64_t panel_step = panel_bytes(encoding, matrix.columns);
    const bool several = x.tokens > 4;  // up to four, one stream through memory is quicker
    for (std::int64_t first = 0; first < x.tokens; first += chunk) {
        const std::int64_t stop = first + chunk < x.tokens ? first + chunk : x.tokens;
        const Remainders remainders(x, first, stop);
        for (std::int64_t panel = begin / panel_rows, last = panels_of(end); panel < last;) {
            const std::int64_t row = panel * panel_rows;
            const std::int64_t count = several && panel + R <= last ? R : 1;
            const std::uint8_t* panels = matrix.data + panel * panel_step;
            // The next tile, a part of it with each group of tokens: all at once would be above
            // the memory's rate. Or of a single panel what comes some way on.
            const std::uint8_t* ahead =
                panels + (count > 1 ? count * panel_step : Isa::prefetch_distance);
            const std::int64_t steps = (stop - first + group_tokens - 1) / group_tokens * blocks;
            const bool spread = count > 1 && steps > blocks;
            const std::int64_t lines =
                spread ? (count * panel_step / alignment + steps - 1) / steps : 0;
            for (std::int64_t token = first; token < stop; token += group_tokens) {
                const Place place = place_of(kind, x.tokens, matrix.columns, token);
                const std::int64_t fetched = (token - first) / group_tokens * blocks * lines;
                const Tile tile{panels,
                                panel_step,
                                x.data + place.offset,
                                place.step,
                                blocks,
                                y + token * stride + row,
                                stride,
                                begin - row,
                                end - row,
                                spread || token == first ? ahead + fetched * alignment : nullptr,
                                blocks > 0 ? count * panel_step / blocks : 0,
                                lines,
                                x.tokens == 1 ? remainders.of(token) : RemaindersNear{}};
                const std::int64_t left = stop - token < group_tokens ? stop - token : group_tokens;
                if (count > 1) {
                    tokens_of_group<Isa, encoding, R, Isa::tokens>(tile, left, token_bytes);
                } else {
                    tokens_of_group<Isa, encoding, 1, Isa::tokens>(tile, left, token_bytes);
                }
                const std::int64_t near = (token - first) % near_tokens;
                const bool more = near + group_tokens < near_tokens && token + left < stop;
                if (x.refined == 0 || x.tokens == 1 || more) continue;
                Tile all = tile;
                all.y -= near * stride;
                if (count > 1) {
                    add_remainders<Isa, encoding, R>(all, remainders.of(token - near));
                } else {
                    add_remainders<Isa, encoding, 1>(all, remainders.of(token - near));
                }
            }
            panel += count;
        }
    }
}

template <class Isa>
void multiply_packed(const PackedMatrix& matrix, const Activations& x, std::int64_t begin,
                     std::int64_t end, float* y, std::int64_t stride) {
    switch (matrix.encoding) {
#define FATHOM_CASE(name) \
    case Encoding::name:  \
        return multiply_encoding<Isa, Encoding::name>(matrix, x, begin, end, y, stride);
        FATHOM_CASE(F32)
        FATHOM_CASE(F16)
        FATHOM_CASE(BF16)
        FATHOM_CASE(Q4_0)
        FATHOM_CASE(Q4_1)
        FATHOM_CASE(Q5_0)
        FATHOM_CASE(Q5_1)
        FATHOM_CASE(Q8_0)
        FATHOM_CASE(Q4_K)
        FATHOM_CASE(Q5_K)
        FATHOM_CASE(Q6_K)
#undef FATHOM_CASE
    }
}

}  // namespace
}  // namespace fathom
