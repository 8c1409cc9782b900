// What a tile of a product reads of one block of packed weights: values as bytes, and scales. For
// any `Isa`, as products.hpp has it.
#pragma once

#include "layout.hpp"

namespace fathom {
namespace {

constexpr int quads = block_columns / 4;  // groups of four columns in a block

template <int First, class Work>
inline __attribute__((always_inline)) void each_quad_from(const Work& work) {
    if constexpr (First < quads / 2) {
        // A quad and that four on share their bytes where values have less than eight bits.
        work.template operator()<First>();
        work.template operator()<First + quads / 2>();
        each_quad_from<First + 1>(work);
    }
}

// Four columns of 16 rows as unsigned bytes.
template <class Isa, int Bits, int Quad>
inline __attribute__((always_inline)) typename Isa::Bytes values_of(const std::uint8_t* block) {
    if constexpr (Bits == 8) {
        return Isa::load(block + Quad * alignment);
    } else {
        constexpr int pair = Quad % (quads / 2);
        const auto four =
            Isa::template nibble<Quad / (quads / 2)>(Isa::load(block + pair * alignment));
        if constexpr (Bits == 4) {
            return four;
        } else {
            constexpr int width = Bits - 4, per_byte = 8 / width;
            const auto rest = Isa::load(block + (quads / 2 + Quad / per_byte) * alignment);
            return Isa::template with_bits<Quad % per_byte * width, width>(four, rest);
        }
    }
}

// The scales of one block of a section: 16 rows each, one or two runs of columns, and what is added.
template <class Isa, Scales kind>
struct BlockScales {
    static constexpr int runs = kind == Scales::SuperHalf ? 2 : 1;
    static constexpr bool has_minimum = kind == Scales::Affine || kind == Scales::Super;
    typename Isa::Floats scale[runs];
    typename Isa::Floats minimum;

    inline __attribute__((always_inline)) BlockScales(const std::uint8_t* scales,
                                                      std::int64_t index) {
        const std::int64_t part = index * panel_rows;
        if constexpr (kind == Scales::Half) {
            scale[0] = Isa::halves(scales + index * 2 * panel_rows);
        } else if constexpr (kind == Scales::Affine) {
            scale[0] = Isa::halves(scales);
            minimum = Isa::halves(scales + 2 * panel_rows);
        } else if constexpr (kind == Scales::Super) {
            scale[0] = Isa::multiply(Isa::halves(scales),
                                     Isa::unsigned_bytes(scales + super_steps + part));
            minimum = Isa::multiply(Isa::halves(scales + super_minimum),
                                    Isa::unsigned_bytes(scales + super_minimum_steps + part));
        } else {
            const auto whole = Isa::halves(scales);
            for (int run = 0; run < runs; ++run) {
                const std::uint8_t* steps = scales + half_steps + 2 * part + run * panel_rows;
                scale[run] = Isa::multiply(whole, Isa::signed_bytes(steps));
            }
        }
    }
};

}  // namespace
}  // namespace fathom
