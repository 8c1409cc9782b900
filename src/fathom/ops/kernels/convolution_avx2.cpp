// Convolutions with AVX2.
#include "convolution_kernels.hpp"

namespace fathom {
const ConvolutionKernels avx2_convolution = convolution_table("avx2");
}
