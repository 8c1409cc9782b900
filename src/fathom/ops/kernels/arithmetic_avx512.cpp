// Arithmetic with AVX-512.
#include "halves_avx512.hpp"

#include "arithmetic_kernels.hpp"
#include "prompt_attention_avx512.hpp"

namespace fathom {
const Arithmetic avx512_arithmetic = table("avx512");
const Arithmetic avx512_bfloat16_arithmetic = table("avx512-bf16", attend_prompt);
}
