// Attention among tokens that come at once for any processor, and the choice among all.
#include "seeing.hpp"

#include <string_view>

#include "cpu.hpp"
#include "seeing_kernels.hpp"

namespace fathom {

const SeeingKernels portable_seeing = seeing_table("portable");

const SeeingKernels& seeing_kernels() {
    [[maybe_unused]] const std::string_view name = kernels().name;
#if defined(__x86_64__)
    if (name.starts_with("avx512")) return avx512_seeing;
    if (name.starts_with("avx2")) return avx2_seeing;
#elif defined(__aarch64__)
    if (name.starts_with("neon")) return neon_seeing;
#endif
    return portable_seeing;
}

}  // namespace fathom
