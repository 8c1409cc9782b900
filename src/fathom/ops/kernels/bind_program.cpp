// Programs as Python sees them.
#include "binding.hpp"

namespace fathom {

void bind_program(nanobind::module_&) {}

}  // namespace fathom
