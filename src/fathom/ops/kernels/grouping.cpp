// From plain numbers to integers that share a scale per 32: blocks as a file would store them. Runs
// once per weight, on any processor.
//
// What a block loses was compared over gaussian numbers, as the root of the mean square against that
// of the numbers: Q8_0 0.54 %. In four bits 9.7 % with a scale of largest / 7, 8.6 % with the signed
// largest / -8 as ggml has it, 8.2 % with the best of the three tried here, 8.1 % with the best of
// nineteen; groups of 64 lose a tenth more for a quarter of a bit.
#include <cstring>
#include <stdexcept>
#include <string>

#include "halves_portable.hpp"
#include "layout.hpp"

namespace fathom {
namespace {

constexpr int nibbles = block_columns / 2;
// The integer that the number of the largest magnitude becomes, before rounding: it may be cut at
// -8, or leave that place unused, if all numbers together gain by it.
constexpr float extremes[] = {-8.0F, -8.6F, -7.3F};

template <Encoding plain>
void read_numbers(const std::uint8_t* source, float* x) {
    if constexpr (plain == Encoding::F32) {
        std::memcpy(x, source, block_columns * sizeof(float));
    } else {
        std::uint16_t bits[block_columns];
        std::memcpy(bits, source, sizeof bits);
        for (int i = 0; i < block_columns; ++i) {
            x[i] = plain == Encoding::F16 ? from_half(bits[i])
                                          : from_bits(static_cast<std::uint32_t>(bits[i]) << 16);
        }
    }
}

// The nearest integer, ties to even, |value| < 2^22; see quantising.hpp.
inline float whole(float value) { return (value + 0x1.8p23F) - 0x1.8p23F; }

inline float bounded(float value, float least, float most) {
    value = value < least ? least : value;
    return value > most ? most : value;
}

// The number of the largest magnitude with its sign; not a number if any is none.
float extreme(const float* x) {
    float least = x[0], most = x[0], broken = 0;
#pragma omp simd reduction(min : least) reduction(max : most) reduction(+ : broken)
    for (int i = 0; i < block_columns; ++i) {
        broken += x[i] - x[i];
        least = x[i] < least ? x[i] : least;
        most = x[i] > most ? x[i] : most;
    }
    return (-least > most ? least : most) + broken;
}

// A block whose scale is no number, which makes none of what it is multiplied with.
void write_broken(std::uint8_t* block, int bytes) {
    constexpr std::uint16_t not_a_number = 0x7e00;
    std::memset(block, 0, static_cast<std::size_t>(bytes));
    std::memcpy(block, &not_a_number, sizeof not_a_number);
}

// Q8_0: float16 d, then 32 signed bytes.
void write_eight_bits(const float* x, float largest, std::uint8_t* block) {
    const std::uint16_t half = write_half((largest < 0 ? -largest : largest) / 127.0F);
    const float scale = from_half(half), inverse = scale == 0 ? 0 : 1.0F / scale;
    std::memcpy(block, &half, sizeof half);
    for (int i = 0; i < block_columns; ++i) {
        const float q = bounded(whole(x[i] * inverse), -127.0F, 127.0F);
        block[2 + i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(q));
    }
}

struct FourBits {
    float q[block_columns];  // -8 to 7
    std::uint16_t half;      // the scale of least squares for them
    float error;             // Σ (x - scale · q)²
};

FourBits four_bits(const float* x, float inverse) {
    FourBits found;
    float products = 0, squares = 0, error = 0;
#pragma omp simd reduction(+ : products, squares)
    for (int i = 0; i < block_columns; ++i) {
        const float q = bounded(whole(x[i] * inverse), -8.0F, 7.0F);
        found.q[i] = q;
        products += x[i] * q;
        squares += q * q;
    }
    found.half = write_half(products / squares);
    const float scale = from_half(found.half);
#pragma omp simd reduction(+ : error)
    for (int i = 0; i < block_columns; ++i) {
        const float left = x[i] - scale * found.q[i];
        error += left * left;
    }
    found.error = error;
    return found;
}

// Q4_0: float16 d, then 16 bytes of q + 8, the first 16 in the low bits.
void write_four_bits(const float* x, float largest, std::uint8_t* block) {
    if (from_half(write_half(largest / extremes[0])) == 0) {  // below what a scale can be
        std::memset(block, 0x88, 2 + nibbles);
        std::memset(block, 0, 2);
        return;
    }
    FourBits best = four_bits(x, extremes[0] / largest);
    for (const float each : {extremes[1], extremes[2]}) {
        const FourBits other = four_bits(x, each / largest);
        if (other.error < best.error) best = other;
    }
    std::memcpy(block, &best.half, sizeof best.half);
    for (int i = 0; i < nibbles; ++i) {
        const int low = static_cast<int>(best.q[i]) + 8;
        const int high = static_cast<int>(best.q[i + nibbles]) + 8;
        block[2 + i] = static_cast<std::uint8_t>(low | high << 4);
    }
}

template <Encoding plain, void write(const float*, float, std::uint8_t*)>
void write_blocks(std::int64_t blocks, int block_bytes, const std::uint8_t* source,
                  std::uint8_t* destination) {
    constexpr int source_bytes = block_columns * layout_of(plain).source_bytes;
    float x[block_columns];
    for (std::int64_t index = 0; index < blocks; ++index) {
        read_numbers<plain>(source + index * source_bytes, x);
        std::uint8_t* block = destination + index * block_bytes;
        const float largest = extreme(x);
        if (largest - largest == 0) {
            write(x, largest, block);
        } else {
            write_broken(block, block_bytes);
        }
    }
}

template <Encoding plain>
constexpr auto writer(Encoding encoding) {
    return encoding == Encoding::Q8_0 ? write_blocks<plain, write_eight_bits>
                                      : write_blocks<plain, write_four_bits>;
}

}  // namespace

void group(Encoding plain, Encoding encoding, std::int64_t columns, std::int64_t count,
           const std::uint8_t* source, std::uint8_t* destination) {
    if (layout_of(plain).scales != Scales::None ||
        (encoding != Encoding::Q8_0 && encoding != Encoding::Q4_0)) {
        throw std::invalid_argument(std::string("numbers in ") + layout_of(plain).name +
                                    " are not grouped to " + layout_of(encoding).name +
                                    ": from F32, F16 and BF16 to Q8_0 and Q4_0");
    }
    source_row_bytes(encoding, columns);  // throws if columns end inside a block
    const auto write = plain == Encoding::F32   ? writer<Encoding::F32>(encoding)
                       : plain == Encoding::F16 ? writer<Encoding::F16>(encoding)
                                                : writer<Encoding::BF16>(encoding);
    const std::int64_t blocks = count * (columns / block_columns);  // rows follow each other
    write(blocks, layout_of(encoding).source_bytes, source, destination);
}

}  // namespace fathom
