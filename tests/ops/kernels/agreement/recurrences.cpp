// Recurrences: what they give and what they remember, of tokens in two calls.
#include "recurrences.hpp"

#include <string>

#include "agreement.hpp"

using namespace fathom;

namespace agreement {
namespace {

static_assert(sizeof(Recurrences) == 6 * sizeof(void*), "a further function needs a check here");

constexpr float tolerance = 1e-5F;
constexpr std::int64_t tokens = 9;

void check_convolution(std::int64_t channels, std::int64_t kernel, bool biased) {
    const Numbers x = ordinary(tokens * channels, 1), weight = ordinary(kernel * channels, 2);
    const Numbers bias = ordinary(channels, 3);
    const auto run = [&](const Recurrences& by, Numbers& before) {
        Numbers y(x.size());
        before = ordinary((kernel - 1) * channels, 4);
        by.convolve({tokens, channels, kernel, x.data(), channels, y.data(), channels,
                     weight.data(), channels, biased ? bias.data() : nullptr, before.data(),
                     channels});
        return y;
    };
    Numbers found_before, expected_before;
    const Numbers found = run(recurrences(), found_before);
    const Numbers expected = run(portable_recurrences, expected_before);
    near("convolution of " + std::to_string(channels), found, expected, tolerance);
    near("convolution's memory", found_before, expected_before, 0);
}

void check_scan(std::int64_t channels, std::int64_t state) {
    const Numbers x = ordinary(tokens * channels, 1), step = ordinary(tokens * channels, 2);
    const Numbers gate = ordinary(tokens * channels, 3), write = ordinary(tokens * state, 4);
    const Numbers read = ordinary(tokens * state, 5), bias = ordinary(recurrent_lanes, 6);
    Numbers decay = ordinary(state * recurrent_lanes, 7);
    for (float& each : decay) each = each < 0 ? each : -each;
    const auto run = [&](const Recurrences& by, Numbers& memory) {
        Numbers y(x.size());
        memory = ordinary(state * recurrent_lanes, 8);
        by.scan({tokens,      channels,     state,        x.data(),    step.data(),   gate.data(),
                 channels,    channels,     channels,     write.data(), read.data(),  state,
                 state,       decay.data(), bias.data(),  bias.data(), memory.data(), y.data(),
                 channels});
        return y;
    };
    Numbers found_memory, expected_memory;
    const Numbers found = run(recurrences(), found_memory);
    const Numbers expected = run(portable_recurrences, expected_memory);
    near("scan of " + std::to_string(channels), found, expected, tolerance);
    near("scan's memory", found_memory, expected_memory, tolerance);
}

void check_dual(std::int64_t width, std::int64_t state) {
    const Numbers inputs = ordinary(tokens * width, 1), write = ordinary(tokens * state, 2);
    const Numbers read = ordinary(tokens * state, 3), decays(tokens, 0.9F);
    const auto run = [&](const Recurrences& by, Numbers& memory) {
        Numbers results = ordinary(tokens * width, 4);
        memory = ordinary(state * width, 5);
        by.dual({tokens, width, state, decays.data(), inputs.data(), write.data(), read.data(),
                 state, memory.data(), results.data()});
        return results;
    };
    Numbers found_memory, expected_memory;
    const Numbers found = run(recurrences(), found_memory);
    const Numbers expected = run(portable_recurrences, expected_memory);
    near("dual of " + std::to_string(width), found, expected, tolerance);
    near("dual's memory", found_memory, expected_memory, tolerance);
}

void check_correction(std::int64_t width, std::int64_t key_width) {
    Numbers queries = ordinary(tokens * key_width, 1), keys = ordinary(tokens * key_width, 2);
    for (float& each : keys) each /= static_cast<float>(key_width);  // lest the memory grows
    const Numbers values = ordinary(tokens * width, 3), decays(tokens, 0.9F), shares(tokens, 0.4F);
    const auto run = [&](const Recurrences& by, Numbers& memory) {
        Numbers results(values.size());
        memory = ordinary(key_width * width, 4);
        by.correct({tokens, width, key_width, decays.data(), shares.data(), queries.data(),
                    keys.data(), values.data(), memory.data(), results.data()});
        return results;
    };
    Numbers found_memory, expected_memory;
    const Numbers found = run(recurrences(), found_memory);
    const Numbers expected = run(portable_recurrences, expected_memory);
    near("correction of " + std::to_string(width), found, expected, tolerance);
    near("correction's memory", found_memory, expected_memory, tolerance);
}

void check_softplus() {
    Numbers found, expected;
    for (float x = -100; x < 100; x += 0.37F) {
        found.push_back(recurrences().softplus(x));
        expected.push_back(portable_recurrences.softplus(x));
    }
    near("softplus", found, expected, 1e-6F);
}

}  // namespace

void check_recurrences() {
    for (const std::int64_t width : {1, 16, 37}) {
        for (const std::int64_t kernel : {1, 4, 8}) {
            check_convolution(width, kernel, false);
            check_convolution(width, kernel, true);
        }
        for (const std::int64_t state : {1, 5, 16}) {
            check_scan(width < recurrent_lanes ? width : recurrent_lanes, state);
            check_dual(whole_lanes(width), state);
            check_dual(whole_lanes(width) + 4 * recurrent_lanes, state);
            check_correction(whole_lanes(width), state);
        }
    }
    check_softplus();
}

}  // namespace agreement
