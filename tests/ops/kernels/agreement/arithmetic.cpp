// Arithmetic between products: every function of the table, widths that fill no vector.
#include <string>

#include "agreement.hpp"
#include "arithmetic.hpp"

using namespace fathom;

namespace agreement {
namespace {

static_assert(sizeof(Arithmetic) == 9 * sizeof(void*), "a further function needs a check here");

constexpr float tolerance = 2e-6F;
constexpr std::int64_t widths[] = {1, 7, 16, 64, 83};

void check_norms() {
    for (const std::int64_t width : widths) {
        for (int kind = 0; kind < 6; ++kind) {
            const Numbers x = ordinary(3 * width, 1), weight = ordinary(3 * width, 2);
            const bool centred = kind % 2 != 0;
            const NormShape shape{width,
                                  3,
                                  width,
                                  centred,
                                  1e-5F,
                                  kind / 2 > 0 ? weight.data() : nullptr,
                                  kind / 2 > 1 ? weight.data() : nullptr};
            Numbers found(x.size()), expected(x.size());
            arithmetic().norm(shape, x.data(), found.data());
            portable_arithmetic.norm(shape, x.data(), expected.data());
            near("norm of " + std::to_string(width), found, expected, 2e-5F);
        }
    }
}

void check_activations() {
    constexpr int kinds = static_cast<int>(Activation::ClampedSwish) + 1;
    for (int kind = 0; kind < kinds; ++kind) {
        Numbers x = ordinary(83, 3);
        const Numbers other = ordinary(83, 4);
        for (std::size_t place = 0; place < 40; ++place) x[place] *= 40;  // where they are flat
        for (const float* beside : {other.data(), static_cast<const float*>(nullptr)}) {
            const auto which = static_cast<Activation>(kind);
            if (which == Activation::ClampedSwish && beside == nullptr) continue;
            Numbers found(x.size()), expected(x.size());
            arithmetic().activate(which, 1.7F, 7.0F, x.data(), beside, 83, found.data());
            portable_arithmetic.activate(which, 1.7F, 7.0F, x.data(), beside, 83, expected.data());
            near("activation " + std::to_string(kind), found, expected, tolerance);
        }
    }
}

void check_rows() {
    for (const std::int64_t width : widths) {
        const Numbers x = ordinary(2 * width, 5), y = ordinary(2 * width, 6);
        for (const bool interleaved : {false, true}) {
            Numbers found = x, expected = x;
            arithmetic().rotate(found.data(), y.data(), y.data() + width, width, interleaved);
            portable_arithmetic.rotate(expected.data(), y.data(), y.data() + width, width,
                                       interleaved);
            near("rotation of " + std::to_string(width), found, expected, tolerance);
        }
        Numbers found = x, expected = x;
        arithmetic().add(found.data(), y.data(), 0.7F, 2 * width);
        portable_arithmetic.add(expected.data(), y.data(), 0.7F, 2 * width);
        near("sum of " + std::to_string(width), found, expected, tolerance);
        for (const float cap : {0.0F, 2.5F}) {
            found = expected = x;
            arithmetic().bound(found.data(), 3.0F, cap, 2 * width);
            portable_arithmetic.bound(expected.data(), 3.0F, cap, 2 * width);
            near("bound of " + std::to_string(width), found, expected, tolerance);
        }
    }
}

// Pages of one head, filled with keys and values, in no order.
struct Pages {
    StateType type;
    std::int64_t width, page_bytes;
    std::vector<std::int32_t> table{2, 0, 1};
    std::vector<std::uint8_t> bytes;

    Pages(const Arithmetic& by, StateType type, std::int64_t width)
        : type(type),
          width(width),
          page_bytes(head_numbers(width) * (type == StateType::Float32 ? 4 : 2)),
          bytes(static_cast<std::size_t>(3 * page_bytes)) {
        for (std::int32_t token = 0; token < 3 * page_tokens; ++token) {
            const auto seed = static_cast<std::uint32_t>(token);
            const Numbers key = ordinary(width, seed), value = ordinary(width, 1000 + seed);
            std::uint8_t* page = bytes.data() + table[token / page_tokens] * page_bytes;
            by.store(key.data(), value.data(), width, type, token % page_tokens, page);
        }
    }
};

// Scores that get something before they become weights.
struct Extra {
    float soft_cap;
    bool slopes;
    float rounded;
    bool sinks, parts, distances;
};
constexpr Extra extras[] = {{0, false, 0, false, false, false},
                            {3, false, 0, true, false, false},
                            {0, true, 0, false, true, false},
                            {0, true, 0.5F, true, true, false},
                            {0, false, 0, false, false, true}};

void check_attention(const Pages& pages, int rows, const Extra& extra) {
    const std::int64_t stride = padded(pages.width);
    Numbers queries = ordinary(rows * stride, 7);
    for (std::int64_t place = 0; place < rows * stride; ++place) {
        if (place % stride >= pages.width) queries[static_cast<std::size_t>(place)] = 0;
    }
    const Numbers sinks = ordinary(rows, 8), slopes(static_cast<std::size_t>(rows), 0.1F);
    constexpr std::int32_t furthest = 11;
    const Numbers near_and_far = ordinary(2 * furthest + 1, 9);
    const std::vector<const float*> distances(static_cast<std::size_t>(rows),
                                              near_and_far.data() + furthest);
    std::vector<std::int32_t> first, last, positions;
    for (int row = 0; row < rows; ++row) {
        first.push_back(row * 5);
        last.push_back(row % 3 == 0 ? 96 : 40 + row);
        positions.push_back(last.back() - 1);
    }
    const auto run = [&](const Arithmetic& by, Numbers& softmaxes) {
        Numbers results(queries.size());
        std::vector<Softmax> softmax(static_cast<std::size_t>(rows));
        const Attending work{rows,
                             pages.width,
                             queries.data(),
                             results.data(),
                             first.data(),
                             last.data(),
                             pages.bytes.data(),
                             pages.page_bytes,
                             0,
                             pages.table.data(),
                             pages.type,
                             extra.soft_cap,
                             extra.slopes ? slopes.data() : nullptr,
                             positions.data(),
                             extra.sinks ? sinks.data() : nullptr,
                             extra.parts ? softmax.data() : nullptr,
                             extra.rounded,
                             extra.distances ? distances.data() : nullptr,
                             furthest};
        by.attend(work);
        for (const Softmax& each : softmax) {
            softmaxes.push_back(each.highest);
            softmaxes.push_back(each.sum);
        }
        return results;
    };
    Numbers found_softmax, expected_softmax;
    const Numbers found = run(arithmetic(), found_softmax);
    const Numbers expected = run(portable_arithmetic, expected_softmax);
    const std::string what =
        "attention of " + std::to_string(rows) + " rows of " + std::to_string(pages.width);
    near(what, found, expected, 1e-5F);
    near(what + ", its softmax", found_softmax, expected_softmax, 1e-5F);
}

}  // namespace

void check_arithmetic() {
    check_norms();
    check_activations();
    check_rows();
    for (const StateType type : {StateType::Float32, StateType::Float16}) {
        for (const std::int64_t width : widths) {
            const Pages pages(portable_arithmetic, type, width), own(arithmetic(), type, width);
            holds("keys and values of " + std::to_string(width), pages.bytes == own.bytes);
            for (int rows = 1; rows <= most_rows; ++rows) {
                for (const Extra& extra : extras) check_attention(pages, rows, extra);
            }
        }
    }
}

}  // namespace agreement
