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

constexpr std::int64_t prompt_tokens = 64;  // of a sequence, from which on blocks are plenty
constexpr std::int64_t partials = 128;      // results of parts that wait to be merged
constexpr std::int64_t most_parts = 16;
constexpr std::int32_t least_keys = 256;  // of a part: fewer are not worth merging

// Keys of a part. It follows from a row's own keys alone, as do the places where they are cut, so
// that a token has the same bits alone and among others, whatever the number of threads.
std::int32_t part_keys(std::int32_t keys) {
    std::int32_t each = least_keys;
    while (each * most_parts < keys) each *= 2;
    return each;
}

}  // namespace

struct AttendStep::Gathered {
    int rows;
    std::int32_t first[prompt_rows], last[prompt_rows], positions[prompt_rows];
    std::int64_t tokens[prompt_rows], own_heads[prompt_rows];
    float slopes[prompt_rows], sinks[prompt_rows];
    const float* distances[prompt_rows];  // of distance 0
};

// The position after the last key that a token sees of a source or of a whole text.
std::int32_t AttendStep::last(const Batch& batch, std::int64_t sequence,
                              std::int32_t position) const {
    if (looks) return batch.read[sequence];
    const std::int32_t length = batch.begins[sequence + 1] - batch.begins[sequence];
    return reach == Reach::Everything ? length : std::min(length, position + reach_width);
}

// The first position that a query sees.
std::int32_t AttendStep::first_key(std::int32_t position) const {
    if (reach == Reach::Everything) return 0;
    if (reach == Reach::Window) return std::max(0, position - reach_width + 1);
    return position / reach_width * reach_width;
}

AttendStep::Gathered AttendStep::gather(const Run& run, const Item& item, float* queries) const {
    const Batch& batch = run.batch;
    const std::int64_t width = heads.width, group = heads.heads / heads.kv_heads;
    const std::int64_t begin = batch.begins[item.sequence], start = item.block * item.most;
    const std::int64_t all = (batch.begins[item.sequence + 1] - begin) * group;
    Gathered found;
    found.rows = static_cast<int>(std::min<std::int64_t>(item.most, all - start));
    for (int row = 0; row < found.rows; ++row) {
        const std::int64_t token = begin + (start + row) / group;
        const std::int64_t head = item.kv_head * group + (start + row) % group;
        const std::int32_t position = batch.positions[token];
        found.tokens[row] = token;
        found.own_heads[row] = head;
        found.positions[row] = position;
        found.last[row] = causal ? position + 1 : last(batch, item.sequence, position);
        found.first[row] = first_key(position);
        if (slopes) found.slopes[row] = slopes[head];
        if (sinks) found.sinks[row] = sinks[head];
        if (distances) {
            found.distances[row] = distances + head * (2 * furthest + 1) + furthest;
        }
        if (queries == nullptr) continue;
        const float* query = run.row(heads.source, token) + head * width;
        for (std::int64_t i = 0; i < width; ++i) {
            queries[row * padded(width) + i] = query[i] * scale;
        }
    }
    return found;
}

// Leaves one of the parts of what each row sees; perhaps nothing.
static void cut(std::int32_t* first, std::int32_t* last, int rows, std::int64_t part) {
    for (int row = 0; row < rows; ++row) {
        const std::int32_t each = part_keys(last[row] - first[row]);
        const auto begin = static_cast<std::int32_t>((first[row] / each + part) * each);
        first[row] = std::clamp(begin, first[row], last[row]);
        last[row] = std::clamp(begin + each, first[row], last[row]);
    }
}

std::int64_t AttendStep::partial_floats() const {
    return most_rows * (padded(heads.width) + 2);
}

float* AttendStep::partial(const Run& run, std::int64_t index) const {
    return run.scratch + index * partial_floats();
}

std::int64_t AttendStep::scratch(int /*threads*/) const { return partials * partial_floats(); }

// Whether somebody reads what an item finds.
bool AttendStep::wanted(const Batch& batch, const Item& item) const {
    if (!narrowed) return true;
    const std::int64_t group = heads.heads / heads.kv_heads, begin = batch.begins[item.sequence];
    const std::int64_t first = item.block * item.most, last = first + item.most - 1;
    return std::any_of(batch.chosen, batch.chosen + batch.outputs, [&](std::int32_t token) {
        return begin + first / group <= token && token <= begin + last / group;
    });
}

