// Products of every encoding: odd shapes, ranges of rows, tokens alone and together, broken numbers.
#include <limits>
#include <new>

#include "agreement.hpp"
#include "cpu.hpp"
#include "layout.hpp"

using namespace fathom;

namespace agreement {
namespace {

constexpr float unwritten = 12345.0F;

// Memory that begins on a cache line.
class Aligned {
public:
    explicit Aligned(std::int64_t bytes)
        : data_(static_cast<std::uint8_t*>(::operator new(static_cast<std::size_t>(bytes),
                                                          std::align_val_t{alignment}))),
          bytes_(static_cast<std::size_t>(bytes)) {
        std::memset(data_, 0, bytes_);
    }
    ~Aligned() { ::operator delete(data_, std::align_val_t{alignment}); }
    Aligned(const Aligned&) = delete;
    Aligned& operator=(const Aligned&) = delete;
    std::uint8_t* data() const { return data_; }
    bool operator==(const Aligned& other) const {
        return bytes_ == other.bytes_ && std::memcmp(data_, other.data_, bytes_) == 0;
    }

private:
    std::uint8_t* data_;
    std::size_t bytes_;
};

// Where float16 numbers begin in a block of a file: any bytes there could be no number.
std::vector<int> halves_of(Encoding encoding) {
    switch (layout_of(encoding).scales) {
        case Scales::None: return {};
        case Scales::Half: return {0};
        case Scales::Affine:
        case Scales::Super: return {0, 2};
        case Scales::SuperHalf: return {layout_of(encoding).source_bytes - 2};
    }
    return {};
}

void put_half(std::uint8_t* place, std::uint16_t bits) { std::memcpy(place, &bits, sizeof bits); }

// Weights as a file has them: every bit of a value is used, and scales are ordinary.
std::vector<std::uint8_t> stored(Encoding encoding, std::int64_t rows, std::int64_t columns) {
    const Layout& layout = layout_of(encoding);
    const std::int64_t blocks = rows * columns / layout.source_columns;
    auto bytes = any_bytes(blocks * layout.source_bytes, 3);
    const Numbers plain = ordinary(blocks, 4);
    for (std::int64_t block = 0; block < blocks; ++block) {
        std::uint8_t* place = bytes.data() + block * layout.source_bytes;
        if (encoding == Encoding::F32) std::memcpy(place, &plain[block], sizeof(float));
        // A float16 of 2^-7 to 2^-5 with a sign; a bfloat16 of 2^-2 to 1.
        const auto bits = static_cast<std::uint16_t>(place[0] << 8 | place[1]);
        if (encoding == Encoding::F16) put_half(place, (bits & 0x87ff) | 0x2000);
        if (encoding == Encoding::BF16) put_half(place, (bits & 0x80ff) | 0x3e80);
        for (const int half : halves_of(encoding)) {
            put_half(place + half, (bits & 0x87ff) | 0x2000);
        }
    }
    return bytes;
}

struct Product {
    const Kernels& kernels;
    const PackedMatrix& matrix;
    std::int64_t refined = 0;  // blocks of a token that are rounded twice, where they are bytes

