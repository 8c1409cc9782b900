// Norms over groups of channels with AVX2.
#include "group_norm_kernels.hpp"

namespace fathom {
const GroupNormKernels avx2_group_norm = group_norm_table("avx2");
}
