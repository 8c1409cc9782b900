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
    std::uint8_t* head =
        heads.pages(pool) + (page * heads.kv_heads + kv_head) * heads.head_bytes();
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

namespace {

constexpr std::int64_t items_per_thread = 4;  // so that none waits long for the others
constexpr std::int64_t least_keys = 128;      // of a part: fewer are not worth merging

}  // namespace

struct AttendStep::Gathered {
    int rows;
    std::int32_t first[most_rows], last[most_rows], positions[most_rows];
    std::int64_t tokens[most_rows], own_heads[most_rows];
    float slopes[most_rows], sinks[most_rows];
};

AttendStep::Gathered AttendStep::gather(const Run& run, const Item& item, float* queries) const {
    const Batch& batch = run.batch;
    const std::int64_t width = heads.width, group = heads.heads / heads.kv_heads;
    const std::int64_t begin = batch.begins[item.sequence], start = item.block * most_rows;
    const std::int64_t all = (batch.begins[item.sequence + 1] - begin) * group;
    Gathered found;
    found.rows = static_cast<int>(std::min<std::int64_t>(most_rows, all - start));
    for (int row = 0; row < found.rows; ++row) {
        const std::int64_t token = begin + (start + row) / group;
        const std::int64_t head = item.kv_head * group + (start + row) % group;
        const std::int32_t position = batch.positions[token];
        found.tokens[row] = token;
        found.own_heads[row] = head;
        found.positions[row] = position;
        found.last[row] = position + 1;
        found.first[row] = reach == Reach::Everything ? 0
                           : reach == Reach::Window   ? std::max(0, position - reach_width + 1)
                                                      : position / reach_width * reach_width;
        if (slopes) found.slopes[row] = slopes[head];
        if (sinks) found.sinks[row] = sinks[head];
        if (queries == nullptr) continue;
        const float* query = run.row(heads.source, token) + head * width;
        for (std::int64_t i = 0; i < width; ++i) {
            queries[row * padded(width) + i] = query[i] * scale;
        }
    }
    return found;
}

// Cuts what the rows see into parts of whole pages, and leaves one of them.
static void cut(std::int32_t* first, std::int32_t* last, int rows, std::int64_t part,
                std::int64_t parts) {
    const std::int32_t begin = *std::min_element(first, first + rows) / page_tokens;
    const std::int32_t end = (*std::max_element(last, last + rows) + page_tokens - 1) / page_tokens;
    const auto at = [&](std::int64_t i) {
        return static_cast<std::int32_t>((begin + (end - begin) * i / parts) * page_tokens);
    };
    for (int row = 0; row < rows; ++row) {
        first[row] = std::max(first[row], at(part));
        last[row] = std::max(first[row], std::min(last[row], at(part + 1)));
    }
}

std::int64_t AttendStep::partial_floats() const {
    return most_rows * (padded(heads.width) + 2);
}

float* AttendStep::partial(const Run& run, std::int64_t index) const {
    return run.scratch + index * partial_floats();
}

std::int64_t AttendStep::scratch(int threads) const {
    return 2 * items_per_thread * threads * partial_floats();
}

void AttendStep::attend(const Run& run, const Item& item, std::int64_t index) const {
    alignas(64) float queries[most_rows * widest_head], own_results[most_rows * widest_head];
    Gathered found = gather(run, item, queries);
    const Pool& pool = run.batch.pools[heads.pool];
    const bool whole = item.parts == 1;
    if (!whole) cut(found.first, found.last, found.rows, item.part, item.parts);
    float* results = whole ? own_results : partial(run, index);
    auto* softmax = reinterpret_cast<Softmax*>(results + most_rows * padded(heads.width));
    run.arithmetic.attend(
        {found.rows, heads.width, queries, results, found.first, found.last,
         heads.pages(pool), heads.kv_heads * heads.head_bytes(), item.kv_head * heads.head_bytes(),
         pool.tables + item.sequence * pool.table_width, heads.type, soft_cap,
         slopes ? found.slopes : nullptr, found.positions,
         sinks && item.part == 0 ? found.sinks : nullptr, whole ? nullptr : softmax});
    if (whole) deliver(run, found, results);
}

