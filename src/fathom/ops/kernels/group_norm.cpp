// Norms over groups of channels for any processor, the choice among all, and how threads share
// the work.
#include "group_norm.hpp"

#include <cmath>
#include <string_view>
#include <vector>

#include "cpu.hpp"
#include "pool.hpp"

#include "group_norm_kernels.hpp"

namespace fathom {

const GroupNormKernels portable_group_norm = group_norm_table("portable");

namespace {

const GroupNormKernels& for_kernels(std::string_view name) {
#if defined(__x86_64__)
    if (name.starts_with("avx512")) return avx512_group_norm;
    if (name.starts_with("avx2")) return avx2_group_norm;
#elif defined(__aarch64__)
    if (name.starts_with("neon")) return neon_group_norm;
#endif
    return portable_group_norm;
}

// Sums of every thread, (threads, 2, channels), become a factor and a shift of each channel.
void settle(const GroupNorming& work, int threads, const double* sums, float* factors) {
    const std::int64_t own = work.channels / work.groups;
    const double count = static_cast<double>(work.places) * static_cast<double>(own);
    for (std::int64_t first = 0; first < work.channels; first += own) {
        double sum = 0, squares = 0;
        for (int thread = 0; thread < threads; ++thread) {
            const double* from = sums + 2 * thread * work.channels;
            for (std::int64_t channel = first; channel < first + own; ++channel) {
                sum += from[channel];
                squares += from[work.channels + channel];
            }
        }
        const double mean = sum / count, variance = squares / count - mean * mean;
        const double inverse = 1 / std::sqrt((variance < 0 ? 0 : variance) + work.epsilon);
        for (std::int64_t channel = first; channel < first + own; ++channel) {
            const double factor = inverse * (work.weight ? work.weight[channel] : 1);
            factors[channel] = static_cast<float>(factor);
            factors[work.channels + channel] =
                static_cast<float>((work.bias ? work.bias[channel] : 0) - mean * factor);
        }
    }
}

}  // namespace

const GroupNormKernels& group_norm_kernels() { return for_kernels(kernels().name); }

const GroupNormKernels* group_norm_kernels_named(const char* name) {
    const Kernels* found = kernels_named(name);
    return found == nullptr ? nullptr : &for_kernels(found->name);
}

void norm_groups(const GroupNormKernels& kernels, const GroupNorming& work, int threads) {
    if (work.places == 0 || work.channels == 0) return;
    std::vector<double> sums(static_cast<std::size_t>(2 * threads * work.channels));
    std::vector<float> factors(static_cast<std::size_t>(2 * work.channels));
    for (std::int64_t row = 0; row < work.batch; ++row) {
        sums.assign(sums.size(), 0);
        run_together(threads, [&](Team& team) {
            double* own = sums.data() + 2 * team.thread * work.channels;
            team.deal(work.places, places_at_once, 1024, [&](std::int64_t begin, std::int64_t end) {
                kernels.sum(work, row, begin, end, own);
            });
            team.meet([&] { settle(work, threads, sums.data(), factors.data()); });
            team.deal(work.places, 1, 1024, [&](std::int64_t begin, std::int64_t end) {
                kernels.apply(work, row, begin, end, factors.data());
            });
        });
    }
}

}  // namespace fathom
