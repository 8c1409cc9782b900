// Attention over latents with AVX-512.
#include "halves_avx512.hpp"

#include "latents_kernels.hpp"

namespace fathom {
const LatentKernels avx512_latents = latent_table("avx512");
}
