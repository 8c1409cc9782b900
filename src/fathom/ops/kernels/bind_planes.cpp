// What is done to planes whose channels lie last, and to their places, as Python sees it. Numbers are float32, or
// bfloat16 as arrays of uint16.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include "binding.hpp"
#include "convolution.hpp"
#include "dense_attention.hpp"
#include "group_norm.hpp"

namespace nb = nanobind;

namespace fathom {
namespace {

using Planes = nb::ndarray<nb::ndim<4>, nb::device::cpu>;
using Each = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Channels = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

void check(bool right, const char* otherwise) {
    if (!right) throw std::invalid_argument(otherwise);
}

bool is_bfloat16(const Planes& planes) {
    check(planes.dtype() == nb::dtype<float>() || planes.dtype() == nb::dtype<std::uint16_t>(),
          "numbers are float32, or bfloat16 as uint16");
    return planes.dtype() == nb::dtype<std::uint16_t>();
}

// (batch, height, width, channels), without gaps.
void check_planes(const Planes& planes, bool bfloat16) {
    check(is_bfloat16(planes) == bfloat16, "planes and weights are of one type");
    std::int64_t step = 1;
    for (std::size_t axis = 4; axis-- > 0;) {
        const bool as_it_must = planes.shape(axis) <= 1 || planes.stride(axis) == step;
        check(as_it_must, "channels lie last, and there are no gaps");
        step *= static_cast<std::int64_t>(planes.shape(axis));
    }
}

bool same_shape(const Planes& one, const Planes& other) {
    for (std::size_t axis = 0; axis < 4; ++axis) {
        if (one.shape(axis) != other.shape(axis)) return false;
    }
    return true;
}

std::int64_t side(const Planes& planes, std::size_t axis) {
    return static_cast<std::int64_t>(planes.shape(axis));
}

template <class Kernels>
const Kernels& chosen(const std::optional<std::string>& name, const Kernels& best,
                      const Kernels* (*named)(const char*)) {
    if (!name) return best;
    if (const Kernels* found = named(name->c_str())) return *found;
    throw std::invalid_argument("this processor has no kernels named " + *name);
}

void convolve_planes(const Planes& source, const Planes& weights,
                     const std::optional<Channels>& bias, const std::optional<Planes>& added,
                     const Planes& results, int threads, const std::optional<std::string>& variant) {
    const bool bfloat16 = is_bfloat16(weights);
    check_planes(source, bfloat16);
    check_planes(results, bfloat16);
    const std::int64_t height = side(results, 1), width = side(results, 2);
    const bool doubled = height != side(source, 1) || width != side(source, 2);
    const auto from = [&](std::int64_t size) { return doubled ? (size + 1) / 2 : size; };
    check(side(source, 0) == side(results, 0) && from(height) == side(source, 1) &&
              from(width) == side(source, 2),
          "results are as large as the source, or twice");
    check(side(weights, 0) == side(results, 3) && side(weights, 1) == side(source, 3) &&
              side(weights, 2) == 3 && side(weights, 3) == 3,
          "weights are (outputs, channels, 3, 3)");
    check(threads >= 1, "there is a thread at least");
    PlaneFiltering work{bfloat16, side(source, 0), height, width, side(source, 3), side(results, 3),
                    doubled, side(source, 1), side(source, 2), source.data(), weights.data(),
                    {weights.stride(0), weights.stride(1), weights.stride(2), weights.stride(3)},
                    nullptr, 0, nullptr, results.data()};
    if (bias) {
        const auto rows = static_cast<std::int64_t>(bias->shape(0));
        check(static_cast<std::int64_t>(bias->shape(1)) == work.outputs &&
                  (rows == 1 || rows == work.batch),
              "a bias for each output, of all or of each of the batch");
        work.bias = bias->data();
        work.bias_stride = rows == 1 ? 0 : work.outputs;
    }
    if (added) {
        check_planes(*added, bfloat16);
        check(same_shape(*added, results), "what is added has the shape of the results");
        work.added = added->data();
    }
    const ConvolutionKernels& kernels =
        chosen(variant, convolution_kernels(), convolution_kernels_named);
    const nb::gil_scoped_release released;
    convolve(kernels, work, threads);
}

void norm_planes(const Planes& source, const std::optional<Each>& weight,
                 const std::optional<Each>& bias, std::int64_t groups, float epsilon, bool silu,
                 const Planes& results, int threads, const std::optional<std::string>& variant) {
    const bool bfloat16 = is_bfloat16(source);
    check_planes(source, bfloat16);
    check_planes(results, bfloat16);
    check(same_shape(source, results), "results have the shape of the source");
    const std::int64_t channels = side(source, 3);
    check(groups >= 1 && channels % groups == 0, "groups are alike");
    for (const auto* each : {&weight, &bias}) {
        check(!*each || static_cast<std::int64_t>((*each)->size()) == channels,
              "a weight and a bias for each channel");
    }
    check(threads >= 1, "there is a thread at least");
    const GroupNorming work{bfloat16, silu, side(source, 0), side(source, 1) * side(source, 2),
                            channels, groups, epsilon, weight ? weight->data() : nullptr,
                            bias ? bias->data() : nullptr, source.data(), results.data()};
    const GroupNormKernels& kernels = chosen(variant, group_norm_kernels(), group_norm_kernels_named);
    const nb::gil_scoped_release released;
    norm_groups(kernels, work, threads);
}

// Heads (batch, heads, tokens, width), whose numbers lie side by side.
Heads heads_of(const Planes& heads) {
    check(heads.shape(3) <= 1 || heads.stride(3) == 1, "the numbers of a head lie side by side");
    return {heads.data(), heads.stride(0), heads.stride(1), heads.stride(2)};
}

void attend_places(const Planes& query, const Planes& key, const Planes& value, float scale,
                   const Planes& results, int threads, const std::optional<std::string>& variant) {
    const bool bfloat16 = is_bfloat16(query);
    for (const Planes* each : {&key, &value, &results}) {
        check(is_bfloat16(*each) == bfloat16, "all are of one type");
        check(each->shape(0) == query.shape(0) && each->shape(1) == query.shape(1),
              "all have as many heads");
    }
    check(key.shape(3) == query.shape(3) && value.shape(2) == key.shape(2) &&
              results.shape(2) == query.shape(2) && results.shape(3) == value.shape(3),
          "keys are as wide as queries, and as many as values");
    check(scale > 0 && threads >= 1, "the scale is above zero, and there is a thread at least");
    const DenseAttentionKernels& kernels =
        chosen(variant, dense_attention_kernels(), dense_attention_kernels_named);
    check(!bfloat16 || kernels.bfloat16, "these kernels have no products of bfloat16");
    const DenseAttending work{bfloat16, side(query, 0), side(query, 1), side(query, 2),
                              side(key, 2), side(query, 3), side(value, 3), scale,
                              heads_of(query), heads_of(key), heads_of(value), heads_of(results)};
    const nb::gil_scoped_release released;
    attend_densely(kernels, work, threads);
}

}  // namespace

void bind_planes(nb::module_& module) {
    using namespace nb::literals;
    module.def("convolve", convolve_planes, "source"_a, "weights"_a, "bias"_a.none(),
               "added"_a.none(), "results"_a, "threads"_a, "variant"_a = nb::none(),
               "Convolve planes (batch, rows, columns, channels) by weights (outputs, channels, 3,"
               " 3), with zeros around, every place standing for four where results are twice as"
               " large.");
    module.def("norm_groups", norm_planes, "source"_a, "weight"_a.none(), "bias"_a.none(),
               "groups"_a, "epsilon"_a, "silu"_a, "results"_a, "threads"_a,
               "variant"_a = nb::none(),
               "Norm planes (batch, rows, columns, channels) over groups of channels, and activate.");
    module.def("attend", attend_places, "query"_a, "key"_a, "value"_a, "scale"_a, "results"_a,
               "threads"_a, "variant"_a = nb::none(),
               "Attend from every query to every key, (batch, heads, tokens, width) all of them.");
    module.def(
        "attends_in_bfloat16", [] { return dense_attention_kernels().bfloat16; },
        "Whether `attend` takes bfloat16 here.");
}

}  // namespace fathom
