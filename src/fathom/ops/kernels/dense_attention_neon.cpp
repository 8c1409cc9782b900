// Dense attention with NEON.
#include "dense_attention_kernels.hpp"

namespace fathom {
const DenseAttentionKernels neon_dense_attention = dense_attention_table("neon");
}
