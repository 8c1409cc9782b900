// A mixture of experts: of all weights, only those of experts that some token chose are read.
#pragma once

#include <vector>

#include "program.hpp"

namespace fathom {

enum class Scoring : std::int32_t { Softmax, Sigmoid, Sparse };

// How scores become chosen experts and their weights; what each means says `spec/experts.py`.
struct Routing {
    Scoring scoring;
    std::int64_t experts, active;
    bool renormalise;
    float floor, scale, jitter;
    const float* correction;          // (experts) or nullptr
    std::int64_t groups, active_groups, best;  // groups is 0 for none
};

// Chooses for one token: `chosen` and `weights` (active).
void choose(const Routing& routing, const float* scores, std::int32_t* chosen, float* weights);

struct Expert {
    PackedMatrix gate, up, down;
    const float *gate_bias, *up_bias, *down_bias;  // or nullptr
};

// target += scale · Σ weight · down(activation(gate(source)) · up(source)), over chosen experts.
// The four rooms are buffers with `active` rows per token.
struct ExpertsStep final : Step {
    int source, scores, target;
    int gathered, inner, activated, found;
    Routing routing;
    std::vector<Expert> experts;
    Activation activation;
    float alpha, limit, scale;
    bool weighs_input;
    bool fresh;  // the target begins at zero

    void run(Run& run, Team& team) const override;

    // Who goes where: rows of the rooms are places, in order of experts.
    struct Plan {
        std::vector<std::int32_t> chosen;  // (rows · active)
        std::vector<float> weights;        // (rows · active)
        std::vector<std::int64_t> begins;  // (experts + 1): first place of each expert
        std::vector<std::int64_t> places;  // (rows · active): which choice stands at a place
    };

private:
    void arrange(std::int64_t rows) const;
    void gather(const Run& run, const Team& team) const;
    void enter(const Run& run, const Team& team) const;
    void activate(const Run& run, const Team& team) const;
    void leave(const Run& run, const Team& team) const;
    template <typename F> void each_expert(F work) const;

    mutable Plan plan_;  // of the run at hand: a program runs one batch at a time
};

}  // namespace fathom
