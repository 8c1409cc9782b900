#include <algorithm>
#include <cmath>
#include <cstring>

#include "steps.hpp"

namespace fathom {

std::int64_t Heads::head_bytes() const {
    return head_numbers(width) * (type == StateType::Float32 ? 4 : 2);
}

void PlaceStep::prepare_heads(const Run& run, float* first, std::int64_t count,
                              std::int64_t token, bool normed, const NormShape& norm) const {
    const Arithmetic& arithmetic = run.arithmetic;
    if (normed && !late && heads.own(norm)) {
        for (std::int64_t i = 0; i < count; ++i) {
            arithmetic.norm(norm, first + i * heads.width, first + i * heads.width);
        }
    }
    if (clip != 0) {
        for (std::int64_t i = 0; i < count * heads.width; ++i) {
            first[i] = std::clamp(first[i], -clip, clip);
        }
    }
    for (std::int64_t i = 0; i < count; ++i) {
        float* head = first + i * heads.width;
        if (angles >= 0) {
            const float* cosine = run.row(angles, token);
            arithmetic.rotate(head, cosine, cosine + half, half, interleaved);
        }
        if (normed && late) arithmetic.norm(norm, head, head);
    }
}

// One token's key and value of one head, and the queries that will meet them.
void PlaceStep::place(const Run& run, std::int64_t token, std::int64_t kv_head) const {
    const Batch& batch = run.batch;
    const std::int64_t width = heads.width, group = heads.heads / heads.kv_heads;
    float* row = run.row(heads.source, token);
    float* query = row + kv_head * group * width;
    float* key = row + (heads.heads + kv_head) * width;
    const float* value = row + (heads.heads + heads.kv_heads + kv_head) * width;
    const std::int32_t position = batch.positions[token];
    prepare_heads(run, query, group, token, query_normed, query_norm);
    prepare_heads(run, key, 1, token, key_normed, key_norm);
    if (sharpened != 0) {
        const auto passed = static_cast<float>((position + 1) / sharpened);
        const float factor = 1.0F + strength * std::log1p(passed);
        run.arithmetic.bound(query, factor, 0, group * width);
    }
    if (clip != 0) {  // values too
        float* bounded = row + (heads.heads + heads.kv_heads + kv_head) * width;
        for (std::int64_t i = 0; i < width; ++i) bounded[i] = std::clamp(bounded[i], -clip, clip);
    }
    const Pool& pool = batch.pools[heads.pool];
    const std::int32_t page =
        pool.tables[batch.owners[token] * pool.table_width + position / page_tokens];
    std::uint8_t* head = pool.pages + page * pool.page_bytes + heads.page_offset +
                         kv_head * heads.head_bytes();
    run.arithmetic.store(key, value, width, heads.type, position % page_tokens, head);
}

void PlaceStep::run(Run& run, Team& team) const {
    // Norms over all heads together come first.
    const bool queries = query_normed && !heads.own(query_norm);
    const bool keys = key_normed && !heads.own(key_norm);
    if (queries || keys) {
        const auto [begin, end] = team.share(run.rows);
        for (std::int64_t token = begin; token < end; ++token) {
            float* row = run.row(heads.source, token);
            float* key = row + heads.heads * heads.width;
            if (queries) run.arithmetic.norm(query_norm, row, row);
            if (keys) run.arithmetic.norm(key_norm, key, key);
        }
        team.meet();
    }
    const auto [begin, end] = team.share(run.rows * heads.kv_heads);
    for (std::int64_t unit = begin; unit < end; ++unit) {
        place(run, unit / heads.kv_heads, unit % heads.kv_heads);
    }
}

void AttendStep::attend(const Run& run, std::int64_t sequence, std::int64_t kv_head,
                        std::int64_t block) const {
    const Batch& batch = run.batch;
    const std::int64_t width = heads.width, stride = padded(width);
    const std::int64_t group = heads.heads / heads.kv_heads;
    const std::int64_t begin = batch.begins[sequence];
    const std::int64_t all = (batch.begins[sequence + 1] - begin) * group;
    const Pool& pool = batch.pools[heads.pool];
    alignas(64) float queries[most_rows * widest_head], results[most_rows * widest_head];
    float own_slopes[most_rows], own_sinks[most_rows];
    std::int32_t first[most_rows], last[most_rows], positions[most_rows];
    const std::int64_t start = block * most_rows;
    const auto rows = static_cast<int>(std::min<std::int64_t>(most_rows, all - start));
    const auto place = [&](int row) { return std::pair{(start + row) / group, (start + row) % group}; };
    for (int row = 0; row < rows; ++row) {
        const auto [token, member] = place(row);
        const std::int64_t head = kv_head * group + member;
        const float* query = run.row(heads.source, begin + token) + head * width;
        float* own = queries + row * stride;
        for (std::int64_t i = 0; i < width; ++i) own[i] = query[i] * scale;
        const std::int32_t position = batch.positions[begin + token];
        positions[row] = position;
        last[row] = position + 1;
        first[row] = reach == Reach::Everything ? 0
                     : reach == Reach::Window   ? std::max(0, position - reach_width + 1)
                                                : position / reach_width * reach_width;
        if (slopes) own_slopes[row] = slopes[head];
        if (sinks) own_sinks[row] = sinks[head];
    }
    run.arithmetic.attend({rows, width, queries, results, first, last, pool.pages,
                           pool.page_bytes, heads.page_offset + kv_head * heads.head_bytes(),
                           pool.tables + sequence * pool.table_width, heads.type, soft_cap,
                           slopes ? own_slopes : nullptr, positions, sinks ? own_sinks : nullptr});
    for (int row = 0; row < rows; ++row) {
        const auto [token, member] = place(row);
        float* target_row = run.row(target, begin + token) + (kv_head * group + member) * width;
        std::memcpy(target_row, results + row * stride, sizeof(float) * width);
    }
}

void AttendStep::run(Run& run, Team& team) const {
    const Batch& batch = run.batch;
    const std::int64_t group = heads.heads / heads.kv_heads;
    std::int64_t item = 0;  // dealt out in turn: later pieces of a prompt see more keys
    for (std::int64_t sequence = 0; sequence < batch.sequences; ++sequence) {
        const std::int64_t tokens = batch.begins[sequence + 1] - batch.begins[sequence];
        const std::int64_t blocks = (tokens * group + most_rows - 1) / most_rows;
        for (std::int64_t kv_head = 0; kv_head < heads.kv_heads; ++kv_head) {
            for (std::int64_t block = 0; block < blocks; ++block, ++item) {
                if (item % team.threads == team.thread) attend(run, sequence, kv_head, block);
            }
        }
    }
}

}  // namespace fathom
