#include "latent_steps.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace fathom {

void MultiplyHeadsStep::run(Run& run, Team& team) const {
    const auto heads = static_cast<std::int64_t>(matrices.size());
    const PackedMatrix& first = matrices[0];
    const ActivationKind kind = activation_kind(first.encoding);
    const std::int64_t inputs = first.columns, outputs = first.rows, tokens = run.rows;
    std::uint8_t* data = const_cast<std::uint8_t*>(run.activations(room, kind).data);
    const auto of_head = [&](std::int64_t head) {
        return data + activation_bytes(kind, head * tokens, inputs);
    };
    const auto [begin, end] = team.share(tokens);
    for (std::int64_t head = 0; head < heads; ++head) {
        float* rows = run.row(room, 0) + head * tokens * inputs;
        for (std::int64_t token = begin; token < end; ++token) {
            const float* from = run.row(source, token) + offset + head * stride;
            std::memcpy(rows + token * inputs, from, sizeof(float) * inputs);
        }
        quantise(kind, rows, inputs, tokens, inputs, begin, end, of_head(head));
    }
    team.meet();
    const std::int64_t panels = (outputs + panel_rows - 1) / panel_rows;
    const auto [from, to] = team.share(heads * panels);
    for (std::int64_t unit = from; unit < to;) {
        const std::int64_t head = unit / panels, next = std::min(to, (head + 1) * panels);
        const std::int64_t last = std::min(outputs, (next - head * panels) * panel_rows);
        const Activations own{kind, tokens, inputs, of_head(head)};
        multiply(matrices[static_cast<std::size_t>(head)], own,
                 (unit - head * panels) * panel_rows, last, run.row(target, 0) + head * outputs,
                 run.width(target));
        unit = next;
    }
}

void PlaceLatentStep::run(Run& run, Team& team) const {
    const Batch& batch = run.batch;
    const Pool& pool = batch.pools[heads.pool];
    const std::int64_t half = heads.turned / 2;
    const auto [begin, end] = team.share(run.rows);
    for (std::int64_t token = begin; token < end; ++token) {
        const float* cosine = run.row(angles, token);
        float* key = run.row(latents, token);
        run.arithmetic.norm(norm, key, key);
        run.arithmetic.rotate(key + heads.latent, cosine, cosine + half, half, interleaved);
        float* query = run.row(heads.queries, token) + heads.plain;
        for (std::int64_t head = 0; head < heads.heads; ++head) {
            run.arithmetic.rotate(query, cosine, cosine + half, half, interleaved);
            query += heads.plain + heads.turned;
        }
        const std::int32_t position = batch.positions[token];
        const std::int32_t page =
            pool.tables[batch.owners[token] * pool.table_width + position / page_tokens];
        std::uint8_t* to = heads.pages(pool) + page * heads.page_bytes() +
                           position % page_tokens * heads.row_bytes();
        latent_kernels().store(key, heads.width(), heads.type, to);
    }
}

namespace {

// Keys are cut by their positions alone, so that a token has the same bits in any company.
constexpr std::int64_t least_part = 256;      // keys; fewer are not worth merging
constexpr std::int64_t most_parts = 16;       // of the keys of a token
constexpr std::int64_t items_per_thread = 4;  // from which on nobody waits long for the others

std::int64_t part_keys(std::int64_t keys) {
    const std::int64_t each = std::max((keys + most_parts - 1) / most_parts, least_part);
    return (each + page_tokens - 1) / page_tokens * page_tokens;
}

}  // namespace

std::int64_t AttendLatentStep::parts(const Run& run, std::int64_t token) const {
    const std::int64_t keys = run.batch.positions[token] + 1;
    return (keys + part_keys(keys) - 1) / part_keys(keys);
}

std::int64_t AttendLatentStep::own_floats() const {
    return heads.width() * (latent_heads + page_tokens) + 2 * partial_floats();
}

std::int64_t AttendLatentStep::scratch(int threads) const {
    const std::int64_t shared = items_per_thread * threads * most_parts * partial_floats();
    return threads * own_floats() + shared;
}

