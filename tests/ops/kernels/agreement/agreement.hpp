// What the checks share: numbers to compute with, and the comparison of two results.
//
// This program holds every variant of the kernels that its processor has to the portable one,
// without Python, so that it also runs where there is only an emulator. The portable ones are held
// to PyTorch by the tests beside this folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace agreement {

using Numbers = std::vector<float>;

// Ordinary numbers, (count), the same at every run.
Numbers ordinary(std::int64_t count, std::uint32_t seed);

// Bytes of any value, (count).
std::vector<std::uint8_t> any_bytes(std::int64_t count, std::uint32_t seed);

// Notes a difference of more than `tolerance` of the largest expected number, or where one is a
// number and the other is not; `what` is made into words only then.
void near(const std::string& what, const Numbers& found, const Numbers& expected, float tolerance);

// Notes what has to hold and does not.
void holds(const std::string& what, bool right);

// What was compared and what differed, so far.
std::size_t compared();
const std::vector<std::string>& differences();

void check_products();
void check_arithmetic();
void check_recurrences();
void check_latents();
void check_seeing();
void check_convolutions();

}  // namespace agreement
