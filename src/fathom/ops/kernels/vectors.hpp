// Vectors of numbers, as wide as the registers that a file is compiled for, from and to memory
// in float32 or bfloat16. Wider ones would be kept in memory by the compiler, and every sum in
// them. Everything is static: objects for different sets of instructions must
// not share code.
#pragma once

#include <cstdint>
#include <cstring>

namespace fathom {
namespace {

#if defined(__AVX512F__)
constexpr int vector_numbers = 16;
#elif defined(__AVX__)
constexpr int vector_numbers = 8;
#else
constexpr int vector_numbers = 4;
#endif

typedef float Vector __attribute__((vector_size(4 * vector_numbers)));
typedef std::uint32_t Bits __attribute__((vector_size(4 * vector_numbers)));
typedef std::uint16_t Shorts __attribute__((vector_size(2 * vector_numbers)));

inline Vector all(float value) { return value - Vector{}; }

inline Vector read(const float* from) {
    Vector vector;
    std::memcpy(&vector, from, sizeof vector);
    return vector;
}
inline void write(float* to, const Vector& vector) { std::memcpy(to, &vector, sizeof vector); }

inline Vector read(const std::uint16_t* from) {
    Shorts shorts;
    std::memcpy(&shorts, from, sizeof shorts);
    return reinterpret_cast<Vector>(__builtin_convertvector(shorts, Bits) << 16);
}

// To the nearest bfloat16, ties to even; not a number stays one.
inline void write(std::uint16_t* to, const Vector& vector) {
    const Bits bits = reinterpret_cast<Bits>(vector);
    const Bits rounded = bits + 0x7fffU + (bits >> 16 & 1U);
    const Bits kept = vector == vector ? rounded : (bits | 0x400000U);
    const Shorts shorts = __builtin_convertvector(kept >> 16, Shorts);
    std::memcpy(to, &shorts, sizeof shorts);
}

// The first `count` numbers, of which there may be fewer than a vector holds; the rest is zero.
template <class Number>
inline Vector read(const Number* from, std::int64_t count) {
    if (count >= vector_numbers) return read(from);
    Number some[vector_numbers] = {};
    std::memcpy(some, from, sizeof(Number) * static_cast<std::size_t>(count));
    return read(some);
}
template <class Number>
inline void write(Number* to, const Vector& vector, std::int64_t count) {
    if (count >= vector_numbers) return write(to, vector);
    Number some[vector_numbers];
    write(some, vector);
    std::memcpy(to, some, sizeof(Number) * static_cast<std::size_t>(count));
}

}  // namespace
}  // namespace fathom
