// Weights as the kernels read them, and the activations that they are multiplied by.
//
// A matrix is packed once into *panels* of 16 rows. Within a panel columns go in blocks of 32, the
// group size of most encodings, and one, two or eight blocks make a *section*, which begins with
// their scales:
//
//     panel 0                                                  panel 1
//     [scales 0 1][block 0][block 1][scales 2 3][block 2] …    [scales 0 1][block 0] …
//
// A block holds 4 columns of each of the 16 rows beside each other, which is one 64-byte register
// of what VPDPBUSD multiplies; 4-bit numbers share bytes with those 16 columns on. Scales of 16
// rows lie beside each other, so one load serves 16 outputs. Every section begins on a cache line,
// and all is read in the order in which it lies: of two streams, one for scales and one for
// blocks, processors fetch neither ahead, which halves the rate of reading. No instruction set is
// named here: every variant of the kernels reads this layout.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fathom {

constexpr int panel_rows = 16;     // outputs that are computed together
constexpr int panels_at_once = 2;  // quickest in pieces of as many, where tokens are many
constexpr int block_columns = 32;  // weights that share a scale, and activations that do
constexpr int alignment = 64;      // of packed data and of activations, in bytes

// The names are those of the table of encodings in Python, which are those of GGUF.
enum class Encoding : std::int32_t {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4_K,
    Q5_K,
    Q6_K,
};
constexpr int encoding_count = 11;

// The name of an encoding, or nullptr; and an encoding by its name, or false.
const char* encoding_name(Encoding encoding);
bool encoding_named(const char* name, Encoding& encoding);

// A matrix that was packed: y = data · x, x of `columns`, y of `rows`. It owns nothing.
struct PackedMatrix {
    Encoding encoding;
    std::int64_t rows;
    std::int64_t columns;
    const std::uint8_t* data;  // packed_bytes(encoding, rows, columns), aligned to `alignment`
};

// Bytes of a packed matrix, known from its shape alone. Throws std::invalid_argument if the
// columns end inside a block of the encoding, or a size is negative.
std::int64_t packed_bytes(Encoding encoding, std::int64_t rows, std::int64_t columns);

// Bytes of one row as the file stores it.
std::int64_t source_row_bytes(Encoding encoding, std::int64_t columns);

// Packs `count` rows, exactly as a GGUF or safetensors file stores them, as rows `first_row` to
// first_row + count of a matrix of `rows` rows. So matrices become one by being packed below each
// other, and several threads can pack their own rows. Whoever packs the last row fills the rest of
// its panel with zeros. Throws std::invalid_argument if the rows are not in the matrix.
void pack(Encoding encoding, std::int64_t rows, std::int64_t columns, std::int64_t first_row,
          std::int64_t count, const std::uint8_t* source, std::uint8_t* destination);

// Rounds `count` rows of plain numbers (F32, F16 or BF16) to blocks of Q8_0 or Q4_0, exactly as a
// GGUF file stores them. A block with an infinity or not a number becomes not a number as a whole.
// Throws std::invalid_argument for other encodings, or columns that end inside a block.
void group(Encoding plain, Encoding encoding, std::int64_t columns, std::int64_t count,
           const std::uint8_t* source, std::uint8_t* destination);

// Packs rows that a file stores in one encoding into a matrix of perhaps another: F32 is rounded to
// BF16, to the nearest and ties to even, and plain numbers are grouped. Otherwise as `pack`; throws
// std::invalid_argument as well where the one does not become the other.
void pack_as(Encoding stored, const PackedMatrix& matrix, std::int64_t first_row,
             std::int64_t count, const std::uint8_t* source, std::uint8_t* destination);
void require_becomes(Encoding stored, Encoding encoding);

// Reads one row back as numbers, bit for bit what the decoder of the file gives: what an
// embedding that is tied to the output needs. `row` is in [0, rows).
void unpack_row(const PackedMatrix& matrix, std::int64_t row, float* values);

// What the inputs of a product become before it. Matrices of one kind share activations.
enum class ActivationKind : std::int32_t {
    Bytes,     // 8-bit integers with a float scale per 32: all quantised encodings
    BFloat16,  // for BF16
    Float32,   // for F16 and F32
};
ActivationKind activation_kind(Encoding encoding);

// 32 activations of one token: a cache line.
// value = scale · values[i]; the sums serve weights that are stored with an offset or a minimum.
struct alignas(alignment) ActivationBlock {
    std::int8_t values[block_columns];
    float scale;
    float sum;                      // scale · Σ values
    std::int32_t negative_sum;      // -Σ values
    std::int32_t negative_half[2];  // -Σ of the first 16 values, and of the last
    std::int32_t place;             // of a remainder: which block of columns it belongs to
    std::int32_t unused[2];
};
static_assert(sizeof(ActivationBlock) == alignment);

// Tokens are kept in groups of eight, the last one perhaps smaller: [group][block][token of the
// group], so that a kernel walks one stream for all of a group.
constexpr int group_tokens = 8;
constexpr std::int32_t no_place = INT32_MAX;  // of remainders that a token has no use for

//
// A few channels of a hidden state are far above the others (massive activations, arXiv
// 2402.17762), and eight bits lose what shares a block with them. So each token may bring the
// remainders of its `refined` largest blocks, what rounding took from them, as further blocks: after
// all others, in groups like them, [group][refined][token of the group], in order of columns. Only
// Bytes have them.
struct Activations {
    ActivationKind kind;
    std::int64_t tokens;
    std::int64_t columns;
    const std::uint8_t* data;  // activation_bytes(…), aligned to `alignment`
    std::int64_t refined = 0;
};

std::int64_t activation_bytes(ActivationKind kind, std::int64_t tokens, std::int64_t columns,
                              std::int64_t refined = 0);

// Turns tokens `begin` to `end` of x, (tokens, columns) with rows `stride` apart, into
// activations. Threads may each take tokens of their own. A block that holds an infinity or not a
// number becomes not a number as a whole.
void quantise(ActivationKind kind, const float* x, std::int64_t stride, std::int64_t tokens,
              std::int64_t columns, std::int64_t begin, std::int64_t end,
              std::uint8_t* destination);

// Adds remainders to what `quantise` made of the same tokens as Bytes.
void refine(const float* x, std::int64_t stride, std::int64_t tokens, std::int64_t columns,
            std::int64_t begin, std::int64_t end, std::int64_t refined,
            std::uint8_t* destination);

// y[token · stride + row] = Σ over columns of matrix[row] · activations[token], for all tokens
// and rows `begin` to `end`. Threads take rows of their own, quickest in whole panels; they may
// not share y. One to eight tokens are bound by reading the weights once, more are blocked for
// arithmetic. Zero tokens, rows or columns are fine. The best kernels of this processor are
// used; cpu.hpp has the others by name.
void multiply(const PackedMatrix& matrix, const Activations& activations, std::int64_t begin,
              std::int64_t end, float* y, std::int64_t stride);

}  // namespace fathom