    Numbers of(const float* x, std::int64_t tokens, std::int64_t begin, std::int64_t end) const {
        const ActivationKind kind = activation_kind(matrix.encoding);
        const std::int64_t twice = kind == ActivationKind::Bytes ? refined : 0;
        const Aligned room(activation_bytes(kind, tokens, matrix.columns, twice));
        kernels.quantise(kind, x, matrix.columns, tokens, matrix.columns, 0, tokens, room.data());
        if (twice > 0) {
            refine(x, matrix.columns, tokens, matrix.columns, 0, tokens, twice, room.data());
        }
        Numbers y(static_cast<std::size_t>(tokens * matrix.rows), unwritten);
        const Activations activations{kind, tokens, matrix.columns, room.data(), twice};
        kernels.multiply(matrix, activations, begin, end, y.data(), matrix.rows);
        return y;
    }
};

struct Shape {
    std::int64_t rows, blocks, tokens;
};
constexpr Shape shapes[] = {{53, 3, 1}, {48, 2, 3}, {53, 1, 29}, {1, 2, 8},
                            {17, 0, 2}, {0, 2, 3},  {5, 1, 0},   {33, 2, 12}};

void check_inputs(const std::string& what, const Kernels& kernels, ActivationKind kind,
                  const Numbers& x, std::int64_t tokens, std::int64_t columns) {
    const std::int64_t bytes = activation_bytes(kind, tokens, columns);
    const Aligned found(bytes), expected(bytes);
    const Kernels& portable = *kernels_named("portable");
    kernels.quantise(kind, x.data(), columns, tokens, columns, 0, tokens, found.data());
    portable.quantise(kind, x.data(), columns, tokens, columns, 0, tokens, expected.data());
    holds(what + " rounds inputs alike", found == expected);
}

// What is no number reaches the outputs that it reaches with the portable kernels.
void check_broken(const std::string& what, const Product& product, const Product& portable,
                  Numbers x, std::int64_t tokens) {
    const std::int64_t rows = product.matrix.rows;
    constexpr float infinity = std::numeric_limits<float>::infinity();
    for (const float bad : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) {
        x[static_cast<std::size_t>(product.matrix.columns) - 1] = bad;
        near(what + " with a broken input", product.of(x.data(), tokens, 0, rows),
             portable.of(x.data(), tokens, 0, rows), 1e-5F);
    }
}

void check_shape(const Kernels& kernels, Encoding encoding, const Shape& shape) {
    const bool plain = layout_of(encoding).scales == Scales::None;
    const std::int64_t whole = plain ? block_columns : layout_of(encoding).source_columns;
    const std::int64_t columns = shape.blocks * whole + (plain && shape.blocks > 0 ? 9 : 0);
    const Aligned data(packed_bytes(encoding, shape.rows, columns));
    const auto source = stored(encoding, shape.rows, columns);
    pack(encoding, shape.rows, columns, 0, shape.rows, source.data(), data.data());
    const PackedMatrix matrix{encoding, shape.rows, columns, data.data()};
    const Product product{kernels, matrix}, portable{*kernels_named("portable"), matrix};
    const Numbers x = ordinary(shape.tokens * columns, 5);
    const std::string what = std::string(kernels.name) + " " + encoding_name(encoding) + " " +
                             std::to_string(shape.rows) + " x " + std::to_string(columns) + ", " +
                             std::to_string(shape.tokens) + " token(s)";
    check_inputs(what, kernels, activation_kind(encoding), x, shape.tokens, columns);
    const Numbers y = product.of(x.data(), shape.tokens, 0, shape.rows);
    near(what, y, portable.of(x.data(), shape.tokens, 0, shape.rows), 1e-5F);
    const Product twice{kernels, matrix, 2}, portable_twice{*kernels_named("portable"), matrix, 2};
    near(what + " rounded twice", twice.of(x.data(), shape.tokens, 0, shape.rows),
         portable_twice.of(x.data(), shape.tokens, 0, shape.rows), 1e-5F);
    const std::int64_t begin = shape.rows / 3, end = shape.rows - shape.rows / 5;
    Numbers part = y;
    for (std::int64_t place = 0; place < shape.tokens * shape.rows; ++place) {
        const std::int64_t row = place % shape.rows;
        if (row < begin || row >= end) part[static_cast<std::size_t>(place)] = unwritten;
    }
    holds(what + " of some rows", part == product.of(x.data(), shape.tokens, begin, end));
    for (std::int64_t token = 0; token < shape.tokens; ++token) {
        const auto first = y.begin() + token * shape.rows;
        holds(what + " alone", Numbers(first, first + shape.rows) ==
                                   product.of(x.data() + token * columns, 1, 0, shape.rows));
    }
    if (!x.empty()) check_broken(what, product, portable, x, shape.tokens);
}

// A scale, or a plain number, that is none breaks its own row alone.
void check_broken_weight(const Kernels& kernels, Encoding encoding) {
    const Layout& layout = layout_of(encoding);
    const std::int64_t rows = 20, columns = 256, bad = 6;
    const std::int64_t row_bytes = source_row_bytes(encoding, columns);
    auto source = stored(encoding, rows, columns);
    std::uint8_t* row = source.data() + bad * row_bytes;
    const float infinity = std::numeric_limits<float>::infinity();
    if (encoding == Encoding::F32) std::memcpy(row, &infinity, sizeof infinity);
    if (encoding == Encoding::BF16) put_half(row, 0x7f80);
    if (encoding == Encoding::F16) put_half(row, 0x7c00);
    if (layout.scales != Scales::None) put_half(row + halves_of(encoding)[0], 0x7c00);
    const Aligned data(packed_bytes(encoding, rows, columns));
    pack(encoding, rows, columns, 0, rows, source.data(), data.data());
    const PackedMatrix matrix{encoding, rows, columns, data.data()};
    const Numbers x = ordinary(3 * columns, 6);
    const Numbers y = Product{kernels, matrix}.of(x.data(), 3, 0, rows);
    bool right = true;
    for (std::size_t place = 0; place < y.size(); ++place) {
        const bool number = y[place] - y[place] == 0;
        right = right && number == (static_cast<std::int64_t>(place) % rows != bad);
    }
    holds(std::string(kernels.name) + " " + layout.name + " with a broken weight", right);
}

}  // namespace

void check_products() {
    for (const Variant& variant : variants()) {
        if (!variant.lacks.empty()) continue;
        for (int index = 0; index < encoding_count; ++index) {
            const auto encoding = static_cast<Encoding>(index);
            for (const Shape& shape : shapes) check_shape(*variant.kernels, encoding, shape);
            check_broken_weight(*variant.kernels, encoding);
        }
    }
}

}  // namespace agreement
