// Convolutions with AVX-512.
#include "convolution_kernels.hpp"

namespace fathom {
const ConvolutionKernels avx512_convolution = convolution_table("avx512");
}
