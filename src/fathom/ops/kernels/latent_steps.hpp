// Steps of attention over latents (DeepSeek-V2, arXiv 2405.04434, section 2.1) in its absorbed
// form: queries are mapped to the latent, so that a token leaves one narrow key for all heads.
#pragma once

#include <vector>

#include "latents.hpp"
#include "program.hpp"
#include "steps.hpp"

namespace fathom {

// Each head's part of a row through that head's own matrix; results fill the target's rows.
struct MultiplyHeadsStep final : Step {
    int source, target, room;     // room: a row per head and token, as wide as a matrix
    std::int64_t offset, stride;  // of the first head's part, and from head to head
    std::vector<PackedMatrix> matrices;

    void run(Run& run, Team& team) const override;
};

struct LatentHeads {
    int queries;  // rows of heads: plain numbers, then those that are turned
    std::int64_t heads, plain, latent, turned;
    std::size_t pool;
    std::int64_t page_offset;  // bytes that layers before this one take in each page
    StateType type;

    std::int64_t width() const { return latent + turned; }  // of a key
    std::int64_t row_bytes() const { return width() * (type == StateType::Float32 ? 4 : 2); }
    std::int64_t page_bytes() const { return page_tokens * row_bytes(); }
    std::uint8_t* pages(const Pool& found) const { return found.pages + page_offset * found.count; }
};

// Norms a token's latent, turns what has to be turned and writes the key to its page.
struct PlaceLatentStep final : Step {
    LatentHeads heads;
    int latents, angles;  // latents: rows of keys
    bool interleaved;
    NormShape norm;

    void run(Run& run, Team& team) const override;
};

// Every query meets the keys before it; a head's result is a sum of latents.
struct AttendLatentStep final : Step {
    LatentHeads heads;
    int asked, target;  // asked: queries that were mapped to the latent
    float scale;

    void run(Run& run, Team& team) const override;
    std::int64_t scratch(int threads) const override;

private:
    struct Item {
        std::int64_t token, group;  // of heads
    };
    std::int64_t groups() const { return (heads.heads + latent_heads - 1) / latent_heads; }
    std::int64_t partial_floats() const { return (heads.latent + 2) * latent_heads; }
    std::int64_t own_floats() const;
    std::int64_t parts(const Run& run, std::int64_t token) const;
    Item item(std::int64_t index) const { return {index / groups(), index % groups()}; }
    void attend(const Run& run, const Item& item, std::int64_t part, float* own,
                float* partial) const;
    void merge(const float* partial, float* joined) const;
    void deliver(const Run& run, const Item& item, const float* joined) const;
};

}  // namespace fathom
