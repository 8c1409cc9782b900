// Products in plain C++, for any processor: what every other variant must agree with.
#include "products.hpp"
#include "quantising.hpp"

namespace fathom {
namespace {

struct Portable {
    template <class Number, int count>
    struct Lanes {
        Number at[count];
    };
    using Integers = Lanes<std::int32_t, panel_rows>;
    using Floats = Lanes<float, panel_rows>;
    using Bytes = Lanes<std::uint8_t, alignment>;
    using Four = Lanes<std::int8_t, 4>;
    static constexpr int panels = 1;
    static constexpr int tokens = 1;
    static constexpr bool wide_is_unsigned = true;
    static constexpr std::int64_t prefetch_distance = 0;

    template <class Result, int count, class Work>
    static Lanes<Result, count> each(const Work& work) {
        Lanes<Result, count> result;
        for (int lane = 0; lane < count; ++lane) result.at[lane] = static_cast<Result>(work(lane));
        return result;
    }
    template <class Work>
    static Floats rows(const Work& work) {
        return each<float, panel_rows>(work);
    }

    static Floats zero() { return all(0); }
    static Floats all(float value) {
        return rows([&](int) { return value; });
    }
    static Floats add(const Floats& a, const Floats& b) {
        return rows([&](int row) { return a.at[row] + b.at[row]; });
    }
    static Floats multiply(const Floats& a, const Floats& b) {
        return rows([&](int row) { return a.at[row] * b.at[row]; });
    }
    static Floats multiply_add(const Floats& a, const Floats& b, const Floats& c) {
        return rows([&](int row) { return a.at[row] * b.at[row] + c.at[row]; });
    }
    static Floats numbers(const Integers& a) {
        return rows([&](int row) { return static_cast<float>(a.at[row]); });
    }

    static Bytes load(const std::uint8_t* bytes) {
        return each<std::uint8_t, alignment>([&](int index) { return bytes[index]; });
    }
    static Four four(const std::int8_t* values) {
        return each<std::int8_t, 4>([&](int index) { return values[index]; });
    }
    template <int high>
    static Bytes nibble(const Bytes& bytes) {
        return each<std::uint8_t, alignment>([&](int at) { return bytes.at[at] >> 4 * high & 15; });
    }
    // `width` bits from `position` on become bits 4 and up of the nibble.
    template <int position, int width>
    static Bytes with_bits(const Bytes& nibble, const Bytes& rest) {
        constexpr int mask = (1 << width) - 1;
        return each<std::uint8_t, alignment>(
            [&](int at) { return nibble.at[at] | (rest.at[at] >> position & mask) << 4; });
    }
    template <bool wide>
    static Integers dot(const Integers& sum, const Bytes& weights, const Four& x) {
        return each<std::int32_t, panel_rows>([&](int row) {
            const std::uint8_t* w = weights.at + 4 * row;
            return sum.at[row] + w[0] * x.at[0] + w[1] * x.at[1] + w[2] * x.at[2] + w[3] * x.at[3];
        });
    }
    // A power of two, or zero, times an integer, for all rows.
    template <int power>
    static Integers times_power(std::int32_t value) {
        return each<std::int32_t, panel_rows>([&](int) { return power * value; });
    }

    static Floats halves(const std::uint8_t* bytes) {
        return rows([&](int row) { return from_half(sixteen_bits(bytes + 2 * row)); });
    }
    static Floats unsigned_bytes(const std::uint8_t* bytes) {
        return rows([&](int row) { return bytes[row]; });
    }
    static Floats signed_bytes(const std::uint8_t* bytes) {
        return rows([&](int row) { return static_cast<std::int8_t>(bytes[row]); });
    }
    static std::uint16_t sixteen_bits(const std::uint8_t* bytes) {
        std::uint16_t bits;
        std::memcpy(&bits, bytes, sizeof bits);
        return bits;
    }

    template <Encoding encoding>
    static Floats plain(const Floats& sum, const std::uint8_t* weights, const std::uint8_t* x) {
        if constexpr (encoding == Encoding::BF16) {
            const float first = bfloat16_at(x), second = bfloat16_at(x + 2);
            return rows([&](int row) {
                const std::uint8_t* pair = weights + 4 * row;
                return sum.at[row] + bfloat16_at(pair) * first + bfloat16_at(pair + 2) * second;
            });
        } else {
            float value;
            std::memcpy(&value, x, sizeof value);
            return multiply_add(encoding == Encoding::F16 ? halves(weights) : floats(weights),
                                all(value), sum);
        }
    }
    static float bfloat16_at(const std::uint8_t* bytes) {
        return from_bits(static_cast<std::uint32_t>(sixteen_bits(bytes)) << 16);
    }
    static Floats floats(const std::uint8_t* bytes) {
        Floats row;
        std::memcpy(row.at, bytes, sizeof row.at);
        return row;
    }

    static void quantise(const float* x, ActivationBlock& block) { quantise_block(x, block); }

    static void store(float* place, const Floats& values, int from, int to) {
        for (int row = from; row < to; ++row) place[row] = values.at[row];
    }
    template <std::int64_t bytes, bool soon>
    static void prefetch(const std::uint8_t*) {}
};

}  // namespace

extern const Kernels portable_kernels = {"portable", "", multiply_packed<Portable>,
                                         quantise_tokens<Portable>};

}  // namespace fathom
