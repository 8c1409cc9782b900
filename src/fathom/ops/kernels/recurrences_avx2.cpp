// Recurrences with AVX2.
#include "recurrences_kernels.hpp"

namespace fathom {
const Recurrences avx2_recurrences = recurrence_table("avx2");
}
