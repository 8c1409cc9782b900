#include "steps.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "layout.hpp"

namespace fathom {

void EmbedStep::run(Run& run, Team& team) const {
    const auto [begin, end] = team.share(run.rows);
    for (std::int64_t token = begin; token < end; ++token) {
        float* row = run.row(target, token);
        unpack_row(table, run.batch.ids[token], row);
        if (scale != 1) run.arithmetic.bound(row, scale, 0, table.columns);
        if (positions) {
            const float* own = positions + (run.batch.positions[token] + offset) * table.columns;
            run.arithmetic.add(row, own, 1, table.columns);
        }
        if (constant) run.arithmetic.add(row, constant, 1, table.columns);
    }
}

void AddRowsStep::run(Run& run, Team& team) const {
    const std::int64_t width = run.width(target);
    const auto [begin, end] = team.share(run.rows);
    for (std::int64_t token = begin; token < end; ++token) {
        float* row = run.row(target, token);
        if (positions) {
            const float* own = positions + (run.batch.positions[token] + offset) * width;
            run.arithmetic.add(row, own, 1, width);
        }
        if (constant) run.arithmetic.add(row, constant, 1, width);
    }
}

void NormStep::run(Run& run, Team& team) const {
    const auto [begin, end] = team.share(run.rows);
    for (std::int64_t row = begin; row < end; ++row) {
        run.arithmetic.norm(shape, run.row(source, row), run.row(target, row));
    }
}

void AddStep::run(Run& run, Team& team) const {
    const auto [begin, end] = team.share(run.rows);
    for (std::int64_t row = begin; row < end; ++row) {
        run.arithmetic.add(run.row(target, row), run.row(source, row), scale, run.width(target));
    }
}

void ActivateStep::run(Run& run, Team& team) const {
    const auto [begin, end] = team.share(run.rows);
    for (std::int64_t row = begin; row < end; ++row) {
        const float* second = other < 0 ? nullptr : run.row(other, row) + other_offset;
        run.arithmetic.activate(kind, alpha, limit, run.row(gate, row) + gate_offset, second,
                                count, run.row(target, row));
    }
}

void GateRowsStep::run(Run& run, Team& team) const {
    const auto [begin, end] = team.share(run.rows);
    for (std::int64_t row = begin; row < end; ++row) {
        const float share = 1.0F / (1.0F + std::exp(-*run.row(score, row)));
        run.arithmetic.bound(run.row(target, row), share, 0, run.width(target));
    }
}

// Rows `begin` to `end` of one factor, for all tokens.
void MultiplyStep::multiply_rows(const Run& run, const Factor& factor, std::int64_t begin,
                                 std::int64_t end) const {
    const auto& [matrix, bias, offset] = factor;
    const bool to_scores = target < 0;
    const int results = adds ? room : target;
    float* const base = to_scores ? run.batch.scores : run.row(results, 0);
    const std::int64_t stride = to_scores ? factors[0].matrix.rows : run.width(results);
    const Activations activations = run.activations(source, activation_kind(matrix.encoding));
    multiply(matrix, activations, begin, end, base + offset, stride);
    for (std::int64_t row = 0; row < run.rows; ++row) {
        float* y = base + row * stride + offset + begin;
        if (bias) run.arithmetic.add(y, bias + begin, 1, end - begin);
        if (adds) {
            run.arithmetic.add(run.row(target, row) + offset + begin, y, scale, end - begin);
        } else if (scale != 1 || cap != 0) {
            run.arithmetic.bound(y, scale, cap, end - begin);
        }
    }
}

std::int64_t MultiplyStep::panels() const {
    std::int64_t panels = 0;
    for (const Factor& factor : factors) panels += panels_of(factor.matrix.rows);
    return panels;
}

// Panels that are dealt out together: so few that nobody waits long for the last ones.
std::int64_t MultiplyStep::piece(int threads) const {
    constexpr std::int64_t pieces = 32;   // of a thread
    constexpr std::int64_t longest = 16;  // panels of a piece
    return std::min(longest, panels() / (pieces * threads));
}

// The first panels of a thread's own share.
Ahead MultiplyStep::ahead(const Team& team) const {
    constexpr std::int64_t most = 256 * 1024;  // bytes: a part of the L2 cache
    std::int64_t first = team.first(panels(), panels_at_once, piece(team.threads));
    for (const Factor& factor : factors) {
        const PackedMatrix& matrix = factor.matrix;
        const std::int64_t own = panels_of(matrix.rows);
        if (first < own) {
            const std::int64_t step = panel_bytes(matrix.encoding, matrix.columns);
            const std::uint8_t* begin = matrix.data + first * step;
            return {begin, begin + std::min(most, (own - first) * step)};
        }
        first -= own;
    }
    return {};
}

// Deals out panels of all factors, one after the other.
void MultiplyStep::run(Run& run, Team& team) const {
    const std::int64_t panels = this->panels(), piece = this->piece(team.threads);
    team.deal(panels, panels_at_once, piece, [&](std::int64_t first, std::int64_t last) {
        std::int64_t before = 0;
        for (const Factor& factor : factors) {
            const std::int64_t own = panels_of(factor.matrix.rows);
            const std::int64_t begin = std::max<std::int64_t>(first - before, 0);
            const std::int64_t end = std::min(last - before, own);
            before += own;
            if (begin >= end) continue;
            multiply_rows(run, factor, begin * panel_rows,
                          std::min(end * panel_rows, factor.matrix.rows));
        }
    });
}

void AnglesStep::run(Run& run, Team& team) const {
    const Batch& batch = run.batch;
    const auto [begin, end] = team.share(run.rows);
    for (std::int64_t token = begin; token < end; ++token) {
        const float* own = batch.frequencies + batch.owners[token] * batch.frequency_width + offset;
        const auto position = static_cast<float>(batch.positions[token]);
        const float factor = own[half];
        float* cosine = run.row(target, token);
        for (std::int64_t i = 0; i < half; ++i) {
            const float angle = position * own[i];
            cosine[i] = std::cos(angle) * factor;
            cosine[half + i] = std::sin(angle) * factor;
        }
    }
}

void SelectStep::run(Run& run, Team& team) const {
    run.rows = run.batch.outputs;
    const auto [begin, end] = team.share(run.rows);
    for (std::int64_t row = begin; row < end; ++row) {
        const float* from = run.row(source, run.batch.chosen[row]);
        std::memcpy(run.row(target, row), from, sizeof(float) * run.width(target));
    }
}

void NarrowStep::run(Run& run, Team& team) const {
    const Batch& batch = run.batch;
    run.rows = batch.outputs;
    bool all = batch.outputs == batch.tokens;
    for (std::int64_t row = 0; all && row < run.rows; ++row) all = batch.chosen[row] == row;
    if (all) return;
    const auto [begin, end] = team.share(run.rows);
    for (const auto& [rows, room] : buffers) {
        for (std::int64_t row = begin; row < end; ++row) {
            std::memcpy(run.row(room, row), run.row(rows, batch.chosen[row]),
                        sizeof(float) * run.width(rows));
        }
    }
    team.meet();
    for (const auto& [rows, room] : buffers) {
        std::memcpy(run.row(rows, begin), run.row(room, begin),
                    sizeof(float) * run.width(rows) * (end - begin));
    }
}

void DeliverStep::run(Run& run, Team& team) const {
    const std::int64_t width = run.width(source);
    const auto [begin, end] = team.share(run.batch.outputs);
    for (std::int64_t row = begin; row < end; ++row) {
        const float* from = run.row(source, run.batch.chosen[row]);
        std::memcpy(run.batch.scores + row * width, from, sizeof(float) * width);
    }
}

}  // namespace fathom