void AttendLatentStep::attend(const Run& run, const Item& item, std::int64_t part, float* own,
                              float* partial) const {
    const Batch& batch = run.batch;
    const Pool& pool = batch.pools[heads.pool];
    const std::int64_t width = heads.width(), each = heads.plain + heads.turned;
    const float* asks = run.row(asked, item.token);
    const float* turned = run.row(heads.queries, item.token) + heads.plain;
    for (std::int64_t lane = 0; lane < latent_heads; ++lane) {
        const std::int64_t head = item.group * latent_heads + lane;
        for (std::int64_t d = 0; d < width; ++d) {
            const float found = head >= heads.heads ? 0.0F
                                : d < heads.latent  ? asks[head * heads.latent + d]
                                                    : turned[head * each + d - heads.latent];
            own[d * latent_heads + lane] = found * scale;
        }
    }
    const std::int64_t keys = batch.positions[item.token] + 1, step = part_keys(keys);
    float* results = partial + 2 * latent_heads;
    latent_kernels().attend(
        {width, heads.latent, own, results, partial, partial + latent_heads,
         static_cast<std::int32_t>(part * step),
         static_cast<std::int32_t>(std::min(keys, (part + 1) * step)), heads.pages(pool),
         heads.page_bytes(), pool.tables + batch.owners[item.token] * pool.table_width, heads.type,
         own + width * latent_heads});
}

// Adds a part of a token's keys to those before it.
void AttendLatentStep::merge(const float* partial, float* joined) const {
    for (int lane = 0; lane < latent_heads; ++lane) {
        const float highest = std::max(partial[lane], joined[lane]);
        const float kept = std::exp(joined[lane] - highest);
        const float added = std::exp(partial[lane] - highest);
        joined[lane] = highest;
        float* sum = joined + latent_heads + lane;
        *sum = *sum * kept + partial[latent_heads + lane] * added;
        for (std::int64_t d = 0; d < heads.latent; ++d) {
            const std::int64_t place = (2 + d) * latent_heads + lane;
            joined[place] = joined[place] * kept + partial[place] * added;
        }
    }
}

void AttendLatentStep::deliver(const Run& run, const Item& item, const float* joined) const {
    const std::int64_t first = item.group * latent_heads;
    const std::int64_t count = std::min<std::int64_t>(latent_heads, heads.heads - first);
    float* to = run.row(target, item.token) + first * heads.latent;
    for (std::int64_t lane = 0; lane < count; ++lane) {
        const float share = 1.0F / joined[latent_heads + lane];
        for (std::int64_t d = 0; d < heads.latent; ++d) {
            to[lane * heads.latent + d] = joined[(2 + d) * latent_heads + lane] * share;
        }
    }
}

void AttendLatentStep::run(Run& run, Team& team) const {
    const std::int64_t items = run.rows * groups();
    float* own = run.scratch + team.thread * own_floats();
    float* partial = own + heads.width() * (latent_heads + page_tokens);
    if (items >= items_per_thread * team.threads || team.threads == 1) {
        float* joined = partial + partial_floats();
        for (std::int64_t index = team.thread; index < items; index += team.threads) {
            const std::int64_t count = parts(run, item(index).token);
            for (std::int64_t part = 0; part < count; ++part) {
                attend(run, item(index), part, own, part == 0 ? joined : partial);
                if (part > 0) merge(partial, joined);
            }
            deliver(run, item(index), joined);
        }
        return;
    }
    float* shared = run.scratch + team.threads * own_floats();
    const auto place = [&](std::int64_t index, std::int64_t part) {
        return shared + (index * most_parts + part) * partial_floats();
    };
    for (std::int64_t unit = team.thread; unit < items * most_parts; unit += team.threads) {
        const std::int64_t index = unit / most_parts, part = unit % most_parts;
        if (part < parts(run, item(index).token)) {
            attend(run, item(index), part, own, place(index, part));
        }
    }
    team.meet();
    for (std::int64_t index = team.thread; index < items; index += team.threads) {
        const std::int64_t count = parts(run, item(index).token);
        for (std::int64_t part = 1; part < count; ++part) {
            merge(place(index, part), place(index, 0));
        }
        deliver(run, item(index), place(index, 0));
    }
}

}  // namespace fathom
