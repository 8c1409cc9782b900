// From the scores of a whole vocabulary to one token: compiled once for every set of instructions.
//
// What is meant is `candidates` and `drawn` of fathom/generation/sampling.py, in which every stage
// is a line. Here a pass over all scores finds few that may be chosen at all.
#pragma once

#include <cstdint>

namespace fathom {

struct Drawing {
    const float* scores;  // (count)
    std::int64_t count;
    float temperature;     // above 0
    std::int64_t top_k;    // 0 for all
    double top_p;          // 1 for all
    double min_p;          // 0 for all
    double share;          // [0, 1): where in the sum of probabilities the token is
    float* weights;        // (count) room
    std::int32_t* places;  // (count) room
};

// Returns the token, or -1 where the best score is no finite number.
using Draw = std::int64_t (*)(const Drawing& work);

extern const Draw portable_draw, avx2_draw, avx512_draw, neon_draw;

// The one for this processor.
Draw draw();

}  // namespace fathom
