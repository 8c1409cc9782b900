// The one source of `ConvolutionKernels`, for the instructions that a file including it is
// compiled for.
#pragma once

#include <vector>

#include "convolution.hpp"
#include "vectors.hpp"

namespace fathom {
namespace {

#if defined(__AVX512F__)
constexpr int tile_group = 12;
#else
constexpr int tile_group = 6;
#endif
constexpr int output_vectors = 2;
constexpr int output_block = output_vectors * vector_numbers;

// Points of the interpolation are 0, ±near, ±far and infinity; these lose fewest digits.
constexpr float near = 0.70710678F, far = 1.41421356F;
constexpr float near2 = 0.5F, far2 = 2.0F, both2 = near2 * far2, sum2 = near2 + far2;

struct Six {
    Vector at[6];
};

// Six numbers in a row, or in a column, of a tile.
inline Six transform_source(const Six& x) {
    const Vector even_near = x.at[4] - far2 * x.at[2], odd_near = near * (x.at[3] - far2 * x.at[1]);
    const Vector even_far = x.at[4] - near2 * x.at[2], odd_far = far * (x.at[3] - near2 * x.at[1]);
    return {{both2 * x.at[0] - sum2 * x.at[2] + x.at[4], even_near + odd_near,
             even_near - odd_near, even_far + odd_far, even_far - odd_far,
             both2 * x.at[1] - sum2 * x.at[3] + x.at[5]}};
}

// Three weights become six factors.
inline Six transform_filter(const Vector& w0, const Vector& w1, const Vector& w2) {
    constexpr float by_near = 1 / (2 * near2 * (near2 - far2)),
                    by_far = 1 / (2 * far2 * (far2 - near2));
    const Vector even_near = by_near * (w0 + near2 * w2), odd_near = by_near * near * w1;
    const Vector even_far = by_far * (w0 + far2 * w2), odd_far = by_far * far * w1;
    return {{w0 * (1 / both2), even_near + odd_near, even_near - odd_near, even_far + odd_far,
             even_far - odd_far, w2}};
}

struct Four {
    Vector at[4];
};

// Six products become four results.
inline Four transform_back(const Six& m) {
    const Vector even_near = m.at[1] + m.at[2], odd_near = near * (m.at[1] - m.at[2]);
    const Vector even_far = m.at[3] + m.at[4], odd_far = far * (m.at[3] - m.at[4]);
    return {{m.at[0] + even_near + even_far, odd_near + odd_far,
             near2 * even_near + far2 * even_far,
             near2 * odd_near + far2 * odd_far + m.at[5]}};
}

// Where a tile stands: its picture, and the row and column of its first result.
struct Stand {
    Stand(const PlaneFiltering& work, std::int64_t tile)
        : picture(tile / (work.tile_rows() * work.tile_columns())),
          row(tile / work.tile_columns() % work.tile_rows() * tile_side),
          column(tile % work.tile_columns() * tile_side) {}
    std::int64_t picture, row, column;
};

// Channels of a tile whose six times six places are at `places`: all that a vector holds, or fewer.
template <class Number, bool whole>
inline void gather_block(const Number* const* places, std::int64_t channel, std::int64_t count,
                         float* to, std::int64_t step) {
    Six columns[6];
    for (int column = 0; column < 6; ++column) {
        Six x;
        for (int row = 0; row < 6; ++row) {
            const Number* from = places[6 * row + column] + channel;
            x.at[row] = whole ? read(from) : read(from, count);
        }
        columns[column] = transform_source(x);
    }
    for (int row = 0; row < 6; ++row) {
        Six x;
        for (int column = 0; column < 6; ++column) x.at[column] = columns[column].at[row];
        const Six y = transform_source(x);
        for (int i = 0; i < 6; ++i) write(to + (6 * row + i) * step, y.at[i]);
    }
}

template <class Number>
void gather_tile(const PlaneFiltering& work, const Stand& stand, const Number* nothing, float* to,
                 std::int64_t place_step, std::int64_t block_step) {
    const auto* source = static_cast<const Number*>(work.source) +
                         stand.picture * work.source_height * work.source_width * work.channels;
    const Number* places[tile_places];
    for (int i = 0; i < tile_places; ++i) {
        const std::int64_t row = stand.row - 1 + i / 6, column = stand.column - 1 + i % 6;
        const bool inside = row >= 0 && row < work.height && column >= 0 && column < work.width;
        places[i] = inside ? source + ((row >> work.doubled) * work.source_width +
                                       (column >> work.doubled)) * work.channels
                           : nothing;
    }
    std::int64_t channel = 0;
    for (; channel + vector_numbers <= work.channels; channel += vector_numbers, to += block_step) {
        gather_block<Number, true>(places, channel, vector_numbers, to, place_step);
    }
    if (channel < work.channels) {
        gather_block<Number, false>(places, channel, work.channels - channel, to, place_step);
    }
}

template <class Number>
void gather_numbers(const PlaneFiltering& work, const Tiles& tiles, std::int64_t begin,
                    std::int64_t end) {
    const std::int64_t groups = (tiles.count + tile_group - 1) / tile_group;
    const std::int64_t blocks = (work.channels + vector_numbers - 1) / vector_numbers;
    const std::int64_t block_step = tile_group * vector_numbers, group_step = blocks * block_step;
    const std::vector<Number> nothing(static_cast<std::size_t>(work.channels));
    for (std::int64_t tile = begin; tile < end; ++tile) {
        float* to = tiles.numbers + tile / tile_group * group_step +
                    tile % tile_group * vector_numbers;
        gather_tile<Number>(work, Stand(work, tiles.first + tile), nothing.data(), to,
                            apart(groups * group_step), block_step);
    }
}

void gather_tiles(const PlaneFiltering& work, const Tiles& tiles, std::int64_t begin,
                  std::int64_t end) {
    if (work.bfloat16) return gather_numbers<std::uint16_t>(work, tiles, begin, end);
    gather_numbers<float>(work, tiles, begin, end);
}

// Rows of as many vectors become columns, by halves: pairs of single numbers, then of twos, fours …
template <int half>
inline void exchange(Vector* rows) {
    Bits low, high;
    for (int i = 0; i < vector_numbers; ++i) {
        const bool second = i & half;
        low[i] = second ? static_cast<std::uint32_t>(vector_numbers + i - half)
                        : static_cast<std::uint32_t>(i);
        high[i] = second ? static_cast<std::uint32_t>(vector_numbers + i)
                         : static_cast<std::uint32_t>(i + half);
    }
    for (int i = 0; i < vector_numbers; ++i) {
        if (i & half) continue;
        const Vector first = rows[i], second = rows[i + half];
        rows[i] = __builtin_shuffle(first, second, low);
        rows[i + half] = __builtin_shuffle(first, second, high);
    }
}
inline void transpose(Vector* rows) {
    if constexpr (vector_numbers == 16) exchange<8>(rows);
    if constexpr (vector_numbers >= 8) exchange<4>(rows);
    exchange<2>(rows);
    exchange<1>(rows);
}

// Weights of one vector of outputs and one of channels, for each of nine places: (channel, output).
template <class Number>
inline void read_weights(const PlaneFiltering& work, std::int64_t output, std::int64_t channel,
                         Vector (&found)[9][vector_numbers]) {
    const auto* weights = static_cast<const Number*>(work.weights);
    const std::int64_t outputs = work.outputs - output, channels = work.channels - channel;
    const auto& strides = work.weight_strides;
    for (int place = 0; place < 9; ++place) {
        const Number* from = weights + output * strides[0] + channel * strides[1] +
                             place / 3 * strides[2] + place % 3 * strides[3];
        for (int row = 0; row < vector_numbers; ++row, from += strides[0]) {
            if (row >= outputs) {
                found[place][row] = Vector{};
            } else if (strides[1] == 1) {
                found[place][row] = read(from, channels);
            } else {
                Number some[vector_numbers] = {};
                for (int i = 0; i < vector_numbers && i < channels; ++i) {
                    some[i] = from[i * strides[1]];
                }
                found[place][row] = read(some);
            }
        }
        transpose(found[place]);
    }
}

void transform_weights(const PlaneFiltering& work, std::int64_t output, float* factors) {
    const std::int64_t step = apart(work.channels * output_block);
    for (int vector = 0; vector < output_vectors; ++vector) {
        const std::int64_t from = output + vector * vector_numbers;
        for (std::int64_t channel = 0; channel < work.channels; channel += vector_numbers) {
            Vector weights[9][vector_numbers];
            if (work.bfloat16) {
                read_weights<std::uint16_t>(work, from, channel, weights);
            } else {
                read_weights<float>(work, from, channel, weights);
            }
            const std::int64_t left = work.channels - channel;
            for (int i = 0; i < vector_numbers && i < left; ++i) {
                Six columns[3];
                for (int column = 0; column < 3; ++column) {
                    columns[column] = transform_filter(
                        weights[column][i], weights[3 + column][i], weights[6 + column][i]);
                }
                float* to = factors + (channel + i) * output_block + vector * vector_numbers;
                for (int row = 0; row < 6; ++row, to += 6 * step) {
                    const Six whole = transform_filter(columns[0].at[row], columns[1].at[row],
                                                       columns[2].at[row]);
                    for (int column = 0; column < 6; ++column) {
                        write(to + column * step, whole.at[column]);
                    }
                }
            }
        }
    }
}

// `T` tiles of a group against a block of outputs, at one place.
template <int T, int V>
void multiply_group(const float* numbers, const float* factors, std::int64_t channels,
                    float* products) {
    Vector sums[T][V] = {};
    for (std::int64_t block = 0; block < channels; block += vector_numbers) {
        const std::int64_t left = channels - block;
        const int count = left < vector_numbers ? static_cast<int>(left) : vector_numbers;
        for (int i = 0; i < count; ++i) {
            Vector factor[V];
            for (int v = 0; v < V; ++v) factor[v] = read(factors + v * vector_numbers);
            for (int t = 0; t < T; ++t) {
                const Vector number = all(numbers[t * vector_numbers + i]);
                for (int v = 0; v < V; ++v) sums[t][v] += number * factor[v];
            }
            factors += output_block;
        }
        numbers += tile_group * vector_numbers;
    }
    for (int t = 0; t < T; ++t) {
        for (int v = 0; v < V; ++v) {
            write(products + t * output_block + v * vector_numbers, sums[t][v]);
        }
    }
}

template <int V>
void multiply_some(std::int64_t tiles, const float* numbers, const float* factors,
                   std::int64_t channels, float* products) {
    constexpr int third = tile_group / 3;
    if (tiles > 2 * third) {
        multiply_group<tile_group, V>(numbers, factors, channels, products);
    } else if (tiles > third) {
        multiply_group<2 * third, V>(numbers, factors, channels, products);
    } else {
        multiply_group<third, V>(numbers, factors, channels, products);
    }
}

// Results of one tile, `from` being the first of them in a vector of outputs.
template <class Number, bool whole>
inline void finish_block(const PlaneFiltering& work, const Stand& stand, std::int64_t output,
                         const float* products, std::int64_t step) {
    Four columns[6];
    for (int column = 0; column < 6; ++column) {
        Six m;
        for (int row = 0; row < 6; ++row) m.at[row] = read(products + (6 * row + column) * step);
        columns[column] = transform_back(m);
    }
    const std::int64_t left = work.outputs - output;
    const auto reading = [&](const auto* from) { return whole ? read(from) : read(from, left); };
    const float* own = work.bias + stand.picture * work.bias_stride + output;
    const Vector bias = work.bias ? reading(own) : Vector{};
    const std::int64_t high = work.height - stand.row, wide = work.width - stand.column;
    const std::int64_t first =
        ((stand.picture * work.height + stand.row) * work.width + stand.column) * work.outputs +
        output;
    for (int row = 0; row < tile_side && row < high; ++row) {
        Six m;
        for (int column = 0; column < 6; ++column) m.at[column] = columns[column].at[row];
        const Four y = transform_back(m);
        for (int column = 0; column < tile_side && column < wide; ++column) {
            const std::int64_t place = first + (row * work.width + column) * work.outputs;
            Vector sum = y.at[column] + bias;
            if (work.added) sum += reading(static_cast<const Number*>(work.added) + place);
            Number* to = static_cast<Number*>(work.results) + place;
            whole ? write(to, sum) : write(to, sum, left);
        }
    }
}

template <class Number>
void finish_tile(const PlaneFiltering& work, const Stand& stand, std::int64_t output,
                 const float* products, std::int64_t step) {
    if (work.outputs - output >= vector_numbers) {
        finish_block<Number, true>(work, stand, output, products, step);
    } else {
        finish_block<Number, false>(work, stand, output, products, step);
    }
}

void multiply_tiles(const PlaneFiltering& work, const Tiles& tiles, std::int64_t group,
                    std::int64_t output, const float* factors, float* room) {
    const std::int64_t groups = (tiles.count + tile_group - 1) / tile_group;
    const std::int64_t blocks = (work.channels + vector_numbers - 1) / vector_numbers;
    const std::int64_t group_step = blocks * tile_group * vector_numbers;
    const std::int64_t last = group + groups_at_once < groups ? group + groups_at_once : groups;
    const bool narrow = work.outputs - output <= vector_numbers;
    constexpr std::int64_t step = apart(std::int64_t{groups_at_once} * tile_group * output_block);
    for (int place = 0; place < tile_places; ++place) {
        const float* own = factors + place * apart(work.channels * output_block);
        for (std::int64_t each = group; each < last; ++each) {
            const float* numbers =
                tiles.numbers + place * apart(groups * group_step) + each * group_step;
            float* products = room + place * step + (each - group) * tile_group * output_block;
            const std::int64_t left = tiles.count - each * tile_group;
            if (narrow) {
                multiply_some<1>(left, numbers, own, work.channels, products);
            } else {
                multiply_some<output_vectors>(left, numbers, own, work.channels, products);
            }
        }
    }
    const std::int64_t begin = group * tile_group;
    const std::int64_t end = last * tile_group < tiles.count ? last * tile_group : tiles.count;
    for (std::int64_t tile = begin; tile < end; ++tile) {
        const Stand stand(work, tiles.first + tile);
        for (int v = 0; v < output_vectors; ++v) {
            const std::int64_t own = output + v * vector_numbers;
            if (own >= work.outputs) break;
            const float* products = room + (tile - begin) * output_block + v * vector_numbers;
            if (work.bfloat16) {
                finish_tile<std::uint16_t>(work, stand, own, products, step);
            } else {
                finish_tile<float>(work, stand, own, products, step);
            }
        }
    }
}

constexpr ConvolutionKernels convolution_table(const char* name) {
    return {name,         vector_numbers,    tile_group,    output_block,
            gather_tiles, transform_weights, multiply_tiles};
}

}  // namespace
}  // namespace fathom
