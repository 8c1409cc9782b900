// Attention over latents with AVX2.
#include "halves_avx2.hpp"

#include "latents_kernels.hpp"

namespace fathom {
const LatentKernels avx2_latents = latent_table("avx2");
}
