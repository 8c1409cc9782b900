// Attention over latents with NEON.
#include "halves_neon.hpp"

#include "latents_kernels.hpp"

namespace fathom {
const LatentKernels neon_latents = latent_table("neon");
}
