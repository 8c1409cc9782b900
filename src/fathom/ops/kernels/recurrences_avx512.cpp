// Recurrences with AVX-512.
#include "recurrences_kernels.hpp"

namespace fathom {
const Recurrences avx512_recurrences = recurrence_table("avx512");
}
