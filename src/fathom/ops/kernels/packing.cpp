// From the blocks of a file to panels of rows, and one row back. Runs once per weight, on any
// processor, so it is written for the reader.
#include <cstring>
#include <stdexcept>
#include <string>

#include "floats.hpp"
#include "layout.hpp"

namespace fathom {
namespace {

constexpr int nibble_columns = block_columns / 2;  // a packed byte holds a column and this one on
constexpr int quad = 4;                            // columns of a row in a register's 32-bit lane

// One block of a row between file and panel. What an encoding has no use for stays zero.
struct Block {
    std::uint8_t values[block_columns];  // unsigned: q + zero
    std::uint16_t scale, minimum;        // float16; the minimum is added
    std::uint8_t steps[2], minimum_step;
};

std::uint16_t half_at(const std::uint8_t* bytes) {
    return static_cast<std::uint16_t>(bytes[0] | bytes[1] << 8);
}

// 16 bytes: the low bits are the first 16 values, the high bits the last.
void read_nibbles(const std::uint8_t* bytes, Block& block) {
    for (int index = 0; index < nibble_columns; ++index) {
        block.values[index] = bytes[index] & 15;
        block.values[index + nibble_columns] = bytes[index] >> 4;
    }
}

// Four bytes: the fifth bit of each value, in order.
void read_fifth_bits(const std::uint8_t* bytes, Block& block) {
    for (int index = 0; index < block_columns; ++index) {
        block.values[index] |= static_cast<std::uint8_t>((bytes[index / 8] >> index % 8 & 1) << 4);
    }
}

// Six-bit scales and minimums of the K-quants, 12 bytes: see super_blocks.py.
void read_steps(const std::uint8_t* bytes, int index, Block& block) {
    if (index < 4) {
        block.steps[0] = bytes[index] & 63;
        block.minimum_step = bytes[index + 4] & 63;
    } else {
        block.steps[0] =
            static_cast<std::uint8_t>((bytes[index + 4] & 15) | (bytes[index - 4] >> 6) << 4);
        block.minimum_step =
            static_cast<std::uint8_t>((bytes[index + 4] >> 4) | (bytes[index] >> 6) << 4);
    }
}

// 32 bytes hold the low nibbles of one block and the high ones of the next.
void read_paired_nibbles(const std::uint8_t* bytes, int index, Block& block) {
    for (int column = 0; column < block_columns; ++column) {
        block.values[column] = bytes[index / 2 * block_columns + column] >> index % 2 * 4 & 15;
    }
}

void read_super(const std::uint8_t* bytes, int index, bool fifth, Block& block) {
    block.scale = half_at(bytes);
    block.minimum = half_at(bytes + 2) ^ 0x8000;  // it is taken off there and added here
    read_steps(bytes + 4, index, block);
    if (!fifth) return read_paired_nibbles(bytes + 16, index, block);
    read_paired_nibbles(bytes + 48, index, block);
    for (int column = 0; column < block_columns; ++column) {
        block.values[column] |= static_cast<std::uint8_t>((bytes[16 + column] >> index & 1) << 4);
    }
}

// Q6_K: 128 columns share 64 bytes of nibbles and 32 bytes of two bits.
void read_six_bits(const std::uint8_t* bytes, int index, Block& block) {
    const std::uint8_t* low = bytes + index / 4 * 64 + index % 2 * 32;
    const std::uint8_t* high = bytes + 128 + index / 4 * 32;
    for (int column = 0; column < block_columns; ++column) {
        const int four = low[column] >> index % 4 / 2 * 4 & 15;
        const int two = high[column] >> index % 4 * 2 & 3;
        block.values[column] = static_cast<std::uint8_t>(four | two << 4);
    }
    block.steps[0] = bytes[192 + 2 * index];
    block.steps[1] = bytes[192 + 2 * index + 1];
    block.scale = half_at(bytes + 208);
}

// Reads block `index` of 32 columns of a row.
Block read_block(Encoding encoding, const std::uint8_t* row, std::int64_t index) {
    const Layout& layout = layout_of(encoding);
    const int parts = layout.source_columns / block_columns;
    const std::uint8_t* bytes = row + index / parts * layout.source_bytes;
    const int part = static_cast<int>(index % parts);
    Block block{};
    switch (encoding) {
        case Encoding::Q4_0:
            block.scale = half_at(bytes);
            read_nibbles(bytes + 2, block);
            break;
        case Encoding::Q4_1:
            block.scale = half_at(bytes);
            block.minimum = half_at(bytes + 2);
            read_nibbles(bytes + 4, block);
            break;
        case Encoding::Q5_0:
            block.scale = half_at(bytes);
            read_nibbles(bytes + 6, block);
            read_fifth_bits(bytes + 2, block);
            break;
        case Encoding::Q5_1:
            block.scale = half_at(bytes);
            block.minimum = half_at(bytes + 2);
            read_nibbles(bytes + 8, block);
            read_fifth_bits(bytes + 4, block);
            break;
        case Encoding::Q8_0:
            block.scale = half_at(bytes);
            for (int column = 0; column < block_columns; ++column) {
                block.values[column] = bytes[2 + column] ^ 0x80;
            }
            break;
        case Encoding::Q4_K:
            read_super(bytes, part, false, block);
            break;
        case Encoding::Q5_K:
            read_super(bytes, part, true, block);
            break;
        case Encoding::Q6_K:
            read_six_bits(bytes, part, block);
            break;
        case Encoding::F32:
        case Encoding::F16:
        case Encoding::BF16:
            break;  // have no blocks
    }
    return block;
}

// Values of lane `lane` into a packed block; see packed.hpp and values_of in products.hpp.
void write_values(int bits, const Block& block, int lane, std::uint8_t* packed) {
    std::uint8_t* lanes = packed + lane * quad;
    std::uint8_t bytes[block_columns];
    if (bits == 8) {
        std::memcpy(bytes, block.values, sizeof bytes);
    } else {
        for (int index = 0; index < nibble_columns; ++index) {
            const int other = block.values[index + nibble_columns];
            bytes[index] =
                static_cast<std::uint8_t>((block.values[index] & 15) | (other & 15) << 4);
        }
    }
    const int stored = bits == 8 ? block_columns : nibble_columns;
    for (int index = 0; index < stored; index += quad) {
        std::memcpy(lanes + index / quad * alignment, bytes + index, quad);
    }
    const int width = bits - 4;  // further bits of a value; quads share a byte of them
    if (width == 0 || width == 4) return;
    const int per_byte = 8 / width;
    for (int line = 0; line < width; ++line) {
        const std::uint8_t* first = block.values + line * per_byte * quad;
        for (int column = 0; column < quad; ++column) {
            int rest = 0;
            for (int index = 0; index < per_byte; ++index) {
                rest |= first[index * quad + column] >> 4 << index * width;
            }
            lanes[(4 + line) * alignment + column] = static_cast<std::uint8_t>(rest);
        }
    }
}

void read_values_back(int bits, const std::uint8_t* packed, int lane, Block& block) {
    const std::uint8_t* four = packed + lane * quad;
    for (int column = 0; column < block_columns; ++column) {
        const int index = column / quad;
        if (bits == 8) {
            block.values[column] = four[index * alignment + column % quad];
            continue;
        }
        const std::uint8_t byte = four[index % 4 * alignment + column % quad];
        block.values[column] = index < 4 ? byte & 15 : byte >> 4;
        if (bits == 4) continue;
        const int width = bits - 4, per_byte = 8 / width;
        const std::uint8_t rest = four[(4 + index / per_byte) * alignment + column % quad];
        const int further = rest >> index % per_byte * width & ((1 << width) - 1);
        block.values[column] |= static_cast<std::uint8_t>(further << 4);
    }
}

// Where the scale, the minimum and the steps of a block stand among its section's scales, in
// bytes; -1 for what the encoding lacks. `index` is that of the block in its section.
struct ScalePlaces {
    std::int64_t scale, minimum, steps[2], minimum_step;
};

ScalePlaces scale_places(Scales scales, std::int64_t index, int lane) {
    const std::int64_t part = index * panel_rows + lane;
    switch (scales) {
        case Scales::None:
            break;
        case Scales::Half:
            return {(index * panel_rows + lane) * 2, -1, {-1, -1}, -1};
        case Scales::Affine:
            return {lane * 2, (panel_rows + lane) * 2, {-1, -1}, -1};
        case Scales::Super:
            return {2 * lane,
                    super_minimum + 2 * lane,
                    {super_steps + part, -1},
                    super_minimum_steps + part};
        case Scales::SuperHalf: {
            const std::int64_t steps = half_steps + 2 * index * panel_rows + lane;
            return {2 * lane, -1, {steps, steps + panel_rows}, -1};
        }
    }
    return {-1, -1, {-1, -1}, -1};
}

void write_scales(Scales scales, const Block& block, std::int64_t index, int lane,
                  std::uint8_t* packed) {
    const ScalePlaces at = scale_places(scales, index, lane);
    std::memcpy(packed + at.scale, &block.scale, sizeof block.scale);
    if (at.minimum >= 0) std::memcpy(packed + at.minimum, &block.minimum, sizeof block.minimum);
    for (int half = 0; half < 2; ++half) {
        if (at.steps[half] >= 0) packed[at.steps[half]] = block.steps[half];
    }
    if (at.minimum_step >= 0) packed[at.minimum_step] = block.minimum_step;
}

void read_scales_back(Scales scales, const std::uint8_t* packed, std::int64_t index, int lane,
                      Block& block) {
    const ScalePlaces at = scale_places(scales, index, lane);
    std::memcpy(&block.scale, packed + at.scale, sizeof block.scale);
    if (at.minimum >= 0) std::memcpy(&block.minimum, packed + at.minimum, sizeof block.minimum);
    for (int half = 0; half < 2; ++half) {
        if (at.steps[half] >= 0) block.steps[half] = packed[at.steps[half]];
    }
    if (at.minimum_step >= 0) block.minimum_step = packed[at.minimum_step];
}

// Plain numbers: 16 rows beside each other, of BF16 two columns of each.
std::int64_t plain_place(Encoding encoding, std::int64_t column, int lane) {
    const int width = layout_of(encoding).bits / 8;
    if (encoding != Encoding::BF16) return (column * panel_rows + lane) * width;
    return ((column / 2 * panel_rows + lane) * 2 + column % 2) * width;
}

// One row of plain numbers of `width` bytes into its lane; zeros where there is none.
template <int width>
void pack_plain(Encoding encoding, std::int64_t columns, const std::uint8_t* row, int lane,
                std::uint8_t* panel) {
    const std::int64_t held = row == nullptr ? 0 : columns;
    for (std::int64_t column = 0; column < held; ++column) {
        std::memcpy(panel + plain_place(encoding, column, lane), row + column * width, width);
    }
    for (std::int64_t column = held; column < blocks_of(columns) * block_columns; ++column) {
        std::memset(panel + plain_place(encoding, column, lane), 0, width);
    }
}

// One row of an encoding whose values lie in the file as in a panel, four columns of a row in a
// word, but for `flip`: they are copied behind the scales that a block of the file begins with.
template <Encoding encoding, int words, std::uint32_t flip>
void copy_row(std::int64_t columns, const std::uint8_t* row, int lane, std::uint8_t* panel) {
    constexpr const Layout& layout = layout_of(encoding);
    constexpr int scales = layout.source_bytes - words * quad;
    for (std::int64_t index = 0; index < blocks_of(columns); ++index) {
        const std::uint8_t* bytes = row + index * layout.source_bytes;
        std::uint8_t* lanes = panel + block_offset(encoding, index) + lane * quad;
        for (int word = 0; word < words; ++word) {
            std::uint32_t four;
            std::memcpy(&four, bytes + scales + word * quad, quad);
            four ^= flip;
            std::memcpy(lanes + word * alignment, &four, quad);
        }
        std::uint8_t* own = panel + section_offset(encoding, index);
        const ScalePlaces at =
            scale_places(layout.scales, index % section_blocks(encoding), lane);
        std::memcpy(own + at.scale, bytes, 2);
        if constexpr (layout.scales == Scales::Affine) std::memcpy(own + at.minimum, bytes + 2, 2);
    }
}

// One row, block by block; nullptr for a row of zeros.
void pack_blocks(Encoding encoding, std::int64_t columns, const std::uint8_t* row, int lane,
                 std::uint8_t* panel) {
    const Layout& layout = layout_of(encoding);
    for (std::int64_t index = 0; index < blocks_of(columns); ++index) {
        const Block block = row == nullptr ? Block{} : read_block(encoding, row, index);
        write_values(layout.bits, block, lane, panel + block_offset(encoding, index));
        write_scales(layout.scales, block, index % section_blocks(encoding), lane,
                     panel + section_offset(encoding, index));
    }
}

// One row into its lane of a panel; nullptr for a row of zeros.
void pack_row(Encoding encoding, std::int64_t columns, const std::uint8_t* row, int lane,
              std::uint8_t* panel) {
    switch (encoding) {
        case Encoding::F32:
            return pack_plain<4>(encoding, columns, row, lane, panel);
        case Encoding::F16:
        case Encoding::BF16:
            return pack_plain<2>(encoding, columns, row, lane, panel);
        case Encoding::Q4_0:
            if (row == nullptr) break;
            return copy_row<Encoding::Q4_0, 4, 0>(columns, row, lane, panel);
        case Encoding::Q4_1:
            if (row == nullptr) break;
            return copy_row<Encoding::Q4_1, 4, 0>(columns, row, lane, panel);
        case Encoding::Q8_0:
            if (row == nullptr) break;
            return copy_row<Encoding::Q8_0, 8, 0x80808080>(columns, row, lane, panel);
        default:
            break;
    }
    pack_blocks(encoding, columns, row, lane, panel);
}

float plain_value(Encoding encoding, const std::uint8_t* bytes) {
    if (encoding == Encoding::F16) return from_half(half_at(bytes));
    if (encoding == Encoding::BF16)
        return from_bits(static_cast<std::uint32_t>(half_at(bytes)) << 16);
    float value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

// The order of the arithmetic is that of the decoders in Python; it decides the last bit.
void decode(const Layout& layout, const Block& block, float* values) {
    const float scale = from_half(block.scale), minimum = from_half(block.minimum);
    for (int column = 0; column < block_columns; ++column) {
        const auto q = static_cast<float>(block.values[column] - layout.zero);
        switch (layout.scales) {
            case Scales::Super:
                values[column] = scale * block.steps[0] * q + minimum * block.minimum_step;
                break;
            case Scales::SuperHalf:
                values[column] =
                    scale * static_cast<std::int8_t>(block.steps[column / nibble_columns]) * q;
                break;
            case Scales::Affine:
                values[column] = scale * q + minimum;
                break;
            case Scales::Half:
            case Scales::None:
                values[column] = scale * q;
                break;
        }
    }
}

void check_shape(Encoding encoding, std::int64_t rows, std::int64_t columns) {
    const Layout& layout = layout_of(encoding);
    if (rows < 0 || columns < 0 || columns % layout.source_columns != 0) {
        throw std::invalid_argument("a matrix of " + std::to_string(rows) + " x " +
                                    std::to_string(columns) + " cannot be " + layout.name +
                                    ": its columns come in blocks of " +
                                    std::to_string(layout.source_columns));
    }
}

}  // namespace

const char* encoding_name(Encoding encoding) {
    const int index = static_cast<int>(encoding);
    return index < 0 || index >= encoding_count ? nullptr : layouts[index].name;
}

bool encoding_named(const char* name, Encoding& encoding) {
    for (int index = 0; index < encoding_count; ++index) {
        if (std::strcmp(layouts[index].name, name) != 0) continue;
        encoding = static_cast<Encoding>(index);
        return true;
    }
    return false;
}

std::int64_t packed_bytes(Encoding encoding, std::int64_t rows, std::int64_t columns) {
    check_shape(encoding, rows, columns);
    return panels_of(rows) * panel_bytes(encoding, columns);
}

std::int64_t source_row_bytes(Encoding encoding, std::int64_t columns) {
    check_shape(encoding, 0, columns);
    const Layout& layout = layout_of(encoding);
    return columns / layout.source_columns * layout.source_bytes;
}

void pack(Encoding encoding, std::int64_t rows, std::int64_t columns, std::int64_t first_row,
          std::int64_t count, const std::uint8_t* source, std::uint8_t* destination) {
    check_shape(encoding, rows, columns);
    if (first_row < 0 || count < 0 || count > rows - first_row) {
        throw std::invalid_argument(std::to_string(count) + " rows from row " +
                                    std::to_string(first_row) + " on are not in a matrix of " +
                                    std::to_string(rows));
    }
    const std::int64_t source_bytes = source_row_bytes(encoding, columns);
    const std::int64_t step = panel_bytes(encoding, columns);
    const bool last = count > 0 && first_row + count == rows;
    const std::int64_t end = last ? panels_of(rows) * panel_rows : first_row + count;
    for (std::int64_t row = first_row; row < end; ++row) {
        const std::uint8_t* from = row < rows ? source + (row - first_row) * source_bytes : nullptr;
        const int lane = static_cast<int>(row % panel_rows);
        pack_row(encoding, columns, from, lane, destination + row / panel_rows * step);
    }
}

void unpack_row(const PackedMatrix& matrix, std::int64_t row, float* values) {
    const Layout& layout = layout_of(matrix.encoding);
    const std::uint8_t* panel =
        matrix.data + row / panel_rows * panel_bytes(matrix.encoding, matrix.columns);
    const int lane = static_cast<int>(row % panel_rows);
    if (layout.scales == Scales::None) {
        for (std::int64_t column = 0; column < matrix.columns; ++column) {
            values[column] =
                plain_value(matrix.encoding, panel + plain_place(matrix.encoding, column, lane));
        }
        return;
    }
    for (std::int64_t index = 0; index < blocks_of(matrix.columns); ++index) {
        Block block{};
        read_values_back(layout.bits, panel + block_offset(matrix.encoding, index), lane, block);
        read_scales_back(layout.scales, panel + section_offset(matrix.encoding, index),
                         index % section_blocks(matrix.encoding), lane, block);
        decode(layout, block, values + index * block_columns);
    }
}

ActivationKind activation_kind(Encoding encoding) {
    if (encoding == Encoding::BF16) return ActivationKind::BFloat16;
    return layout_of(encoding).scales == Scales::None ? ActivationKind::Float32
                                                      : ActivationKind::Bytes;
}

std::int64_t activation_bytes(ActivationKind kind, std::int64_t tokens, std::int64_t columns,
                              std::int64_t refined) {
    const std::int64_t remainders = kind == ActivationKind::Bytes ? refined : 0;
    return tokens * (blocks_of(columns) + remainders) * activation_block_bytes(kind);
}

}  // namespace fathom
