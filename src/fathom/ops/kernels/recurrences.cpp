// Recurrences for any processor, and the choice among all.
#include "recurrences.hpp"

#include <string_view>

#include "cpu.hpp"
#include "recurrences_kernels.hpp"

namespace fathom {

const Recurrences portable_recurrences = recurrence_table("portable");

const Recurrences& recurrences() {
    [[maybe_unused]] const std::string_view name = kernels().name;
#if defined(__x86_64__)
    if (name.starts_with("avx512")) return avx512_recurrences;
    if (name.starts_with("avx2")) return avx2_recurrences;
#elif defined(__aarch64__)
    if (name.starts_with("neon")) return neon_recurrences;
#endif
    return portable_recurrences;
}

}  // namespace fathom
