// Arithmetic for any processor, and the choice among all.
#include "arithmetic.hpp"

#include <string_view>

#include "cpu.hpp"
#include "halves_portable.hpp"

#include "arithmetic_kernels.hpp"

namespace fathom {

const Arithmetic portable_arithmetic = table("portable");

const Arithmetic& arithmetic() {
    [[maybe_unused]] const std::string_view name = kernels().name;
#if defined(__x86_64__)
    if (name == "avx512-vnni-bf16") return avx512_bfloat16_arithmetic;
    if (name.starts_with("avx512")) return avx512_arithmetic;
    if (name.starts_with("avx2")) return avx2_arithmetic;
#elif defined(__aarch64__)
    if (name.starts_with("neon")) return neon_arithmetic;
#endif
    return portable_arithmetic;
}

}  // namespace fathom
