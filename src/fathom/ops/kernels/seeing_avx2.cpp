// Attention among tokens that come at once with AVX2.
#include "seeing_kernels.hpp"

namespace fathom {
const SeeingKernels avx2_seeing = seeing_table("avx2");
}
