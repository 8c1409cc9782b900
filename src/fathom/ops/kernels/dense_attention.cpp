// Dense attention for any processor, the choice among all, and how threads share the work.
#include "dense_attention.hpp"

#include <algorithm>
#include <string_view>

#include "cpu.hpp"
#include "pool.hpp"
#include "scratch.hpp"

#include "dense_attention_kernels.hpp"

namespace fathom {

const DenseAttentionKernels portable_dense_attention = dense_attention_table("portable");

namespace {

const DenseAttentionKernels& for_kernels(std::string_view name) {
#if defined(__x86_64__)
    if (name == "avx512-vnni-bf16") return avx512_bfloat16_dense_attention;
    if (name.starts_with("avx512")) return avx512_dense_attention;
    if (name.starts_with("avx2")) return avx2_dense_attention;
#elif defined(__aarch64__)
    if (name.starts_with("neon")) return neon_dense_attention;
#endif
    return portable_dense_attention;
}

}  // namespace

const DenseAttentionKernels& dense_attention_kernels() { return for_kernels(kernels().name); }

const DenseAttentionKernels* dense_attention_kernels_named(const char* name) {
    const Kernels* found = kernels_named(name);
    return found == nullptr ? nullptr : &for_kernels(found->name);
}

void attend_densely(const DenseAttentionKernels& kernels, const DenseAttending& work, int threads) {
    const std::int64_t heads = work.batch * work.heads;
    const std::int64_t tiles = (work.queries + kernels.queries - 1) / kernels.queries;
    if (heads * tiles == 0 || work.keys == 0) return;
    const std::int64_t own = (kernels.room(work) + 15) / 16 * 16;  // numbers, in cache lines
    const Scratch scratch(threads * own * static_cast<std::int64_t>(sizeof(float)));
    // Each thread lays a head out for itself, so heads are cut only where they are few.
    const std::int64_t cuts =
        heads >= 2 * threads ? 1 : std::min<std::int64_t>(tiles, 2 * threads);
    run_together(threads, [&](Team& team) {
        float* room = reinterpret_cast<float*>(scratch.data) + team.thread * own;
        team.deal(heads * cuts, 1, 1, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t unit = begin; unit < end; ++unit) {
                const std::int64_t head = unit / cuts, cut = unit % cuts;
                const std::int64_t batch = head / work.heads, of = head % work.heads;
                if (unit == begin || cut == 0) kernels.lay_out(work, batch, of, room);
                for (std::int64_t tile = tiles * cut / cuts; tile < tiles * (cut + 1) / cuts;
                     ++tile) {
                    kernels.attend(work, batch, of, tile * kernels.queries, room);
                }
            }
        });
    });
}

}  // namespace fathom
