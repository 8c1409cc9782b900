// Products with SDOT and BFDOT. Nothing here runs before cpu.cpp has seen both instructions.
#include "products_neon.hpp"

namespace fathom {
extern const Kernels neon_bfloat16_kernels = {"neon-dotprod-bf16", "", multiply_packed<Neon>,
                                              quantise_tokens<Neon>};
}
