// Products with what every 64-bit ARM processor has.
#include "products_neon.hpp"

namespace fathom {
extern const Kernels neon_kernels = {"neon", "", multiply_packed<Neon>, quantise_tokens<Neon>};
}
