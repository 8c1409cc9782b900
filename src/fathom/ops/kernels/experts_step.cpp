#include "experts_step.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace fathom {

namespace {

constexpr float lowest = -std::numeric_limits<float>::infinity();

std::vector<float> softmax(const float* scores, std::int64_t count) {
    std::vector<float> shares(scores, scores + count);
    const float highest = *std::max_element(shares.begin(), shares.end());
    float sum = 0;
    for (float& share : shares) sum += share = std::exp(share - highest);
    for (float& share : shares) share /= sum;
    return shares;
}

// Leaves only experts of the best groups in the running.
void keep_best_groups(const Routing& routing, std::vector<float>& ranks) {
    const std::int64_t size = routing.experts / routing.groups;
    std::vector<float> worth, sorted;
    for (std::int64_t group = 0; group < routing.groups; ++group) {
        sorted.assign(ranks.begin() + group * size, ranks.begin() + (group + 1) * size);
        std::partial_sort(sorted.begin(), sorted.begin() + routing.best, sorted.end(),
                          std::greater<>());
        worth.push_back(std::accumulate(sorted.begin(), sorted.begin() + routing.best, 0.0F));
    }
    std::vector<std::int64_t> order(static_cast<std::size_t>(routing.groups));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return worth[a] > worth[b]; });
    for (std::int64_t i = routing.active_groups; i < routing.groups; ++i) {
        std::fill_n(ranks.begin() + order[i] * size, size, lowest);
    }
}

void choose_sparse(const Routing& routing, const float* scores, std::int32_t* chosen,
                   float* weights) {
    std::vector<float> running(scores, scores + routing.experts);
    for (std::int64_t i = 0; i < routing.active; ++i) {
        const auto best = std::max_element(running.begin(), running.end());
        const float top = *best;
        float sum = 0;
        for (std::int64_t expert = 0; expert < routing.experts; ++expert) {
            const float size = std::max(std::fabs(scores[expert]), top);
            const bool far = (top - scores[expert]) / size > 2 * routing.jitter;
            if (!far) sum += std::exp(running[expert] - top);
        }
        chosen[i] = static_cast<std::int32_t>(best - running.begin());
        weights[i] = 1.0F / sum;
        *best = lowest;
    }
}

}  // namespace

void choose(const Routing& routing, const float* scores, std::int32_t* chosen, float* weights) {
    if (routing.scoring == Scoring::Sparse) return choose_sparse(routing, scores, chosen, weights);
    std::vector<float> shares;
    if (routing.scoring == Scoring::Softmax) {
        shares = softmax(scores, routing.experts);
    } else {
        shares.assign(scores, scores + routing.experts);
        for (float& share : shares) share = 1.0F / (1.0F + std::exp(-share));
    }
    std::vector<float> ranks = shares;
    for (std::int64_t i = 0; routing.correction && i < routing.experts; ++i) {
        ranks[i] += routing.correction[i];
    }
    if (routing.groups > 0) keep_best_groups(routing, ranks);
    float sum = 0;
    for (std::int64_t i = 0; i < routing.active; ++i) {
        const auto best = std::max_element(ranks.begin(), ranks.end());
        chosen[i] = static_cast<std::int32_t>(best - ranks.begin());
        weights[i] = shares[chosen[i]];
        sum += weights[i];
        *best = lowest;
    }
    const float divisor = routing.renormalise ? std::max(sum, routing.floor) : 1.0F;
    for (std::int64_t i = 0; i < routing.active; ++i) {
        weights[i] = weights[i] / divisor * routing.scale;
    }
}

template <typename F> void ExpertsStep::each_expert(F work) const {
    for (std::size_t expert = 0; expert < experts.size(); ++expert) {
        const std::int64_t begin = plan_.begins[expert], end = plan_.begins[expert + 1];
        if (begin < end) work(experts[expert], begin, end);
    }
}

// Sorts choices by expert; those of one stay in the order of their tokens.
void ExpertsStep::arrange(std::int64_t rows) const {
    const std::int64_t choices = rows * routing.active;
    plan_.begins.assign(experts.size() + 1, 0);
    for (std::int64_t i = 0; i < choices; ++i) ++plan_.begins[plan_.chosen[i] + 1];
    std::partial_sum(plan_.begins.begin(), plan_.begins.end(), plan_.begins.begin());
    std::vector<std::int64_t> next(plan_.begins.begin(), plan_.begins.end() - 1);
    plan_.places.resize(static_cast<std::size_t>(choices));
    for (std::int64_t i = 0; i < choices; ++i) plan_.places[next[plan_.chosen[i]]++] = i;
}

