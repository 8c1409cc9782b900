// Norms over groups of channels with AVX-512.
#include "group_norm_kernels.hpp"

namespace fathom {
const GroupNormKernels avx512_group_norm = group_norm_table("avx512");
}
