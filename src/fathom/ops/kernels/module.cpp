// The extension module `fathom.ops.kernels._native`.
#include "binding.hpp"

NB_MODULE(_native, module) {
    module.doc() = "Kernels for the processor: packed matrices, and programs of steps over them.";
    fathom::bind_filling(module);
    fathom::bind_matrices(module);
    fathom::bind_planes(module);
    fathom::bind_program(module);
    fathom::bind_sampling(module);
    fathom::bind_layers(module);
}
