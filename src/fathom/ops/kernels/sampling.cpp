// Drawing of tokens for any processor, and the choice among all.
#include "sampling.hpp"

#include <string_view>

#include "cpu.hpp"
#include "sampling_kernels.hpp"

namespace fathom {

const Draw portable_draw = draw_one;

Draw draw() {
    [[maybe_unused]] const std::string_view name = kernels().name;
#if defined(__x86_64__)
    if (name.starts_with("avx512")) return avx512_draw;
    if (name.starts_with("avx2")) return avx2_draw;
#elif defined(__aarch64__)
    if (name.starts_with("neon")) return neon_draw;
#endif
    return portable_draw;
}

}  // namespace fathom
