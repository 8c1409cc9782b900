// Dense attention with AVX-512, and with products of pairs of bfloat16.
#include "dense_attention_kernels.hpp"

namespace fathom {
const DenseAttentionKernels avx512_dense_attention = dense_attention_table("avx512");
const DenseAttentionKernels avx512_bfloat16_dense_attention = {
    "avx512-bf16", tile_queries, true, any_room, lay_any_out, attend_any};
}
