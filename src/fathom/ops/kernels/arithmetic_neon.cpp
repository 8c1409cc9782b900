// Arithmetic with NEON.
#include "halves_neon.hpp"

#include "arithmetic_kernels.hpp"

namespace fathom {
const Arithmetic neon_arithmetic = table("neon");
}
