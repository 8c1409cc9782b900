// Attention among tokens that come at once with AVX-512.
#include "seeing_kernels.hpp"

namespace fathom {
const SeeingKernels avx512_seeing = seeing_table("avx512");
}
