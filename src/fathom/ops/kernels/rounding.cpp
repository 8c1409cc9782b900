// Rows of a file as what a matrix is: as they are stored, rounded to bfloat16, or grouped.
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "layout.hpp"

namespace fathom {
namespace {

// float32 → bfloat16: the nearest, ties to even; not a number stays one.
std::uint16_t nearest_bfloat16(std::uint32_t bits) {
    if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<std::uint16_t>(bits >> 16 | 0x40U);
    return static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

void round_numbers(std::int64_t count, const std::uint8_t* source, std::uint8_t* destination) {
    for (std::int64_t index = 0; index < count; ++index) {
        std::uint32_t bits;
        std::memcpy(&bits, source + index * 4, sizeof bits);
        const std::uint16_t rounded = nearest_bfloat16(bits);
        std::memcpy(destination + index * 2, &rounded, sizeof rounded);
    }
}

bool becomes(Encoding stored, Encoding encoding) {
    if (stored == encoding) return true;
    if (encoding == Encoding::BF16) return stored == Encoding::F32;
    return layout_of(stored).scales == Scales::None &&
           (encoding == Encoding::Q8_0 || encoding == Encoding::Q4_0);
}

}  // namespace

void require_becomes(Encoding stored, Encoding encoding) {
    if (becomes(stored, encoding)) return;
    throw std::invalid_argument(std::string("rows in ") + layout_of(stored).name +
                                " do not become " + layout_of(encoding).name);
}

void pack_as(Encoding stored, const PackedMatrix& matrix, std::int64_t first_row,
             std::int64_t count, const std::uint8_t* source, std::uint8_t* destination) {
    require_becomes(stored, matrix.encoding);
    if (stored == matrix.encoding) {
        return pack(stored, matrix.rows, matrix.columns, first_row, count, source, destination);
    }
    const std::int64_t from_bytes = source_row_bytes(stored, matrix.columns);
    const std::int64_t to_bytes = source_row_bytes(matrix.encoding, matrix.columns);
    std::vector<std::uint8_t> made(static_cast<std::size_t>(panel_rows * to_bytes));
    for (std::int64_t row = 0; row < count; row += panel_rows) {
        const std::int64_t some = count - row < panel_rows ? count - row : panel_rows;
        const std::uint8_t* from = source + row * from_bytes;
        if (matrix.encoding == Encoding::BF16) {
            round_numbers(some * matrix.columns, from, made.data());
        } else {
            group(stored, matrix.encoding, matrix.columns, some, from, made.data());
        }
        pack(matrix.encoding, matrix.rows, matrix.columns, first_row + row, some, made.data(),
             destination);
    }
}

}  // namespace fathom
