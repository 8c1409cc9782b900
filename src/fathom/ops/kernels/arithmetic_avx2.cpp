// Arithmetic with AVX2, FMA and F16C.
#include "halves_avx2.hpp"

#include "arithmetic_kernels.hpp"

namespace fathom {
const Arithmetic avx2_arithmetic = table("avx2");
}
