// Attention among tokens that come at once: what is packed, and what scores become.
#include "seeing.hpp"

#include <string>

#include "agreement.hpp"
#include "layout.hpp"

using namespace fathom;

namespace agreement {
namespace {

static_assert(sizeof(SeeingKernels) == 6 * sizeof(void*), "a further function needs a check here");

void check_packing(std::int64_t count, std::int64_t width, bool halved) {
    const Numbers numbers = ordinary(count * width, 1);
    std::vector<const float*> rows;
    for (std::int64_t row = 0; row < count; ++row) rows.push_back(numbers.data() + row * width);
    const Encoding encoding = halved ? Encoding::BF16 : Encoding::F32;
    const auto room = [&](std::int64_t high, std::int64_t wide) {
        return std::vector<std::uint8_t>(
            static_cast<std::size_t>(packed_bytes(encoding, high, wide)));
    };
    auto found = room(count, width), expected = room(count, width);
    seeing_kernels().pack_rows(rows.data(), count, width, halved, found.data());
    portable_seeing.pack_rows(rows.data(), count, width, halved, expected.data());
    holds("packed rows", found == expected);
    found = room(width, count), expected = room(width, count);
    seeing_kernels().pack_columns(rows.data(), count, width, halved, found.data());
    portable_seeing.pack_columns(rows.data(), count, width, halved, expected.data());
    holds("packed columns", found == expected);
}

void check_weights(std::int64_t keys, std::int64_t seen, bool biased, std::int64_t columns) {
    const Numbers scores = ordinary(keys, 2), added = ordinary(keys, 3);
    const Numbers by_row = ordinary(keys, 4), by_column = ordinary(keys, 5);
    const auto run = [&](const SeeingKernels& by, Numbers& weights) {
        weights = scores;
        const bool grid = columns > 0;
        return by.weigh({weights.data(), seen, keys, 0.3F, biased ? added.data() : nullptr,
                         grid ? by_row.data() : nullptr, grid ? by_column.data() : nullptr,
                         columns});
    };
    Numbers found, expected;
    const Numbers share{run(seeing_kernels(), found)}, wanted{run(portable_seeing, expected)};
    near("weights of " + std::to_string(keys) + " keys", found, expected, 1e-5F);
    near("their share", share, wanted, 1e-5F);
}

void check_halves() {
    const Numbers numbers = ordinary(83, 6);
    std::vector<std::uint16_t> found(83), expected(83);
    seeing_kernels().narrow(numbers.data(), 83, found.data());
    portable_seeing.narrow(numbers.data(), 83, expected.data());
    holds("numbers as bfloat16", found == expected);
    Numbers wide(83), wanted(83);
    seeing_kernels().widen(found.data(), 83, wide.data());
    portable_seeing.widen(expected.data(), 83, wanted.data());
    holds("and back", wide == wanted);
}

}  // namespace

void check_seeing() {
    for (const std::int64_t count : {1, 16, 45}) {
        for (const std::int64_t width : {1, 32, 50}) {
            for (const bool halved : {false, true}) check_packing(count, width, halved);
        }
        for (const bool biased : {false, true}) {
            check_weights(count, count, biased, 0);
            check_weights(count, (count + 1) / 2, biased, 0);
            check_weights(count, count, biased, count % 2 == 0 ? 4 : 1);
        }
    }
    check_halves();
}

}  // namespace agreement
