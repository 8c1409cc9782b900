// Products with SDOT. Nothing here runs before cpu.cpp has seen the instruction.
#include "products_neon.hpp"

namespace fathom {
extern const Kernels neon_dotprod_kernels = {"neon-dotprod", "", multiply_packed<Neon>,
                                             quantise_tokens<Neon>};
}
