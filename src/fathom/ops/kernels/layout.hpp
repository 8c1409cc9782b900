// How each encoding lies in a file and in a packed matrix: one table, read by packing and by every
// kernel. All functions are static: objects for different instruction sets must not share code.
#pragma once

#include "packed.hpp"

namespace fathom {

// What stands in a section's scales for one block of columns; each number is there for 16 rows.
enum class Scales {
    None,       // plain numbers
    Half,       // float16 d:             value = d · q
    Affine,     // float16 d, m:          value = d · q + m
    Super,      // per 256 columns float16 d, -m; per 32 bytes s, t:  value = d·s · q + (-m)·t
    SuperHalf,  // per 256 columns float16 d; per 16 a signed byte s: value = d·s · q
};

struct Layout {
    const char* name;
    int source_columns;  // of a block in the file
    int source_bytes;
    int bits;  // of a packed value; from five on the low four and the others lie apart
    int zero;  // packed values are unsigned: what is taken off to get q
    Scales scales;
};

// In the order of Encoding. Sizes of source blocks from ggml-common.h.
constexpr Layout layouts[encoding_count] = {
    {"F32", 1, 4, 32, 0, Scales::None},           {"F16", 1, 2, 16, 0, Scales::None},
    {"BF16", 1, 2, 16, 0, Scales::None},          {"Q4_0", 32, 18, 4, 8, Scales::Half},
    {"Q4_1", 32, 20, 4, 0, Scales::Affine},       {"Q5_0", 32, 22, 5, 16, Scales::Half},
    {"Q5_1", 32, 24, 5, 0, Scales::Affine},       {"Q8_0", 32, 34, 8, 128, Scales::Half},
    {"Q4_K", 256, 144, 4, 0, Scales::Super},      {"Q5_K", 256, 176, 5, 0, Scales::Super},
    {"Q6_K", 256, 210, 6, 32, Scales::SuperHalf},
};

constexpr int super_columns = 256;
constexpr int super_blocks = super_columns / block_columns;

// Offsets within the scales of 256 columns of a panel, in bytes. They fill cache lines.
constexpr int super_minimum = 2 * panel_rows;  // after 16 float16 d
constexpr int super_steps = 4 * panel_rows;    // after 16 float16 -m
constexpr int super_minimum_steps = super_steps + super_blocks * panel_rows;
constexpr int super_bytes = super_minimum_steps + super_blocks * panel_rows;
constexpr int half_steps = 2 * panel_rows;  // SuperHalf: after 16 float16 d
constexpr int half_bytes =
    (half_steps + 2 * super_blocks * panel_rows + alignment - 1) / alignment * alignment;

[[maybe_unused]] static constexpr const Layout& layout_of(Encoding encoding) {
    return layouts[static_cast<int>(encoding)];
}

// Blocks of 32 columns in a row; plain numbers are filled up with zeros.
[[maybe_unused]] static constexpr std::int64_t blocks_of(std::int64_t columns) {
    return (columns + block_columns - 1) / block_columns;
}

// Bytes of one block of a panel: 16 rows of 32 values.
[[maybe_unused]] static constexpr std::int64_t block_bytes(Encoding encoding) {
    return panel_rows * block_columns / 8 * layout_of(encoding).bits;
}

// Blocks whose scales lie together, in front of them: as many as it takes to fill cache lines.
[[maybe_unused]] static constexpr std::int64_t section_blocks(Encoding encoding) {
    switch (layout_of(encoding).scales) {
        case Scales::None:
        case Scales::Affine:
            return 1;
        case Scales::Half:
            return 2;
        case Scales::Super:
        case Scales::SuperHalf:
            return super_blocks;
    }
    return 1;
}

// Bytes of a section's scales.
[[maybe_unused]] static constexpr std::int64_t scales_bytes(Encoding encoding) {
    switch (layout_of(encoding).scales) {
        case Scales::None:
            return 0;
        case Scales::Half:
        case Scales::Affine:
            return alignment;
        case Scales::Super:
            return super_bytes;
        case Scales::SuperHalf:
            return half_bytes;
    }
    return 0;
}

// Where the section of a block begins in a panel, and where the block itself does.
[[maybe_unused]] static constexpr std::int64_t section_offset(Encoding encoding,
                                                              std::int64_t index) {
    const std::int64_t blocks = section_blocks(encoding);
    return index / blocks * (scales_bytes(encoding) + blocks * block_bytes(encoding));
}
[[maybe_unused]] static constexpr std::int64_t block_offset(Encoding encoding,
                                                            std::int64_t index) {
    return section_offset(encoding, index) + scales_bytes(encoding) +
           index % section_blocks(encoding) * block_bytes(encoding);
}

// Bytes from one panel to the next. The last section may have fewer blocks.
[[maybe_unused]] static constexpr std::int64_t panel_bytes(Encoding encoding,
                                                           std::int64_t columns) {
    const std::int64_t blocks = blocks_of(columns), together = section_blocks(encoding);
    return (blocks + together - 1) / together * scales_bytes(encoding) +
           blocks * block_bytes(encoding);
}

[[maybe_unused]] static constexpr std::int64_t panels_of(std::int64_t rows) {
    return (rows + panel_rows - 1) / panel_rows;
}

// Bytes that one token's block of 32 activations takes.
[[maybe_unused]] static constexpr std::int64_t activation_block_bytes(ActivationKind kind) {
    return kind == ActivationKind::Float32 ? 2 * alignment : alignment;
}

// Where the activations of a token begin, and how far its blocks are apart. All groups before it
// are full; those of its own group lie between its blocks.
struct Place {
    std::int64_t offset;
    std::int64_t step;
};

[[maybe_unused]] static constexpr Place place_among(std::int64_t bytes, std::int64_t tokens,
                                                    std::int64_t blocks, std::int64_t token) {
    const std::int64_t first = token / group_tokens * group_tokens;
    const std::int64_t left = tokens - first;
    const std::int64_t group = left < group_tokens ? left : group_tokens;
    return {(first * blocks + (token - first)) * bytes, group * bytes};
}

[[maybe_unused]] static constexpr Place place_of(ActivationKind kind, std::int64_t tokens,
                                                 std::int64_t columns, std::int64_t token) {
    return place_among(activation_block_bytes(kind), tokens, blocks_of(columns), token);
}

// The same of a token's remainders, which lie after all blocks of all tokens.
[[maybe_unused]] static constexpr Place remainders_of(std::int64_t tokens, std::int64_t columns,
                                                      std::int64_t refined, std::int64_t token) {
    const Place place = place_among(alignment, tokens, refined, token);
    return {tokens * blocks_of(columns) * alignment + place.offset, place.step};
}

}  // namespace fathom
