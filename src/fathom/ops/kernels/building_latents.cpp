// Steps of attention over latents, checked and joined to the program.
#include <algorithm>

#include "builder.hpp"

namespace fathom {

void Builder::multiply_heads(const std::pair<int, std::int64_t>& source, std::int64_t stride,
                             int target, int room, const std::vector<nb::object>& matrices) {
    require(!matrices.empty(), "heads have matrices");
    MultiplyHeadsStep step;
    for (const nb::object& described : matrices) step.matrices.push_back(matrix(described));
    const PackedMatrix& first = step.matrices[0];
    const auto heads = static_cast<std::int64_t>(matrices.size());
    for (const PackedMatrix& each : step.matrices) {
        require(each.rows == first.rows && each.columns == first.columns &&
                    each.encoding == first.encoding,
                "matrices of heads are alike");
    }
    require(stride >= first.columns, "parts of heads lie apart");
    step.offset = column(source, (heads - 1) * stride + first.columns).offset;
    require(program_.at(target).width == heads * first.rows, "heads fill their rows");
    require(program_.at(room).width == first.columns && program_.at(room).repeats == heads,
            "a row for every head");
    program_.reserve(room, activation_kind(first.encoding));
    step.source = source.first;
    step.stride = stride;
    step.target = target;
    step.room = room;
    append(std::move(step), target);
}

LatentHeads Builder::latent_heads_of(const nb::tuple& described) {
    LatentHeads heads;
    heads.queries = nb::cast<int>(described[0]);
    heads.heads = nb::cast<std::int64_t>(described[1]);
    heads.plain = nb::cast<std::int64_t>(described[2]);
    heads.latent = nb::cast<std::int64_t>(described[3]);
    heads.turned = nb::cast<std::int64_t>(described[4]);
    heads.pool = nb::cast<std::size_t>(described[5]);
    heads.page_offset = nb::cast<std::int64_t>(described[6]);
    heads.type = nb::cast<bool>(described[7]) ? StateType::Float32 : StateType::Float16;
    require(heads.heads > 0 && heads.plain > 0 && heads.latent > 0 && heads.turned > 0 &&
                heads.turned % 2 == 0,
            "heads have widths");
    require(heads.heads * (heads.plain + heads.turned) == program_.at(heads.queries).width,
            "heads fill their rows");
    require(heads.page_offset >= 0 && heads.page_offset % alignment == 0, "heads are aligned");
    if (page_bytes_.size() <= heads.pool) page_bytes_.resize(heads.pool + 1);
    std::int64_t& bytes = page_bytes_[heads.pool];
    bytes = std::max(bytes, heads.page_offset + heads.page_bytes());
    return heads;
}

void Builder::place_latent(const nb::tuple& heads, int latents, int angles, bool interleaved,
                           const nb::tuple& norm) {
    PlaceLatentStep step;
    step.heads = latent_heads_of(heads);
    step.latents = latents;
    step.angles = angles;
    step.interleaved = interleaved;
    step.norm = norm_shape(norm);
    require(step.norm.width * step.norm.parts == step.heads.latent, "a norm of the latent");
    require(program_.at(latents).width == step.heads.width(), "a key is a latent and what turns");
    require(program_.at(angles).width == step.heads.turned, "cosines and sines");
    append(std::move(step), latents);
}

void Builder::attend_latent(const nb::tuple& heads, int asked, int target, float scale) {
    AttendLatentStep step;
    step.heads = latent_heads_of(heads);
    step.asked = asked;
    step.target = target;
    step.scale = scale;
    const std::int64_t width = step.heads.heads * step.heads.latent;
    require(program_.at(asked).width == width && program_.at(target).width == width,
            "heads fill their rows");
    append(std::move(step), target);
}

}  // namespace fathom
