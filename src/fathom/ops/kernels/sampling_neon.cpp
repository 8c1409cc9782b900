// Drawing of tokens with NEON.
#include "sampling_kernels.hpp"

namespace fathom {
const Draw neon_draw = draw_one;
}
