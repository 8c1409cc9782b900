#include "cpu.hpp"

#include <cstring>
#include <initializer_list>
#include <utility>

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace fathom {

extern const Kernels portable_kernels;
#if defined(__x86_64__)
extern const Kernels avx512_bfloat16_kernels, avx512_kernels, avx2_kernels;
#elif defined(__aarch64__)
extern const Kernels neon_bfloat16_kernels, neon_dotprod_kernels, neon_kernels;
#endif

namespace {

[[maybe_unused]] std::string missing(std::initializer_list<std::pair<const char*, bool>> wanted) {
    std::string names;
    for (const auto& [name, present] : wanted) {
        if (!present) names += (names.empty() ? "" : ", ") + std::string(name);
    }
    return names;
}

#if defined(__x86_64__)
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
#elif defined(__aarch64__)
// Extensions by the system's word: a program may not ask an ARM processor itself.
struct Extensions {
    bool dotprod = false, bf16 = false;
};

Extensions extensions() {
#if defined(__linux__)
    return {(getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0, (getauxval(AT_HWCAP2) & HWCAP2_BF16) != 0};
#elif defined(__APPLE__)
    const auto has = [](const char* name) {
        int value = 0;
        std::size_t size = sizeof value;
        return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
    };
    return {has("hw.optional.arm.FEAT_DotProd"), has("hw.optional.arm.FEAT_BF16")};
#else
    return {};
#endif
}

std::vector<Variant> found() {
    const auto [dotprod, bf16] = extensions();
    return {{&neon_bfloat16_kernels, missing({{"dotprod", dotprod}, {"bf16", bf16}})},
            {&neon_dotprod_kernels, missing({{"dotprod", dotprod}})},
            {&neon_kernels, ""},
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
