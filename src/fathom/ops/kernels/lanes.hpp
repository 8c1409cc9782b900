// Sixteen numbers that go together, in as many vectors as they need. Everything is static: see
// vectors.hpp.
#pragma once

#include <cstdint>
#include <utility>

#include "vectors.hpp"

namespace fathom {
namespace {

constexpr bool one_vector = vector_numbers == 16;  // a lane is one, and registers are plenty

struct Lane {
    static constexpr int vectors = 16 / vector_numbers;
    Vector part[vectors];
};

// A lane whose parts are what `make` returns for their numbers.
template <typename Make>
inline Lane by_part(Make make) {
    return [&]<int... I>(std::integer_sequence<int, I...>) {
        return Lane{{make(I)...}};
    }(std::make_integer_sequence<int, Lane::vectors>());
}

inline Lane operator+(const Lane& x, const Lane& y) {
    return by_part([&](int i) { return x.part[i] + y.part[i]; });
}
inline Lane operator-(const Lane& x, const Lane& y) {
    return by_part([&](int i) { return x.part[i] - y.part[i]; });
}
inline Lane operator*(const Lane& x, const Lane& y) {
    return by_part([&](int i) { return x.part[i] * y.part[i]; });
}
inline Lane operator*(const Lane& x, float y) {
    return by_part([&](int i) { return x.part[i] * y; });
}
inline Lane& operator+=(Lane& x, const Lane& y) { return x = x + y; }

// The greater of each two numbers; the second where one is none.
inline Lane greater(const Lane& x, const Lane& y) {
    return by_part([&](int i) { return x.part[i] > y.part[i] ? x.part[i] : y.part[i]; });
}

inline Lane read_lane(const float* from) {
    return by_part([&](int i) { return read(from + i * vector_numbers); });
}
inline void write_lane(float* to, const Lane& lane) {
    [&]<int... I>(std::integer_sequence<int, I...>) {
        (write(to + I * vector_numbers, lane.part[I]), ...);
    }(std::make_integer_sequence<int, Lane::vectors>());
}

}  // namespace
}  // namespace fathom
