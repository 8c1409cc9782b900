// Attention among tokens that come at once with NEON.
#include "seeing_kernels.hpp"

namespace fathom {
const SeeingKernels neon_seeing = seeing_table("neon");
}
