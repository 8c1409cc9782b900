// Sixteen numbers that go together, in as many vectors as the instructions need for them. A vector
// type that is wider than the registers would be kept in memory by the compiler, and every sum in
// it. Everything is static: objects for different sets of instructions must not share code.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

namespace fathom {
namespace {

#if defined(__AVX512F__)
constexpr int register_numbers = 16;
#elif defined(__AVX__)
constexpr int register_numbers = 8;
#else
constexpr int register_numbers = 4;
#endif
constexpr bool whole_registers = register_numbers == 16;  // a lane is one, and there are plenty

typedef float Register __attribute__((vector_size(4 * register_numbers)));

struct Lane {
    static constexpr int registers = 16 / register_numbers;
    Register part[registers];
};

// A lane whose parts are what `make` returns for their numbers.
template <typename Make>
inline Lane by_part(Make make) {
    return [&]<int... I>(std::integer_sequence<int, I...>) {
        return Lane{{make(I)...}};
    }(std::make_integer_sequence<int, Lane::registers>());
}

inline Lane all(float number) {
    return by_part([&](int) { return number - Register{}; });
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
    return by_part([&](int i) {
        Register part;
        std::memcpy(&part, from + i * register_numbers, sizeof part);
        return part;
    });
}
inline void write_lane(float* to, const Lane& lane) {
    [&]<int... I>(std::integer_sequence<int, I...>) {
        (std::memcpy(to + I * register_numbers, &lane.part[I], sizeof(Register)), ...);
    }(std::make_integer_sequence<int, Lane::registers>());
}

}  // namespace
}  // namespace fathom
