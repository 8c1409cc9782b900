// Convolutions with NEON.
#include "convolution_kernels.hpp"

namespace fathom {
const ConvolutionKernels neon_convolution = convolution_table("neon");
}
