// Packed matrices as Python sees them.
#include "binding.hpp"

namespace fathom {

void bind_matrices(nanobind::module_&) {}

}  // namespace fathom
