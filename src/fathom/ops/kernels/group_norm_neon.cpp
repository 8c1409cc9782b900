// Norms over groups of channels with NEON.
#include "group_norm_kernels.hpp"

namespace fathom {
const GroupNormKernels neon_group_norm = group_norm_table("neon");
}
