#include "cpu.hpp"

#include <cstring>
#include <initializer_list>
#include <utility>

namespace fathom {

extern const Kernels portable_kernels;
#if defined(__x86_64__)
extern const Kernels avx512_bfloat16_kernels, avx512_kernels, avx2_kernels;
#endif

namespace {

#if defined(__x86_64__)
std::string missing(std::initializer_list<std::pair<const char*, bool>> wanted) {
    std::string names;
    for (const auto& [name, present] : wanted) {
        if (!present) names += (names.empty() ? "" : ", ") + std::string(name);
    }
    return names;
}

std::vector<Variant> found() {
    __builtin_cpu_init();  // asks the system too whether it saves the wide registers
#define FATHOM_HAS(name) {name, __builtin_cpu_supports(name) != 0}
    const std::string narrow = missing({FATHOM_HAS("avx2"), FATHOM_HAS("fma"), FATHOM_HAS("f16c")});
    const std::string wide =
        missing({FATHOM_HAS("avx512f"), FATHOM_HAS("avx512bw"), FATHOM_HAS("avx512vl"),
                 FATHOM_HAS("avx512dq"), FATHOM_HAS("avx512vnni")});
    const std::string pairs = missing({FATHOM_HAS("avx512bf16")});
#undef FATHOM_HAS
    const std::string all = wide + (wide.empty() || pairs.empty() ? "" : ", ") + pairs;
    return {{&avx512_bfloat16_kernels, all},
            {&avx512_kernels, wide},
            {&avx2_kernels, narrow},
            {&portable_kernels, ""}};
}
#else
std::vector<Variant> found() { return {{&portable_kernels, ""}}; }
#endif

// The best variant, and in a sentence what the processor lacks for each better one.
Kernels chosen() {
    static std::string reason;
    for (const Variant& variant : variants()) {
        if (variant.lacks.empty()) {
            Kernels best = *variant.kernels;
            best.reason = reason.c_str();
            return best;
        }
        reason += (reason.empty() ? "" : "; ") + std::string(variant.kernels->name);
        reason += " needs " + variant.lacks;
    }
    return portable_kernels;  // the last variant lacks nothing
}

}  // namespace

const std::vector<Variant>& variants() {
    static const std::vector<Variant> all = found();
    return all;
}

const Kernels& kernels() {
    static const Kernels best = chosen();
    return best;
}

const Kernels* kernels_named(const char* name) {
    for (const Variant& variant : variants()) {
        if (std::strcmp(variant.kernels->name, name) == 0) {
            return variant.lacks.empty() ? variant.kernels : nullptr;
        }
    }
    return nullptr;
}

void multiply(const PackedMatrix& matrix, const Activations& activations, std::int64_t begin,
              std::int64_t end, float* y, std::int64_t stride) {
    kernels().multiply(matrix, activations, begin, end, y, stride);
}

void quantise(ActivationKind kind, const float* x, std::int64_t stride, std::int64_t tokens,
              std::int64_t columns, std::int64_t begin, std::int64_t end,
              std::uint8_t* destination) {
    kernels().quantise(kind, x, stride, tokens, columns, begin, end, destination);
}

}  // namespace fathom
