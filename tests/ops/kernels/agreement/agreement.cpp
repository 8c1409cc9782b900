#include "agreement.hpp"

#include <cmath>
#include <random>

namespace agreement {
namespace {

std::vector<std::string> differing;
std::size_t seen = 0;

float largest(const Numbers& numbers) {
    float most = 0;
    for (const float each : numbers) {
        if (std::isfinite(each) && std::fabs(each) > most) most = std::fabs(each);
    }
    return most;
}

}  // namespace

Numbers ordinary(std::int64_t count, std::uint32_t seed) {
    std::mt19937 random(seed);
    Numbers numbers(static_cast<std::size_t>(count));
    for (float& each : numbers) {  // the sum of four is near enough to a normal one
        double sum = -2;
        for (int part = 0; part < 4; ++part) sum += random() / 4294967296.0;
        each = static_cast<float>(sum * 1.7);
    }
    return numbers;
}

std::vector<std::uint8_t> any_bytes(std::int64_t count, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(count));
    for (std::uint8_t& each : bytes) each = static_cast<std::uint8_t>(random());
    return bytes;
}

void near(const std::string& what, const Numbers& found, const Numbers& expected, float tolerance) {
    const float allowed = tolerance * largest(expected);
    for (std::size_t place = 0; place < expected.size(); ++place) {
        const float one = found[place], other = expected[place];
        const bool alike = std::isfinite(other) ? std::fabs(one - other) <= allowed
                                                : std::isnan(one) == std::isnan(other) &&
                                                      (std::isnan(one) || one == other);
        if (alike) continue;
        return holds(what + " [" + std::to_string(place) + "]: " + std::to_string(one) +
                         ", expected " + std::to_string(other),
                     false);
    }
    holds(what, found.size() == expected.size());
}

void holds(const std::string& what, bool right) {
    ++seen;
    if (!right) differing.push_back(what);
}

std::size_t compared() { return seen; }
const std::vector<std::string>& differences() { return differing; }

}  // namespace agreement
