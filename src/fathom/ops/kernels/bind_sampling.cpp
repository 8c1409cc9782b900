// Drawing of tokens, for Python.
#include <nanobind/ndarray.h>

#include <stdexcept>
#include <vector>

#include "binding.hpp"
#include "sampling.hpp"

namespace fathom {

namespace nb = nanobind;

namespace {

using Scores = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

std::int64_t draw_token(const Scores& scores, float temperature, std::int64_t top_k, double top_p,
                        double min_p, double share) {
    const auto count = static_cast<std::int64_t>(scores.shape(0));
    const bool sound = count > 0 && count <= INT32_MAX && temperature > 0 && top_k >= 0 &&
                       0 <= top_p && top_p <= 1 && 0 <= min_p && min_p <= 1 && 0 <= share &&
                       share < 1;
    if (!sound) throw std::invalid_argument("there are scores, and every number is in its range");
    const auto room = static_cast<std::size_t>(count);
    // Kept: taking such memory from the system takes longer than a draw.
    static thread_local std::vector<float> weights;
    static thread_local std::vector<std::int32_t> places;
    if (weights.size() < room) weights.resize(room);
    if (places.size() < room) places.resize(room);
    return draw()({scores.data(), count, temperature, top_k, top_p, min_p, share, weights.data(),
                   places.data()});
}

}  // namespace

void bind_sampling(nb::module_& module) {
    using namespace nb::literals;
    module.def("draw", draw_token, "scores"_a, "temperature"_a, "top_k"_a, "top_p"_a, "min_p"_a,
               "share"_a,
               "Return the token of (vocabulary,) scores at a share of the probability of those"
               " that are left, or -1 where the best score is no finite number.");
}

}  // namespace fathom
