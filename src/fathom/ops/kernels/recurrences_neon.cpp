// Recurrences with NEON.
#include "recurrences_kernels.hpp"

namespace fathom {
const Recurrences neon_recurrences = recurrence_table("neon");
}
