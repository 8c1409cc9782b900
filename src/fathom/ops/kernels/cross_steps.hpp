// Steps of texts that look at a source: what was read or heard before, whose keys lie in pages.
#pragma once

#include <vector>

#include "steps.hpp"

namespace fathom {

// Rows that come with the batch, in place of a table's.
struct AcceptStep final : Step {
    int target;

    void run(Run& run, Team& team) const override;
    bool by_rows() const override { return true; }
};

// target += waves of a token's position: sines, then cosines (Vaswani et al., 2017).
struct WavesStep final : Step {
    int target;
    std::vector<double> turns;  // of each wave from one position to the next

    void run(Run& run, Team& team) const override;
    bool by_rows() const override { return true; }
};

// Where some heads look: the shares of a source's tokens, one head after the other. What was not
// read has none.
struct LookStep final : Step {
    Heads heads;
    int target;
    std::int64_t offset;                // of the first head's shares in the target's rows
    std::vector<std::int64_t> chosen;   // heads
    std::int64_t most;                  // tokens of a source that have room
    float scale;

    void run(Run& run, Team& team) const override;

private:
    template <typename Number>
    void scores(const Run& run, std::int64_t token, std::int64_t head, float* found) const;
};

}  // namespace fathom
