// Convolutions for any processor, the choice among all, and how threads share the work.
#include "convolution.hpp"

#include <algorithm>
#include <mutex>
#include <string_view>
#include <vector>

#include "cpu.hpp"
#include "pool.hpp"
#include "scratch.hpp"

#include "convolution_kernels.hpp"

namespace fathom {

const ConvolutionKernels portable_convolution = convolution_table("portable");

namespace {

constexpr std::int64_t near_bytes = 6 << 20;  // of transformed tiles, which the last cache keeps

// Tiles go through in pieces, which are all the smaller the more channels they have.
std::int64_t tiles_at_once(const ConvolutionKernels& kernels, const PlaneFiltering& work) {
    const std::int64_t unit = std::int64_t{kernels.group} * groups_at_once;
    const std::int64_t bytes = kernels.tile_numbers(unit, work.channels) * sizeof(float);
    return std::min(work.tiles(), std::max<std::int64_t>(1, near_bytes / bytes) * unit);
}

const ConvolutionKernels& for_kernels(std::string_view name) {
#if defined(__x86_64__)
    if (name.starts_with("avx512")) return avx512_convolution;
    if (name.starts_with("avx2")) return avx2_convolution;
#elif defined(__aarch64__)
    if (name.starts_with("neon")) return neon_convolution;
#endif
    return portable_convolution;
}

}  // namespace

const ConvolutionKernels& convolution_kernels() { return for_kernels(kernels().name); }

const ConvolutionKernels* convolution_kernels_named(const char* name) {
    const Kernels* found = kernels_named(name);
    return found == nullptr ? nullptr : &for_kernels(found->name);
}

void convolve(const ConvolutionKernels& kernels, const PlaneFiltering& work, int threads) {
    if (work.tiles() == 0 || work.outputs == 0) return;
    const std::int64_t piece = tiles_at_once(kernels, work);
    const std::int64_t factors = kernels.factor_numbers(work.channels);
    const std::int64_t own = factors + kernels.room_numbers();
    const std::int64_t blocks = (work.outputs + kernels.outputs - 1) / kernels.outputs;
    const Scratch scratch((kernels.tile_numbers(piece, work.channels) + threads * own) *
                          static_cast<std::int64_t>(sizeof(float)));
    auto* numbers = reinterpret_cast<float*>(scratch.data);
    float* owned = numbers + kernels.tile_numbers(piece, work.channels);
    for (std::int64_t first = 0; first < work.tiles(); first += piece) {
        const Tiles tiles{first, std::min(piece, work.tiles() - first), numbers};
        const std::int64_t runs =
            (kernels.groups(tiles.count) + groups_at_once - 1) / groups_at_once;
        // Few blocks of outputs are cut, so that every thread has some; more are taken whole.
        const std::int64_t cuts = blocks >= 2 * threads ? 1 : std::min<std::int64_t>(runs, threads);
        run_together(threads, [&](Team& team) {
            team.deal(tiles.count, 1, kernels.group, [&](std::int64_t begin, std::int64_t end) {
                kernels.gather(work, tiles, begin, end);
            });
            team.meet();
            float* mine = owned + team.thread * own;
            team.deal(blocks * cuts, 1, 1, [&](std::int64_t begin, std::int64_t end) {
                for (std::int64_t unit = begin; unit < end; ++unit) {
                    const std::int64_t output = unit / cuts * kernels.outputs, cut = unit % cuts;
                    if (unit == begin || cut == 0) kernels.transform(work, output, mine);
                    for (std::int64_t run = runs * cut / cuts; run < runs * (cut + 1) / cuts; ++run) {
                        kernels.multiply(work, tiles, run * groups_at_once, output, mine,
                                         mine + factors);
                    }
                }
            });
        });
    }
}

}  // namespace fathom
