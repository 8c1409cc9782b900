// Dense attention with AVX2.
#include "dense_attention_kernels.hpp"

namespace fathom {
const DenseAttentionKernels avx2_dense_attention = dense_attention_table("avx2");
}
