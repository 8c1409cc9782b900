// Convolutions of three by three over planes whose channels lie last, by Winograd's minimal
// filtering (Lavin & Gray, 2016, arXiv 1509.09308): 36 products for 16 results in place of 144.
//
//     planes ─ 6×6 tiles, every 4 places ─ transformed ─► tiles' numbers ─┐ for each of 36 places
//     weights ─ transformed, a block of outputs at a time ─► factors ─────┴─► a product of matrices
//     products ─ transformed back ─► 4×4 results of a tile
#pragma once

#include <cstdint>

namespace fathom {

constexpr int tile_places = 36;   // of a transformed tile, and of a transformed filter
constexpr int tile_side = 4;      // results that a tile gives in a row
constexpr int groups_at_once = 4; // groups of tiles that meet the same factors while those are near

// How far the numbers of a place lie from those of the next: an odd number of cache lines at least
// so many numbers, as all places at once would else contend for few places of a cache.
constexpr std::int64_t apart(std::int64_t numbers) {
    constexpr std::int64_t line = 16;
    return ((numbers + line - 1) / line | 1) * line;
}

// What is convolved, with zeros around. Numbers are float32, or all bfloat16 except the bias.
struct PlaneFiltering {
    bool bfloat16;
    std::int64_t batch, height, width;  // of the results
    std::int64_t channels, outputs;
    int doubled;                 // 1 where every source's place stands for four, else 0
    std::int64_t source_height, source_width;
    const void* source;          // (batch, source_height, source_width, channels)
    const void* weights;         // (outputs, channels, 3, 3), laid out as the strides say
    std::int64_t weight_strides[4];
    const float* bias;           // (outputs), one for all or for each of the batch; or nullptr
    std::int64_t bias_stride;    // 0 or outputs
    const void* added;           // what is added to the results, as they lie; or nullptr
    void* results;               // (batch, height, width, outputs)

    std::int64_t tile_rows() const { return (height + tile_side - 1) / tile_side; }
    std::int64_t tile_columns() const { return (width + tile_side - 1) / tile_side; }
    std::int64_t tiles() const { return batch * tile_rows() * tile_columns(); }
};

// Some tiles of one work on their way: [place][group][block of channels][tile of it][channel].
struct Tiles {
    std::int64_t first, count;  // of all tiles
    float* numbers;
};

struct ConvolutionKernels {
    const char* name;
    int lanes;    // channels of a block
    int group;    // tiles whose products are in registers together
    int outputs;  // of a block
    void (*gather)(const PlaneFiltering& work, const Tiles& tiles, std::int64_t begin,
                   std::int64_t end);
    // Factors of `outputs` from `output` on: [place][channel][output], zeros behind the last.
    void (*transform)(const PlaneFiltering& work, std::int64_t output, float* factors);
    // Results of `groups_at_once` groups from `group` on; `room` holds their products.
    void (*multiply)(const PlaneFiltering& work, const Tiles& tiles, std::int64_t group,
                     std::int64_t output, const float* factors, float* room);

    std::int64_t groups(std::int64_t tiles) const { return (tiles + group - 1) / group; }
    // Numbers of so many tiles, of a block's factors, and of the room for products.
    std::int64_t tile_numbers(std::int64_t tiles, std::int64_t channels) const {
        const std::int64_t blocks = (channels + lanes - 1) / lanes;
        return tile_places * apart(groups(tiles) * group * blocks * lanes);
    }
    std::int64_t factor_numbers(std::int64_t channels) const {
        return tile_places * apart(channels * outputs);
    }
    std::int64_t room_numbers() const {
        return tile_places * apart(std::int64_t{groups_at_once} * group * outputs);
    }
};

// The kernels that go with those of cpu.hpp, and some by the name of those, or nullptr.
const ConvolutionKernels& convolution_kernels();
const ConvolutionKernels* convolution_kernels_named(const char* name);

// All of it, by up to so many threads.
void convolve(const ConvolutionKernels& kernels, const PlaneFiltering& work, int threads);

extern const ConvolutionKernels portable_convolution;
#if defined(__x86_64__)
extern const ConvolutionKernels avx2_convolution;
extern const ConvolutionKernels avx512_convolution;
#elif defined(__aarch64__)
extern const ConvolutionKernels neon_convolution;
#endif

}  // namespace fathom