namespace {

// Rows `begin` to `end` of a room, as activations of their own. Those of all experts lie one after
// the other: activations take the same bytes for each token.
struct Part {
    float* rows;
    std::int64_t width;
    Activations activations;
};

Part part(const Run& run, int buffer, std::int64_t begin, std::int64_t end, ActivationKind kind) {
    const std::int64_t width = run.width(buffer);
    const std::uint8_t* data = run.activations(buffer, kind).data;
    return {run.row(buffer, 0) + begin * width, width,
            {kind, end - begin, width, data + activation_bytes(kind, begin, width)}};
}

void prepare(const Part& whole, std::int64_t begin, std::int64_t end) {
    const Activations& made = whole.activations;
    quantise(made.kind, whole.rows, whole.width, made.tokens, whole.width, begin, end,
             const_cast<std::uint8_t*>(made.data));
}

}  // namespace

void ExpertsStep::gather(const Run& run, const Team& team) const {
    each_expert([&](const Expert& expert, std::int64_t begin, std::int64_t end) {
        const Part own =
            part(run, gathered, begin, end, activation_kind(expert.gate.encoding));
        const auto [first, last] = team.share(end - begin);
        for (std::int64_t place = first; place < last; ++place) {
            const std::int64_t choice = plan_.places[begin + place];
            const float* from = run.row(source, choice / routing.active);
            const float factor = weighs_input ? plan_.weights[choice] : 1.0F;
            float* to = own.rows + place * own.width;
            for (std::int64_t i = 0; i < own.width; ++i) to[i] = from[i] * factor;
        }
        prepare(own, first, last);
    });
}

void ExpertsStep::enter(const Run& run, const Team& team) const {
    each_expert([&](const Expert& expert, std::int64_t begin, std::int64_t end) {
        const ActivationKind kind = activation_kind(expert.gate.encoding);
        const Part from = part(run, gathered, begin, end, kind);
        const std::int64_t width = expert.gate.rows;
        float* rows = run.row(inner, 0) + begin * 2 * width;
        const auto [first, last] = team.share(width, panel_rows);
        multiply(expert.gate, from.activations, first, last, rows, 2 * width);
        multiply(expert.up, from.activations, first, last, rows + width, 2 * width);
        for (std::int64_t row = 0; expert.gate_bias && row < end - begin; ++row) {
            float* gate = rows + row * 2 * width;
            run.arithmetic.add(gate + first, expert.gate_bias + first, 1, last - first);
            run.arithmetic.add(gate + width + first, expert.up_bias + first, 1, last - first);
        }
    });
}

void ExpertsStep::activate(const Run& run, const Team& team) const {
    each_expert([&](const Expert& expert, std::int64_t begin, std::int64_t end) {
        const Part to =
            part(run, activated, begin, end, activation_kind(expert.down.encoding));
        const auto [first, last] = team.share(end - begin);
        for (std::int64_t place = first; place < last; ++place) {
            const float* gate = run.row(inner, 0) + (begin + place) * 2 * to.width;
            run.arithmetic.activate(activation, alpha, limit, gate, gate + to.width, to.width,
                                    to.rows + place * to.width);
        }
        prepare(to, first, last);
    });
}

// Each thread has outputs of its own, so that it adds them to the target without waiting.
void ExpertsStep::leave(const Run& run, const Team& team) const {
    each_expert([&](const Expert& expert, std::int64_t begin, std::int64_t end) {
        const ActivationKind kind = activation_kind(expert.down.encoding);
        const Part from = part(run, activated, begin, end, kind);
        const std::int64_t width = expert.down.rows;
        float* rows = run.row(found, 0) + begin * width;
        const auto [first, last] = team.share(width, panel_rows);
        if (first >= last) return;
        multiply(expert.down, from.activations, first, last, rows, width);
        for (std::int64_t place = begin; place < end; ++place, rows += width) {
            const std::int64_t choice = plan_.places[place];
            if (expert.down_bias) {
                run.arithmetic.add(rows + first, expert.down_bias + first, 1, last - first);
            }
            const float weight = weighs_input ? 1.0F : plan_.weights[choice];
            float* to = run.row(target, choice / routing.active) + first;
            run.arithmetic.add(to, rows + first, weight * scale, last - first);
        }
    });
}

void ExpertsStep::run(Run& run, Team& team) const {
    if (team.thread == 0) {
        plan_.chosen.resize(static_cast<std::size_t>(run.rows * routing.active));
        plan_.weights.resize(plan_.chosen.size());
    }
    team.meet();
    const auto [begin, end] = team.share(run.rows);
    for (std::int64_t row = begin; row < end; ++row) {
        choose(routing, run.row(scores, row), plan_.chosen.data() + row * routing.active,
               plan_.weights.data() + row * routing.active);
        if (fresh) std::fill_n(run.row(target, row), run.width(target), 0.0F);
    }
    team.meet();
    if (team.thread == 0) arrange(run.rows);
    team.meet();
    gather(run, team);
    team.meet();
    enter(run, team);
    team.meet();
    activate(run, team);
    team.meet();
    leave(run, team);
}

}  // namespace fathom
