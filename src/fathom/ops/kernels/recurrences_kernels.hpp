// The one source of `Recurrences`. Everything is static: objects for different sets of
// instructions must not share code.
#pragma once

#include <cstring>

#include "functions.hpp"
#include "lanes.hpp"
#include "recurrences.hpp"

namespace fathom {
namespace {

void convolve(const Convolving& work) {
    const std::int64_t kept = work.kernel - 1;
    const auto row = [&](std::int64_t token) {  // of the input, from -kept on
        return token < 0 ? work.before + (kept + token) * work.before_stride
                         : work.x + token * work.x_stride;
    };
    for (std::int64_t token = 0; token < work.tokens; ++token) {
        float* y = work.y + token * work.y_stride;
        for (std::int64_t tap = 0; tap < work.kernel; ++tap) {
            const float* x = row(token - kept + tap);
            const float* weight = work.weight + tap * work.weight_stride;
            const float* bias = tap == 0 ? work.bias : nullptr;
            if (tap == 0 && bias == nullptr) std::memset(y, 0, sizeof(float) * work.channels);
            if (bias) std::memcpy(y, bias, sizeof(float) * work.channels);
#pragma omp simd
            for (std::int64_t i = 0; i < work.channels; ++i) y[i] += weight[i] * x[i];
        }
    }
    for (std::int64_t place = 0; place < kept; ++place) {  // none is read after it was written
        std::memmove(work.before + place * work.before_stride, row(work.tokens - kept + place),
                     sizeof(float) * work.channels);
    }
}

inline void read_part(const float* from, std::int64_t count, float* to) {
    for (std::int64_t i = 0; i < recurrent_lanes; ++i) to[i] = i < count ? from[i] : 0.0F;
}

void scan(const Scanning& work) {
    alignas(64) float x[recurrent_lanes], step[recurrent_lanes], gate[recurrent_lanes];
    alignas(64) float scaled[recurrent_lanes], y[recurrent_lanes];
    for (std::int64_t token = 0; token < work.tokens; ++token) {
        read_part(work.x + token * work.x_stride, work.channels, x);
        read_part(work.step + token * work.step_stride, work.channels, step);
        read_part(work.gate + token * work.gate_stride, work.channels, gate);
#pragma omp simd
        for (int i = 0; i < recurrent_lanes; ++i) {
            step[i] = soft_plus(step[i] + work.bias[i]);
            scaled[i] = step[i] * x[i];
            y[i] = work.skip[i] * x[i];
        }
        const float* write = work.write + token * work.write_stride;
        const float* read = work.read + token * work.read_stride;
        for (std::int64_t state = 0; state < work.state_width; ++state) {
            const float* decay = work.decay + state * recurrent_lanes;
            float* memory = work.memory + state * recurrent_lanes;
            const float written = write[state], asked = read[state];
#pragma omp simd
            for (int i = 0; i < recurrent_lanes; ++i) {
                const float kept = exponential(step[i] * decay[i]) * memory[i];
                memory[i] = kept + scaled[i] * written;
                y[i] += memory[i] * asked;
            }
        }
        float* to = work.y + token * work.y_stride;
        for (std::int64_t i = 0; i < work.channels; ++i) to[i] = y[i] * gate[i] * logistic(gate[i]);
    }
}

// `States` rows of a memory, `Lanes` vectors wide, stay in registers while all tokens pass.
template <int States, int Lanes>
void dual_tile(const Dual& work, std::int64_t state, std::int64_t column) {
    Lane memory[States][Lanes];
    float* rows = work.memory + state * work.width + column;
    for (int s = 0; s < States; ++s) {
        for (int l = 0; l < Lanes; ++l) {
            memory[s][l] = read_lane(rows + s * work.width + l * recurrent_lanes);
        }
    }
    for (std::int64_t token = 0; token < work.tokens; ++token) {
        const float decay = work.decays[token];
        const float* write = work.write + token * work.state_stride + state;
        const float* read = work.read + token * work.state_stride + state;
        const float* input = work.inputs + token * work.width + column;
        float* result = work.results + token * work.width + column;
        for (int l = 0; l < Lanes; ++l) {
            const Lane own = read_lane(input + l * recurrent_lanes);
            Lane sum = read_lane(result + l * recurrent_lanes);
            for (int s = 0; s < States; ++s) {
                memory[s][l] = memory[s][l] * decay + own * write[s];
                sum += memory[s][l] * read[s];
            }
            write_lane(result + l * recurrent_lanes, sum);
        }
    }
    for (int s = 0; s < States; ++s) {
        for (int l = 0; l < Lanes; ++l) {
            write_lane(rows + s * work.width + l * recurrent_lanes, memory[s][l]);
        }
    }
}

template <int Lanes> void dual_columns(const Dual& work, std::int64_t column) {
    constexpr int states = 4;
    std::int64_t state = 0;
    for (; state + states <= work.state_width; state += states) {
        dual_tile<states, Lanes>(work, state, column);
    }
    for (; state < work.state_width; ++state) dual_tile<1, Lanes>(work, state, column);
}

void dual(const Dual& work) {
    constexpr int lanes_at_once = one_vector ? 4 : 1;
    constexpr std::int64_t step = lanes_at_once * recurrent_lanes;
    std::int64_t column = 0;
    for (; column + step <= work.width; column += step) dual_columns<lanes_at_once>(work, column);
    for (; column < work.width; column += recurrent_lanes) dual_columns<1>(work, column);
}

// What a token finds depends on the decayed memory alone, so both products are taken in one pass:
// y = query·(decay·memory) + (query·key)·correction.
template <int Lanes> void correct_columns(const Correcting& work, std::int64_t column) {
    for (std::int64_t token = 0; token < work.tokens; ++token) {
        const float* key = work.keys + token * work.key_width;
        const float* query = work.queries + token * work.key_width;
        const float decay = work.decays[token], share = work.shares[token];
        Lane found[Lanes] = {}, asked[Lanes] = {};
        float met = 0;
        float* row = work.memory + column;
        for (std::int64_t i = 0; i < work.key_width; ++i, row += work.width) {
            for (int l = 0; l < Lanes; ++l) {
                const Lane memory = read_lane(row + l * recurrent_lanes);
                found[l] += memory * key[i];
                asked[l] += memory * query[i];
            }
            met += query[i] * key[i];
        }
        for (int l = 0; l < Lanes; ++l) {
            const std::int64_t place = token * work.width + column + l * recurrent_lanes;
            const Lane value = read_lane(work.values + place);
            found[l] = (value - found[l] * decay) * share;  // the correction from here on
            write_lane(work.results + place, asked[l] * decay + found[l] * met);
        }
        row = work.memory + column;
        for (std::int64_t i = 0; i < work.key_width; ++i, row += work.width) {
            for (int l = 0; l < Lanes; ++l) {
                float* at = row + l * recurrent_lanes;
                write_lane(at, read_lane(at) * decay + found[l] * key[i]);
            }
        }
    }
}

void correct(const Correcting& work) {
    constexpr int lanes_at_once = 2;
    constexpr std::int64_t step = lanes_at_once * recurrent_lanes;
    std::int64_t column = 0;
    for (; column + step <= work.width; column += step) correct_columns<lanes_at_once>(work, column);
    for (; column < work.width; column += recurrent_lanes) correct_columns<1>(work, column);
}

constexpr Recurrences recurrence_table(const char* name) {
    return {name, convolve, scan, dual, correct, soft_plus};
}

}  // namespace
}  // namespace fathom
