// Drawing of tokens with AVX-512.
#include "sampling_kernels.hpp"

namespace fathom {
const Draw avx512_draw = draw_one;
}
