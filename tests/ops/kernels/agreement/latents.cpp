// Attention over latents: keys of one page and of several, in either type.
#include "latents.hpp"

#include <string>

#include "agreement.hpp"

using namespace fathom;

namespace agreement {
namespace {

static_assert(sizeof(LatentKernels) == 3 * sizeof(void*), "a further function needs a check here");

struct Shape {
    std::int64_t width, latent;
};
constexpr Shape shapes[] = {{3, 1}, {20, 12}, {33, 24}, {72, 64}};
constexpr std::int32_t spans[][2] = {{0, 1}, {0, 77}, {5, 32}, {40, 96}};

std::vector<std::uint8_t> pages_of(const LatentKernels& by, StateType type, std::int64_t width) {
    const std::int64_t key_bytes = width * (type == StateType::Float32 ? 4 : 2);
    std::vector<std::uint8_t> pages(static_cast<std::size_t>(3 * page_tokens * key_bytes));
    for (std::int64_t token = 0; token < 3 * page_tokens; ++token) {
        const Numbers key = ordinary(width, static_cast<std::uint32_t>(token));
        by.store(key.data(), width, type, pages.data() + token * key_bytes);
    }
    return pages;
}

void check_attention(const std::vector<std::uint8_t>& pages, StateType type, const Shape& shape,
                     const std::int32_t (&span)[2]) {
    const std::int64_t page_bytes =
        page_tokens * shape.width * (type == StateType::Float32 ? 4 : 2);
    const std::int32_t table[] = {1, 2, 0};
    const Numbers queries = ordinary(shape.width * latent_heads, 2);
    const auto run = [&](const LatentKernels& by, Numbers& softmax) {
        Numbers results(static_cast<std::size_t>(shape.latent * latent_heads));
        Numbers room(static_cast<std::size_t>(page_tokens * shape.width));
        softmax.resize(2 * latent_heads);
        by.attend({shape.width, shape.latent, queries.data(), results.data(), softmax.data(),
                   softmax.data() + latent_heads, span[0], span[1], pages.data(), page_bytes, table,
                   type, room.data()});
        return results;
    };
    Numbers found_softmax, expected_softmax;
    const Numbers found = run(latent_kernels(), found_softmax);
    const Numbers expected = run(portable_latents, expected_softmax);
    const std::string what = "attention over latents of " + std::to_string(shape.latent);
    near(what, found, expected, 2e-5F);
    near(what + ", its softmax", found_softmax, expected_softmax, 2e-5F);
}

}  // namespace

void check_latents() {
    for (const StateType type : {StateType::Float32, StateType::Float16}) {
        for (const Shape& shape : shapes) {
            const auto pages = pages_of(portable_latents, type, shape.width);
            holds("latents in pages", pages == pages_of(latent_kernels(), type, shape.width));
            for (const auto& span : spans) check_attention(pages, type, shape, span);
        }
    }
}

}  // namespace agreement
