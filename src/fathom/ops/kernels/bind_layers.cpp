// Layers of encoders as Python sees them. What comes in was made by our own lowering; a mistake
// there is a ValueError here, never a wrong access.
#include "builder.hpp"
#include "binding.hpp"
#include "owned.hpp"
#include "whole_layer.hpp"

namespace fathom {
namespace {

template <class Number>
using Plane = nb::ndarray<Number, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Added = nb::ndarray<const float, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Parts = std::pair<std::optional<nb::tuple>, std::optional<nb::tuple>>;
using Relative = std::tuple<nb::object, nb::object, std::int64_t, std::int64_t>;

class Layer {
public:
    Layer(std::int64_t width, std::int64_t heads, std::int64_t head_width, float scale,
          bool causal) {
        layer_.width = width;
        layer_.heads = heads;
        layer_.head_width = head_width;
        layer_.scale = scale;
        layer_.causal = causal;
        require(width > 0 && heads > 0 && head_width > 0, "a layer has a width and heads");
        require(scale > 0, "scores keep their order");
    }

    void attend(const Weights& into, const Weights& output, const Parts& norms,
                const Vector& scales, const std::optional<Relative>& distances) {
        const std::int64_t inner = layer_.heads * layer_.head_width;
        layer_.into = map(into, 3 * inner, layer_.width);
        layer_.output = map(output, layer_.width, inner);
        layer_.mixing = joint(norms, scales);
        if (!distances) return;
        const auto& [rows, columns, high, wide] = *distances;
        require(high > 0 && wide > 0, "a grid has places");
        layer_.distances = Distances{matrix(rows, 2 * high - 1, layer_.head_width),
                                     matrix(columns, 2 * wide - 1, layer_.head_width), high, wide};
    }

    void feed(const Weights& up, const Weights& down, const Parts& norms, const Vector& scales,
              const std::string& activation, bool gated) {
        const PackedMatrix last = nb::cast<const OwnedMatrix&>(down.first).view();
        layer_.up = map(up, (gated ? 2 : 1) * last.columns, layer_.width);
        layer_.down = map(down, layer_.width, last.columns);
        layer_.feeding = joint(norms, scales);
        layer_.activation = activation_named(activation);
        require(layer_.activation != Activation::ClampedSwish, "an activation of one number");
        layer_.gated = gated;
    }

    void run_numbers(const Plane<const float>& from, const Plane<float>& to,
                     const Integers& members, const Integers& begins,
                     const std::optional<Added>& added, int threads) const {
        run({from.data(), nullptr}, {to.data(), nullptr}, shape_of(from, to),
            groups_of(members, begins, added, from.shape(0)), threads);
    }

    void run_halves(const Plane<const std::uint16_t>& from, const Plane<std::uint16_t>& to,
                    const Integers& members, const Integers& begins,
                    const std::optional<Added>& added, int threads) const {
        run({nullptr, from.data()}, {nullptr, to.data()}, shape_of(from, to),
            groups_of(members, begins, added, from.shape(0)), threads);
    }

private:
    PackedMatrix matrix(const nb::object& owner, std::int64_t rows, std::int64_t columns) {
        const PackedMatrix view = nb::cast<const OwnedMatrix&>(owner).view();
        require(view.rows == rows && view.columns == columns, "a map fits its layer");
        require(view.encoding == Encoding::F32 || view.encoding == Encoding::BF16,
                "a layer's maps are plain numbers");
        require(!encoding_ || *encoding_ == view.encoding, "a layer's maps are of one type");
        encoding_ = view.encoding;
        kept_.push_back(owner);
        return view;
    }

    const float* vector(const Vector& numbers, std::int64_t size) {
        if (!numbers) return nullptr;
        require(static_cast<std::int64_t>(numbers->size()) == size, "a vector fits its map");
        kept_.push_back(nb::cast(*numbers));
        return numbers->data();
    }

    Map map(const Weights& weights, std::int64_t rows, std::int64_t columns) {
        return {matrix(weights.first, rows, columns), vector(weights.second, rows)};
    }

