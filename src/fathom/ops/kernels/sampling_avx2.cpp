// Drawing of tokens with AVX2.
#include "sampling_kernels.hpp"

namespace fathom {
const Draw avx2_draw = draw_one;
}