void AttendStep::attend(const Run& run, const Item& item, std::int64_t index) const {
    if (!wanted(run.batch, item)) return;
    constexpr int most = std::max(most_rows * widest_head, prompt_rows * widest_prompt_head);
    alignas(64) float queries[most], own_results[most];
    Gathered found = gather(run, item, queries);
    const Pool& pool = run.batch.pools[heads.pool];
    const bool whole = item.parts == 1;
    if (!whole) cut(found.first, found.last, found.rows, item.part);
    float* results = whole ? own_results : partial(run, index);
    auto* softmax = reinterpret_cast<Softmax*>(results + most_rows * padded(heads.width));
    const auto kernel =
        item.most > most_rows ? run.arithmetic.attend_prompt : run.arithmetic.attend;
    kernel(
        {found.rows, heads.width, queries, results, found.first, found.last,
         heads.pages(pool), heads.kv_heads * heads.head_bytes(), item.kv_head * heads.head_bytes(),
         pool.tables + item.sequence * pool.table_width, heads.type, soft_cap,
         slopes ? found.slopes : nullptr, found.positions,
         sinks && item.part == 0 ? found.sinks : nullptr, whole ? nullptr : softmax,
         rounded ? scale : 0.0F, distances ? found.distances : nullptr, furthest, paired});
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
    if (!wanted(run.batch, item)) return;
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

// How many queries meet the same keys at once.
std::int64_t AttendStep::rows_at_once(bool prompt) const {
    const bool quick = prompt && arithmetic().attend_prompt != nullptr &&
                       heads.type == StateType::Float16 && heads.width <= widest_prompt_head &&
                       soft_cap == 0 && slopes == nullptr && distances == nullptr;
    return quick ? prompt_rows : most_rows;
}

// Blocks of queries that one sequence brings to each key head, if it is of the kind: a piece of a
// prompt, or a few tokens.
std::int64_t AttendStep::blocks(const Batch& batch, std::int64_t sequence, bool prompt) const {
    const std::int64_t tokens = batch.begins[sequence + 1] - batch.begins[sequence];
    if ((tokens >= prompt_tokens) != prompt) return 0;
    const std::int64_t most = rows_at_once(prompt);
    return (tokens * (heads.heads / heads.kv_heads) + most - 1) / most;
}

std::int64_t AttendStep::items(const Batch& batch, bool prompt) const {
    std::int64_t items = 0;
    for (std::int64_t sequence = 0; sequence < batch.sequences; ++sequence) {
        items += blocks(batch, sequence, prompt) * heads.kv_heads;
    }
    return items;
}

// Items of a kind are numbered by sequence, key head and block.
AttendStep::Item AttendStep::item(const Batch& batch, bool prompt, std::int64_t index) const {
    std::int64_t sequence = 0;
    for (; index >= blocks(batch, sequence, prompt) * heads.kv_heads; ++sequence) {
        index -= blocks(batch, sequence, prompt) * heads.kv_heads;
    }
    const std::int64_t each = blocks(batch, sequence, prompt);
    return {sequence, index / each, index % each, rows_at_once(prompt), 0, 1};
}

// How many parts the keys of few queries are cut into, so that threads share them.
std::int64_t AttendStep::parts(const Batch& batch) const {
    std::int64_t most = 1;
    for (std::int64_t token = 0; token < batch.tokens; ++token) {
        if (blocks(batch, batch.owners[token], false) == 0) continue;
        const std::int32_t position = batch.positions[token], first = first_key(position);
        const std::int32_t last =
            causal ? position + 1 : this->last(batch, batch.owners[token], position);
        const std::int32_t each = part_keys(last - first);
        most = std::max<std::int64_t>(most, (last - 1) / each - first / each + 1);
    }
    return most;
}

void AttendStep::run(Run& run, Team& team) const {
    const Batch& batch = run.batch;
    const std::int64_t prompts = items(batch, true), others = items(batch, false);
    const auto each = [&](std::int64_t count, auto work) {
        team.deal(count, 1, 1, [&](std::int64_t begin, std::int64_t end) {
            for (std::int64_t index = begin; index < end; ++index) work(index);
        });
    };
    each(prompts, [&](std::int64_t index) { attend(run, item(batch, true, index), 0); });
    if (others == 0) return;
    if (prompts > 0) team.meet();
    const std::int64_t parts = this->parts(batch), at_once = parts == 1 ? others : partials / parts;
    for (std::int64_t first = 0; first < others; first += at_once) {
        if (first > 0) team.meet();
        const std::int64_t count = std::min(at_once, others - first);
        each(count * parts, [&](std::int64_t index) {
            Item own = item(batch, false, first + index / parts);
            own.part = index % parts;
            own.parts = parts;
            attend(run, own, index);
        });
        if (parts == 1) return;
        team.meet();
        each(count, [&](std::int64_t index) {
            Item own = item(batch, false, first + index);
            own.parts = parts;
            merge(run, own, index * parts);
        });
    }
}

}  // namespace fathom