    // (centred, epsilon, weight, bias)
    std::optional<NormShape> norm(const std::optional<nb::tuple>& described) {
        if (!described) return std::nullopt;
        NormShape shape{};
        shape.width = layer_.width;
        shape.parts = 1;
        shape.centred = nb::cast<bool>((*described)[0]);
        shape.epsilon = nb::cast<float>((*described)[1]);
        shape.weight = vector(nb::cast<Vector>((*described)[2]), layer_.width);
        shape.bias = vector(nb::cast<Vector>((*described)[3]), layer_.width);
        return shape;
    }

    Joint joint(const Parts& norms, const Vector& scales) {
        return {norm(norms.first), norm(norms.second), vector(scales, layer_.width)};
    }

    template <class From, class To>
    std::int64_t shape_of(const From& from, const To& to) const {
        require(layer_.into.matrix.data && layer_.up.matrix.data, "a layer has both of its parts");
        require(static_cast<std::int64_t>(from.shape(1)) == layer_.width &&
                    to.shape(1) == from.shape(1) && to.shape(0) == from.shape(0),
                "rows have the layer's width");
        return static_cast<std::int64_t>(from.shape(0));
    }

    Groups groups_of(const Integers& members, const Integers& begins,
                     const std::optional<Added>& added, std::size_t tokens) const {
        require(begins.shape(0) > 0 && begins(0) == 0, "groups begin with the first member");
        Groups groups{static_cast<std::int64_t>(begins.shape(0)) - 1, begins.data(),
                      members.data(), nullptr, 0};
        require(begins(groups.count) == static_cast<std::int32_t>(members.shape(0)),
                "groups end with the last member");
        std::int64_t length = added ? static_cast<std::int64_t>(added->shape(3)) : -1;
        if (layer_.distances) length = layer_.distances->high * layer_.distances->wide;
        for (std::int64_t group = 0; group < groups.count; ++group) {
            const std::int64_t own = begins(group + 1) - begins(group);
            require(own >= 0 && (length < 0 || own == length), "groups have their length");
        }
        check_members(members, tokens);
        if (added) {
            require(static_cast<std::int64_t>(added->shape(1)) == layer_.heads &&
                        added->shape(2) == added->shape(3) && added->shape(0) > 0 &&
                        static_cast<std::int64_t>(added->shape(3)) == length,
                    "what is added has a number for each pair");
            groups.added = added->data();
            groups.added_groups = static_cast<std::int64_t>(added->shape(0));
        }
        return groups;
    }

    // Two members that are one token would write over each other.
    static void check_members(const Integers& members, std::size_t tokens) {
        std::vector<bool> taken(tokens);
        for (std::size_t i = 0; i < members.shape(0); ++i) {
            const std::int32_t token = members(i);
            if (token == -1) continue;
            require(token >= 0 && static_cast<std::size_t>(token) < tokens, "members are tokens");
            require(!taken[static_cast<std::size_t>(token)], "a token is in one group");
            taken[static_cast<std::size_t>(token)] = true;
        }
    }

    void run(const StreamIn& from, const StreamOut& to, std::int64_t tokens, const Groups& groups,
             int threads) const {
        require(threads > 0, "a thread at least");
        const nb::gil_scoped_release unlocked;
        run_layer(layer_, groups, tokens, from, to, threads);
    }

    WholeLayer layer_{};
    std::optional<Encoding> encoding_;
    std::vector<nb::object> kept_;  // what the layer looks into
};

}  // namespace

void bind_layers(nb::module_& module) {
    using namespace nb::literals;
    nb::class_<Layer>(module, "WholeLayer", "A layer of an encoder, run in one call.")
        .def(nb::init<std::int64_t, std::int64_t, std::int64_t, float, bool>(), "width"_a,
             "heads"_a, "head_width"_a, "scale"_a, "causal"_a)
        .def("attend", &Layer::attend, "into"_a, "output"_a, "norms"_a, "scales"_a.none(),
             "distances"_a.none())
        .def("feed", &Layer::feed, "up"_a, "down"_a, "norms"_a, "scales"_a.none(), "activation"_a,
             "gated"_a)
        .def("run", &Layer::run_numbers, "source"_a, "target"_a, "members"_a, "begins"_a,
             "added"_a.none(), "threads"_a)
        .def("run", &Layer::run_halves, "source"_a, "target"_a, "members"_a, "begins"_a,
             "added"_a.none(), "threads"_a);
}

}  // namespace fathom
