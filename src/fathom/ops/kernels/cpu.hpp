// Which instructions this processor has, and the kernels that use them: chosen once, at run time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "packed.hpp"

namespace fathom {

// The functions that have a variant per instruction set. Semantics as in packed.hpp.
struct Kernels {
    const char* name;    // such as "avx512-vnni-bf16", "neon-dotprod" or "portable"
    const char* reason;  // why not a better one; empty for the best
    void (*multiply)(const PackedMatrix& matrix, const Activations& activations, std::int64_t begin,
                     std::int64_t end, float* y, std::int64_t stride);
    void (*quantise)(ActivationKind kind, const float* x, std::int64_t stride, std::int64_t tokens,
                     std::int64_t columns, std::int64_t begin, std::int64_t end,
                     std::uint8_t* destination);
};

// The best kernels of this processor.
const Kernels& kernels();

// Kernels by name, or nullptr where this processor or this build has none.
const Kernels* kernels_named(const char* name);

// A variant that this build has, and what the processor lacks for it: empty if nothing.
struct Variant {
    const Kernels* kernels;
    std::string lacks;
};

// Every variant of this build, best first; the last one always works.
const std::vector<Variant>& variants();

}  // namespace fathom
