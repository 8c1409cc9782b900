// Steps of recurrences. What a sequence remembers lies in its slot; before its first token that is
// all zeros, which the steps see to: a slot needs no clearing between sequences.
#pragma once

#include <vector>

#include "program.hpp"
#include "recurrences.hpp"

namespace fathom {

// Numbers beside one another in rows.
struct Column {
    int buffer;
    std::int64_t offset;
};

// target = activation(a causal convolution of `channels` columns, each for itself).
struct ConvolveStep final : Step {
    Column source;
    int target;
    std::int64_t channels, kernel, slot_offset;
    std::vector<float> weight;  // (kernel, channels)
    const float* bias;          // (channels) or nullptr
    Activation activation;

    void run(Run& run, Team& team) const override;
};

// A selective scan of `inner` channels, gated: recurrences.hpp has the formula.
struct ScanStep final : Step {
    Column value, step, write, read, gate;
    int target;
    std::int64_t inner, state_width, slot_offset;
    // In blocks of 16 channels, the last one filled up with zeros.
    std::vector<float> decay;       // (blocks, state_width, 16), below zero
    std::vector<float> bias, skip;  // (blocks, 16)

    void run(Run& run, Team& team) const override;
};

// What both recurrences with a matrix per head do: a head's tokens are laid out for the kernels
// in room of the thread's own, `recurrent_tokens` at a time.
struct HeadsStep : Step {
    int target;
    std::int64_t heads, width, slot_offset;
    Column step;              // a number per head
    std::vector<float> rate;  // (heads): the logarithm of a unit of time's decay
    const float* bias;        // (heads): of the time step

    void run(Run& run, Team& team) const override;
    std::int64_t scratch(int threads) const override { return threads * room(); }

protected:
    // The rows `first` to first + count of a sequence, for one head.
    struct Piece {
        std::int64_t first, count, head;
        float* memory;
        float* room;
    };
    virtual std::int64_t room() const = 0;            // floats of one thread
    virtual std::int64_t remembered() const = 0;      // floats of one head
    virtual void take(const Run& run, const Piece& piece) const = 0;
};

// A state-space dual: heads of one width, of which groups share what is written and read.
// target = memory · read + skip · value.
struct DualStep final : HeadsStep {
    Column value, write, read;
    std::int64_t groups, state_width;
    float least, most;  // of a time step
    const float* skip;  // (heads)

protected:
    std::int64_t room() const override;
    std::int64_t remembered() const override { return state_width * whole_lanes(width); }
    void take(const Run& run, const Piece& piece) const override;
};

// The gated delta rule: key heads, made of length one, are shared by groups of value heads, whose
// results are normed.
struct DeltaStep final : HeadsStep {
    Column query, key, value, share;
    std::int64_t key_heads, key_width;
    NormShape norm;

protected:
    std::int64_t room() const override;
    std::int64_t remembered() const override { return key_width * whole_lanes(width); }
    void take(const Run& run, const Piece& piece) const override;
};

}  // namespace fathom
