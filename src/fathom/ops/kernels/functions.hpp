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
