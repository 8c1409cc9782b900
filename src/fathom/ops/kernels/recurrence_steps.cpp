#include "recurrence_steps.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace fathom {

namespace {

const float* at(const Run& run, const Column& column, std::int64_t row) {
    return run.row(column.buffer, row) + column.offset;
}

// Whether a sequence begins in this batch, so that it remembers nothing.
bool begins(const Batch& batch, std::int64_t sequence) {
    return batch.positions[batch.begins[sequence]] == 0;
}

// Calls work(sequence, first unit, last unit) for this thread's share of all sequences' units.
template <typename F>
void each_share(const Run& run, const Team& team, std::int64_t units, F work) {
    const Batch& batch = run.batch;
    const auto [begin, end] = team.share(batch.sequences * units);
    for (std::int64_t unit = begin; unit < end;) {
        const std::int64_t sequence = unit / units, next = std::min(end, (sequence + 1) * units);
        const bool tokens = batch.begins[sequence] < batch.begins[sequence + 1];
        if (tokens) work(sequence, unit - sequence * units, next - sequence * units);
        unit = next;
    }
}

constexpr float length_epsilon = 1e-6F;  // under the root of a key's length

// to = x / sqrt(Σx² + ε) · scale
void unit(const float* x, std::int64_t width, float scale, float* to) {
    float squares = length_epsilon;
    for (std::int64_t i = 0; i < width; ++i) squares += x[i] * x[i];
    const float factor = scale / std::sqrt(squares);
    for (std::int64_t i = 0; i < width; ++i) to[i] = x[i] * factor;
}

// (width) numbers times a factor, filled up to whole lanes with zeros.
void widen(const float* x, std::int64_t width, float factor, float* to) {
    for (std::int64_t i = 0; i < width; ++i) to[i] = x[i] * factor;
    std::fill(to + width, to + whole_lanes(width), 0.0F);
}

}  // namespace

void ConvolveStep::run(Run& run, Team& team) const {
    const Batch& batch = run.batch;
    const std::int64_t blocks = whole_lanes(channels) / recurrent_lanes;
    each_share(run, team, blocks, [&](std::int64_t sequence, std::int64_t from, std::int64_t to) {
        const std::int64_t first = from * recurrent_lanes;
        const std::int64_t count = std::min(channels, to * recurrent_lanes) - first;
        const std::int64_t begin = batch.begins[sequence], end = batch.begins[sequence + 1];
        float* before = batch.remembered(sequence, slot_offset) + first;
        for (std::int64_t i = 0; begins(batch, sequence) && i < kernel - 1; ++i) {
            std::fill_n(before + i * channels, count, 0.0F);
        }
        recurrences().convolve({end - begin, count, kernel, at(run, source, begin) + first,
                                run.width(source.buffer), run.row(target, begin) + first,
                                run.width(target), weight.data() + first, channels,
                                bias ? bias + first : nullptr, before, channels});
        for (std::int64_t token = begin; token < end; ++token) {
            float* y = run.row(target, token) + first;
            run.arithmetic.activate(activation, 0, 0, y, nullptr, count, y);
        }
    });
}

void ScanStep::run(Run& run, Team& team) const {
    const Batch& batch = run.batch;
    const std::int64_t blocks = whole_lanes(inner) / recurrent_lanes;
    const std::int64_t size = state_width * recurrent_lanes;
    each_share(run, team, blocks, [&](std::int64_t sequence, std::int64_t from, std::int64_t to) {
        const std::int64_t begin = batch.begins[sequence], end = batch.begins[sequence + 1];
        for (std::int64_t block = from; block < to; ++block) {
            const std::int64_t first = block * recurrent_lanes;
            float* memory = batch.remembered(sequence, slot_offset) + block * size;
            if (begins(batch, sequence)) std::fill_n(memory, size, 0.0F);
            recurrences().scan(
                {end - begin, std::min<std::int64_t>(recurrent_lanes, inner - first), state_width,
                 at(run, value, begin) + first, at(run, step, begin) + first,
                 at(run, gate, begin) + first, run.width(value.buffer), run.width(step.buffer),
                 run.width(gate.buffer), at(run, write, begin), at(run, read, begin),
                 run.width(write.buffer), run.width(read.buffer), decay.data() + block * size,
                 bias.data() + first, skip.data() + first, memory, run.row(target, begin) + first,
                 run.width(target)});
        }
    });
}