void AttendStep::deliver(const Run& run, const Gathered& found, const float* results) const {
    for (int row = 0; row < found.rows; ++row) {
        float* to = run.row(target, found.tokens[row]) + found.own_heads[row] * heads.width;
        std::memcpy(to, results + row * padded(heads.width), sizeof(float) * heads.width);
    }
}

// Joins the parts of one item, which lie one after the other from `index` on.
void AttendStep::merge(const Run& run, const Item& item, std::int64_t index) const {
    const std::int64_t stride = padded(heads.width);
    const Gathered found = gather(run, item, nullptr);
    float* joined = partial(run, index);
    const auto softmax = [&](std::int64_t part, int row) {
        const float* stored = partial(run, index + part) + most_rows * stride + 2 * row;
        return Softmax{stored[0], stored[1]};
    };
    for (int row = 0; row < found.rows; ++row) {
        float highest = softmax(0, row).highest, sum = 0;
        for (std::int64_t part = 1; part < item.parts; ++part) {  // -infinity where nothing is seen
            highest = std::max(highest, softmax(part, row).highest);
        }
        float* own = joined + row * stride;
        for (std::int64_t part = 0; part < item.parts; ++part) {
            const Softmax each = softmax(part, row);
            const float share = each.sum == 0 ? 0 : std::exp(each.highest - highest);
            const float* from = partial(run, index + part) + row * stride;
            if (part == 0) run.arithmetic.bound(own, share, 0, stride);
            if (part != 0) run.arithmetic.add(own, from, share, stride);
            sum += each.sum * share;
        }
        run.arithmetic.bound(own, 1.0F / sum, 0, stride);
    }
    deliver(run, found, joined);
}

// Deals items out in turn, as later pieces of a prompt see more keys. An item's parts have
// numbers that follow one another.
template <typename F>
void AttendStep::each(const Run& run, const Team& team, std::int64_t parts, F work) const {
    const Batch& batch = run.batch;
    const std::int64_t group = heads.heads / heads.kv_heads;
    std::int64_t index = 0;
    for (std::int64_t sequence = 0; sequence < batch.sequences; ++sequence) {
        const std::int64_t tokens = batch.begins[sequence + 1] - batch.begins[sequence];
        const std::int64_t blocks = (tokens * group + most_rows - 1) / most_rows;
        for (std::int64_t kv_head = 0; kv_head < heads.kv_heads; ++kv_head) {
            for (std::int64_t block = 0; block < blocks; ++block) {
                for (std::int64_t part = 0; part < parts; ++part, ++index) {
                    if (index % team.threads != team.thread) continue;
                    work(Item{sequence, kv_head, block, part, parts}, index);
                }
            }
        }
    }
}

// How many parts keys are cut into: more than one where there are few queries and many keys.
std::int64_t AttendStep::parts(const Run& run, const Team& team) const {
    const Batch& batch = run.batch;
    const std::int64_t group = heads.heads / heads.kv_heads;
    std::int64_t items = 0, keys = 0;
    for (std::int64_t sequence = 0; sequence < batch.sequences; ++sequence) {
        const std::int64_t tokens = batch.begins[sequence + 1] - batch.begins[sequence];
        items += (tokens * group + most_rows - 1) / most_rows * heads.kv_heads;
    }
    for (std::int64_t token = 0; token < batch.tokens; ++token) {
        keys = std::max<std::int64_t>(keys, batch.positions[token] + 1);
    }
    if (reach != Reach::Everything) keys = std::min<std::int64_t>(keys, reach_width);
    const std::int64_t wanted = items_per_thread * team.threads;
    if (team.threads == 1 || items == 0 || items >= wanted) return 1;
    return std::clamp<std::int64_t>(keys / least_keys, 1, (wanted + items - 1) / items);
}

void AttendStep::run(Run& run, Team& team) const {
    const std::int64_t cuts = parts(run, team);
    each(run, team, cuts, [&](const Item& item, std::int64_t index) { attend(run, item, index); });
    if (cuts == 1) return;
    team.meet();
    each(run, team, 1, [&](Item item, std::int64_t index) {
        item.parts = cuts;
        merge(run, item, index * cuts);
    });
}

}  // namespace fathom
