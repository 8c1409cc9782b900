// What each file that binds functions to Python adds to the one extension module.
#pragma once

#include <nanobind/nanobind.h>

namespace fathom {

void bind_filling(nanobind::module_& module);
void bind_matrices(nanobind::module_& module);
void bind_planes(nanobind::module_& module);
void bind_program(nanobind::module_& module);
void bind_sampling(nanobind::module_& module);
void bind_layers(nanobind::module_& module);

}  // namespace fathom