void HeadsStep::run(Run& run, Team& team) const {
    const Batch& batch = run.batch;
    float* own = run.scratch + team.thread * room();
    each_share(run, team, heads, [&](std::int64_t sequence, std::int64_t from, std::int64_t to) {
        const std::int64_t begin = batch.begins[sequence], end = batch.begins[sequence + 1];
        for (std::int64_t head = from; head < to; ++head) {
            float* memory = batch.remembered(sequence, slot_offset) + head * remembered();
            if (begins(batch, sequence)) std::fill_n(memory, remembered(), 0.0F);
            for (std::int64_t first = begin; first < end; first += recurrent_tokens) {
                const std::int64_t count = std::min<std::int64_t>(recurrent_tokens, end - first);
                take(run, {first, count, head, memory, own});
            }
        }
    });
}

std::int64_t DualStep::room() const {
    return recurrent_tokens * (1 + 2 * whole_lanes(width));
}

void DualStep::take(const Run& run, const Piece& piece) const {
    const std::int64_t padded = whole_lanes(width), group = piece.head / (heads / groups);
    float* inputs = piece.room;
    float* results = inputs + recurrent_tokens * padded;
    float* decays = results + recurrent_tokens * padded;
    for (std::int64_t i = 0; i < piece.count; ++i) {
        const float stepped = at(run, step, piece.first + i)[piece.head] + bias[piece.head];
        const float passed = std::clamp(recurrences().softplus(stepped), least, most);
        const float* x = at(run, value, piece.first + i) + piece.head * width;
        decays[i] = std::exp(passed * rate[piece.head]);
        widen(x, width, passed, inputs + i * padded);
        widen(x, width, skip[piece.head], results + i * padded);
    }
    const std::int64_t shared = group * state_width;
    recurrences().dual({piece.count, padded, state_width, decays, inputs,
                        at(run, write, piece.first) + shared, at(run, read, piece.first) + shared,
                        run.width(write.buffer), piece.memory, results});
    for (std::int64_t i = 0; i < piece.count; ++i) {
        std::memcpy(run.row(target, piece.first + i) + piece.head * width, results + i * padded,
                    sizeof(float) * width);
    }
}

std::int64_t DeltaStep::room() const {
    return recurrent_tokens * (2 + 2 * key_width + 2 * whole_lanes(width));
}

void DeltaStep::take(const Run& run, const Piece& piece) const {
    const std::int64_t padded = whole_lanes(width), key_head = piece.head / (heads / key_heads);
    float* values = piece.room;
    float* results = values + recurrent_tokens * padded;
    float* queries = results + recurrent_tokens * padded;
    float* keys = queries + recurrent_tokens * key_width;
    float* decays = keys + recurrent_tokens * key_width;
    float* shares = decays + recurrent_tokens;
    const float scale = 1.0F / std::sqrt(static_cast<float>(key_width));
    for (std::int64_t i = 0; i < piece.count; ++i) {
        const std::int64_t row = piece.first + i;
        const float stepped = at(run, step, row)[piece.head] + bias[piece.head];
        decays[i] = std::exp(recurrences().softplus(stepped) * rate[piece.head]);
        shares[i] = 1.0F / (1.0F + std::exp(-at(run, share, row)[piece.head]));
        unit(at(run, query, row) + key_head * key_width, key_width, scale, queries + i * key_width);
        unit(at(run, key, row) + key_head * key_width, key_width, 1, keys + i * key_width);
        widen(at(run, value, row) + piece.head * width, width, 1, values + i * padded);
    }
    recurrences().correct({piece.count, padded, key_width, decays, shares, queries, keys, values,
                           piece.memory, results});
    for (std::int64_t i = 0; i < piece.count; ++i) {
        run.arithmetic.norm(norm, results + i * padded,
                            run.row(target, piece.first + i) + piece.head * width);
    }
}

}  // namespace fathom
