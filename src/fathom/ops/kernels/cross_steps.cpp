#include "cross_steps.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "floats.hpp"

namespace fathom {

namespace {

inline float number(float stored) { return stored; }
inline float number(std::uint16_t stored) { return from_half(stored); }

}  // namespace

void AcceptStep::run(Run& run, Team& team) const {
    const std::int64_t width = run.width(target);
    const auto [begin, end] = team.share(run.rows);
    const float* from = run.batch.given + begin * width;
    std::memcpy(run.row(target, begin), from, sizeof(float) * (end - begin) * width);
}

void WavesStep::run(Run& run, Team& team) const {
    const std::int64_t width = run.width(target);
    const auto waves = static_cast<std::int64_t>(turns.size());
    const auto [begin, end] = team.share(run.rows);
    for (std::int64_t token = begin; token < end; ++token) {
        float* row = run.row(target, token);
        const double position = run.batch.positions[token];
        for (std::int64_t i = 0; i < waves; ++i) {
            const double angle = position * turns[static_cast<std::size_t>(i)];
            row[i] += static_cast<float>(std::sin(angle));
            if (waves + i < width) row[waves + i] += static_cast<float>(std::cos(angle));
        }
    }
}

// One query's scores of all tokens of a source, (read).
template <typename Number>
void LookStep::scores(const Run& run, std::int64_t token, std::int64_t head, float* found) const {
    const Batch& batch = run.batch;
    const Pool& pool = batch.pools[heads.pool];
    const std::int64_t sequence = batch.owners[token], read = batch.read[sequence];
    const std::int64_t kv_head = head / (heads.heads / heads.kv_heads);
    const float* query = run.row(heads.source, token) + head * heads.width;
    for (std::int64_t start = 0; start < read; start += page_tokens) {
        const std::int64_t page = pool.tables[sequence * pool.table_width + start / page_tokens];
        const auto* keys = reinterpret_cast<const Number*>(
            heads.pages(pool) + (page * heads.kv_heads + kv_head) * heads.head_bytes());
        float sums[page_tokens] = {};
        for (std::int64_t d = 0; d < heads.width; ++d, keys += page_tokens) {
            const float part = query[d] * scale;
            for (int i = 0; i < page_tokens; ++i) sums[i] += part * number(keys[i]);
        }
        const std::int64_t count = std::min<std::int64_t>(page_tokens, read - start);
        std::memcpy(found + start, sums, sizeof(float) * count);
    }
}

void LookStep::run(Run& run, Team& team) const {
    const auto each = static_cast<std::int64_t>(chosen.size());
    const auto [begin, end] = team.share(run.rows * each);
    for (std::int64_t unit = begin; unit < end; ++unit) {
        const std::int64_t token = unit / each, head = chosen[static_cast<std::size_t>(unit % each)];
        const std::int64_t read = run.batch.read[run.batch.owners[token]];
        float* found = run.row(target, token) + offset + unit % each * most;
        if (heads.type == StateType::Float32) {
            scores<float>(run, token, head, found);
        } else {
            scores<std::uint16_t>(run, token, head, found);
        }
        const float highest = *std::max_element(found, found + read);
        float sum = 0;
        for (std::int64_t i = 0; i < read; ++i) sum += found[i] = std::exp(found[i] - highest);
        for (std::int64_t i = 0; i < read; ++i) found[i] /= sum;
        std::fill(found + read, found + most, 0.0F);
    }
}

}  // namespace fathom
