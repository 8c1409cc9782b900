// Attention over latents for any processor, and the choice among all.
#include "latents.hpp"

#include <string_view>

#include "cpu.hpp"
#include "halves_portable.hpp"

#include "latents_kernels.hpp"

namespace fathom {

const LatentKernels portable_latents = latent_table("portable");

const LatentKernels& latent_kernels() {
    [[maybe_unused]] const std::string_view name = kernels().name;
#if defined(__x86_64__)
    if (name.starts_with("avx512")) return avx512_latents;
    if (name.starts_with("avx2")) return avx2_latents;
#elif defined(__aarch64__)
    if (name.starts_with("neon")) return neon_latents;
#endif
    return portable_latents;
}

}  // namespace fathom
