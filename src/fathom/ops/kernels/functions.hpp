// Functions of one number that compilers make vectors of. Everything is static: objects for
// different sets of instructions must not share code.
#pragma once

#include "floats.hpp"

namespace fathom {
namespace {

// e^x to about one unit in the last place; below 2^-126 it stays there, above 2^127 as well.
// Cephes' polynomial on [-ln 2 / 2, ln 2 / 2].
inline float exponential(float x) {
    x = x < -87.3F ? -87.3F : x;
    x = x > 88.3F ? 88.3F : x;
    const float shifted = x * 1.44269504F + 12582912.0F;  // the low bits are the exponent
    const float n = shifted - 12582912.0F;
    const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
    float p = 1.9875691500e-4F;
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * r * r + r + 1.0F;
    return p * from_bits((to_bits(shifted) << 23) + 0x3f800000U);
}

// ln x of a positive number, to about one unit in the last place. Cephes' polynomial on
// [√½, √2].
inline float logarithm(float x) {
    const std::uint32_t bits = to_bits(x);
    const std::int32_t exponent = static_cast<std::int32_t>(bits - 0x3f3504f3U) >> 23;
    const float r = from_bits(bits - (static_cast<std::uint32_t>(exponent) << 23)) - 1.0F;
    const auto n = static_cast<float>(exponent);
    float p = 7.0376836292e-2F;
    p = p * r - 1.1514610310e-1F;
    p = p * r + 1.1676998740e-1F;
    p = p * r - 1.2420140846e-1F;
    p = p * r + 1.4249322787e-1F;
    p = p * r - 1.6668057665e-1F;
    p = p * r + 2.0000714765e-1F;
    p = p * r - 2.4999993993e-1F;
    p = p * r + 3.3333331174e-1F;
    const float square = r * r;
    return (r + (p * r * square - n * 2.12194440e-4F - 0.5F * square)) + n * 0.693359375F;
}

// ln(1 + e^x); the quotient puts back what 1 + e^x lost (Kahan).
inline float soft_plus(float x) {
    const float grown = exponential(x), above = 1.0F + grown;
    const float found = logarithm(above) * (grown / (above - 1.0F));
    const float small = grown * (1.0F - grown * (0.5F - grown * (1.0F / 3)));
    return x > 20.0F ? x : grown < 1e-2F ? small : found;
}

inline float logistic(float x) { return 1.0F / (1.0F + exponential(-x)); }
inline float hyperbolic_tangent(float x) {
    const float tangent = 1.0F - 2.0F / (exponential(2.0F * x) + 1.0F);
    const float square = x * x;  // near zero the difference above loses digits
    return square < 0.01F ? x * (1.0F - square * (1.0F / 3 - square * (2.0F / 15))) : tangent;
}

// Abramowitz & Stegun 7.1.26, off by at most 1.5e-7.
inline float error_function(float x) {
    const float size = x < 0 ? -x : x;
    const float t = 1.0F / (1.0F + 0.3275911F * size);
    float p = 1.061405429F;
    p = p * t - 1.453152027F;
    p = p * t + 1.421413741F;
    p = p * t - 0.284496736F;
    p = p * t + 0.254829592F;
    const float found = 1.0F - p * t * exponential(-size * size);
    return x < 0 ? -found : found;
}

}  // namespace
}  // namespace fathom
