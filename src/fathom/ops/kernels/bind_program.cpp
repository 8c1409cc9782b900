// Programs as Python sees them. What comes in was made by our own lowering; a mistake there is a
// ValueError here, never a wrong access.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "binding.hpp"
#include "experts_step.hpp"
#include "owned.hpp"
#include "steps.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace fathom {

namespace {

using Pages = nb::ndarray<std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Floats = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Scores = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Integers = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Tables = nb::ndarray<const std::int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Vector = std::optional<Floats>;

void require(bool holds, const char* otherwise) {
    if (!holds) throw std::invalid_argument(otherwise);
}

template <typename T> T named(const std::string& name, const std::vector<const char*>& names) {
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (name == names[i]) return static_cast<T>(i);
    }
    throw std::invalid_argument("unknown name: " + name);
}

Activation activation_named(const std::string& name) {
    return named<Activation>(name, {"silu", "gelu", "gelu_tanh", "gelu_quick", "relu",
                                    "relu_squared", "sigmoid", "tanh", "identity",
                                    "clamped_swish"});
}

// (matrix, bias)
using Weights = std::pair<nb::object, Vector>;

class Builder {
public:
    Builder(std::int64_t most_tokens, int threads) : program_(most_tokens, threads) {}

    int buffer(std::int64_t width, std::int64_t repeats) { return program_.buffer(width, repeats); }

    void embed(const nb::object& table, int target, float scale, const Vector& positions,
               std::int64_t offset, const Vector& constant) {
        EmbedStep step;
        step.table = matrix(table);
        step.target = target;
        step.scale = scale;
        const std::int64_t width = step.table.columns;
        require(width == program_.at(target).width, "a table is as wide as its target");
        step.positions = vector(positions, 0, width);
        step.constant = vector(constant, width, width);
        step.offset = offset;
        note_positions(positions, offset, width);
        vocabulary_ = step.table.rows;
        append(std::move(step), target);
    }

    void add_rows(int target, const Vector& positions, std::int64_t offset,
                  const Vector& constant) {
        AddRowsStep step;
        const std::int64_t width = program_.at(target).width;
        step.target = target;
        step.positions = vector(positions, 0, width);
        step.constant = vector(constant, width, width);
        step.offset = offset;
        note_positions(positions, offset, width);
        append(std::move(step), target);
    }

    void norm(int source, int target, const nb::tuple& shape) {
        NormStep step;
        step.source = source;
        step.target = target;
        step.shape = norm_shape(shape);
        const std::int64_t width = step.shape.width * step.shape.parts;
        require(width == program_.at(source).width && width == program_.at(target).width,
                "a norm is as wide as its rows");
        append(std::move(step), target);
    }

    void add(int source, int target, float scale) {
        require(program_.at(source).width == program_.at(target).width, "rows of one width");
        AddStep step;
        step.source = source;
        step.target = target;
        step.scale = scale;
        append(std::move(step), target);
    }

    void activate(int gate, std::int64_t gate_offset, int other, std::int64_t other_offset,
                  int target, std::int64_t count, const std::string& kind, float alpha,
                  float limit) {
        require(gate_offset >= 0 && gate_offset + count <= program_.at(gate).width &&
                    (other < 0 || other_offset + count <= program_.at(other).width) &&
                    other_offset >= 0 && count <= program_.at(target).width,
                "activations lie in their rows");
        ActivateStep step;
        step.gate = gate;
        step.gate_offset = gate_offset;
        step.other = other;
        step.other_offset = other_offset;
        step.target = target;
        step.count = count;
        step.kind = activation_named(kind);
        step.alpha = alpha;
        step.limit = limit;
        append(std::move(step), target);
    }

    void gate_rows(int score, int target) {
        require(program_.at(score).width == 1, "a gate is one number");
        require(program_.at(target).width > 0, "a gate has a target");
        GateRowsStep step;
        step.score = score;
        step.target = target;
        append(std::move(step), target);
    }

    void multiply(int source, int target, const std::vector<Weights>& factors,
                  int room, float scale, float cap) {
        MultiplyStep step;
        step.source = source;
        step.target = target;
        step.adds = room >= 0;
        step.room = room;
        step.scale = scale;
        step.cap = cap;
        std::int64_t offset = 0;
        for (const auto& [described, bias] : factors) {
            const PackedMatrix packed = matrix(described);
            require(packed.columns == program_.at(source).width, "a matrix reads its source");
            program_.want(source, activation_kind(packed.encoding));
            step.factors.push_back({packed, vector(bias, packed.rows, packed.rows), offset});
            offset += packed.rows;
        }
        require(!step.factors.empty(), "a product has factors");
        if (target >= 0) {
            require(offset == program_.at(target).width, "results fill their rows");
        } else {
            scores_width_ = offset;
        }
        require(!step.adds || (target >= 0 && program_.at(room).width == offset),
                "results to be added have room");
        append(std::move(step), target);
    }

    void angles(int target, std::int64_t offset) {
        const std::int64_t half = program_.at(target).width / 2;
        require(2 * half == program_.at(target).width && offset >= 0, "cosines and sines");
        frequency_width_ = std::max(frequency_width_, offset + half + 1);
        AnglesStep step;
        step.target = target;
        step.half = half;
        step.offset = offset;
        append(std::move(step), target);
    }

    void place(const nb::tuple& heads, int angles, bool interleaved,
               const std::optional<nb::tuple>& query_norm, const std::optional<nb::tuple>& key_norm,
               bool late, float clip, std::int64_t sharpened, float strength) {
        PlaceStep step;
        step.heads = heads_of(heads);
        step.angles = angles;
        step.interleaved = interleaved;
        if (angles >= 0) step.half = program_.at(angles).width / 2;
        require(2 * step.half <= step.heads.width, "no more is turned than there is");
        step.query_normed = query_norm.has_value();
        step.key_normed = key_norm.has_value();
        if (query_norm) step.query_norm = head_norm(*query_norm, step.heads.heads, step.heads);
        if (key_norm) step.key_norm = head_norm(*key_norm, step.heads.kv_heads, step.heads);
        require(!late || ((!query_norm || step.heads.own(step.query_norm)) &&
                          (!key_norm || step.heads.own(step.key_norm))),
                "after the rotation each head is normed by itself");
        step.late = late;
        step.clip = clip;
        step.sharpened = sharpened;
        step.strength = strength;
        const int source = step.heads.source;
        append(std::move(step), source);
    }

    void attend(const nb::tuple& heads, int target, const std::string& reach,
                std::int32_t reach_width, float scale, float soft_cap, const Vector& slopes,
                const Vector& sinks) {
        AttendStep step;
        step.heads = heads_of(heads);
        step.target = target;
        step.reach = named<Reach>(reach, {"everything", "window", "chunk"});
        step.reach_width = reach_width;
        step.scale = scale;
        step.soft_cap = soft_cap;
        step.slopes = vector(slopes, step.heads.heads, 1);
        step.sinks = vector(sinks, step.heads.heads, 1);
        require(reach_width > 0 || step.reach == Reach::Everything, "a reach has a width");
        require(step.heads.heads * step.heads.width == program_.at(target).width,
                "heads fill their rows");
        append(std::move(step), target);
    }

    void experts(int source, int scores, int target, const std::vector<int>& rooms,
                 const nb::tuple& routing, const std::vector<std::vector<Weights>>& experts,
                 const std::string& kind, float alpha, float limit, float scale,
                 bool weighs_input, bool fresh) {
        ExpertsStep step;
        step.fresh = fresh;
        step.source = source;
        step.scores = scores;
        step.target = target;
        require(rooms.size() == 4, "experts have four rooms");
        step.gathered = rooms[0];
        step.inner = rooms[1];
        step.activated = rooms[2];
        step.found = rooms[3];
        step.routing = routing_of(routing);
        require(step.routing.experts == static_cast<std::int64_t>(experts.size()) &&
                    step.routing.experts == program_.at(scores).width,
                "a score for every expert");
        for (int room : rooms) {
            require(program_.at(room).repeats == step.routing.active, "a row for every choice");
        }
        for (const auto& maps : experts) {
            require(maps.size() == 3, "an expert has three maps");
            step.experts.push_back(expert(maps, step));
        }
        step.activation = activation_named(kind);
        step.alpha = alpha;
        step.limit = limit;
        step.scale = scale;
        step.weighs_input = weighs_input;
        append(std::move(step), target);
    }

    void select(int source, int target) {
        require(program_.at(source).width == program_.at(target).width, "rows of one width");
        SelectStep step;
        step.source = source;
        step.target = target;
        append(std::move(step), target);
    }

    void finish() { program_.finish(); }

    void run(const Integers& ids, const Integers& positions, const Integers& owners,
             const Integers& begins, const Floats& frequencies,
             const std::vector<std::tuple<Pages, Tables>>& pools, const Integers& chosen,
             Scores& scores) {
        const auto tokens = static_cast<std::int64_t>(ids.size());
        const auto sequences = static_cast<std::int64_t>(begins.size()) - 1;
        const auto outputs = static_cast<std::int64_t>(chosen.size());
        require(tokens >= 1 && tokens <= program_.most_tokens(), "as many tokens as there is room");
        require(positions.size() == ids.size() && owners.size() == ids.size() && sequences >= 1,
                "a position and a sequence for every token");
        require(static_cast<std::int64_t>(scores.shape(0)) == outputs && outputs <= tokens &&
                    static_cast<std::int64_t>(scores.shape(1)) == scores_width_,
                "scores have a row per output");
        const std::int64_t frequency_width =
            static_cast<std::int64_t>(frequencies.size()) / sequences;
        require(frequency_width >= frequency_width_, "frequencies for every rotation");
        Batch batch{tokens, ids.data(), positions.data(), owners.data(), sequences, begins.data(),
                    frequencies.data(), frequency_width, {}, outputs, chosen.data(),
                    scores.data()};
        require(pools.size() == page_bytes_.size(), "a pool for every reach");
        check_tokens(batch);
        for (std::size_t i = 0; i < pools.size(); ++i) {
            const auto& [pages, tables] = pools[i];
            Pool pool{pages.data(), static_cast<std::int64_t>(pages.size()) / page_bytes_[i],
                      tables.data(), static_cast<std::int64_t>(tables.shape(1))};
            require(static_cast<std::int64_t>(tables.shape(0)) == sequences,
                    "a page table for every sequence");
            check_pages(batch, pool);
            batch.pools.push_back(pool);
        }
        const nb::gil_scoped_release released;
        program_.run(batch);
    }

    std::int64_t bytes() const { return program_.bytes(); }
    std::int64_t steps() const { return program_.steps(); }
    std::int64_t most_tokens() const { return program_.most_tokens(); }
    std::vector<std::int64_t> page_bytes() const { return page_bytes_; }

private:
    template <typename S> void append(S step, int writes) {
        program_.append(std::make_unique<S>(std::move(step)), writes);
    }

    PackedMatrix matrix(const nb::object& owner) {
        kept_.push_back(owner);
        return nb::cast<const OwnedMatrix&>(owner).view();
    }

    // Numbers that stay alive with the program: `size` of them, or with 0 a multiple of `width`.
    const float* vector(const Vector& numbers, std::int64_t size, std::int64_t width) {
        if (!numbers) return nullptr;
        const auto found = static_cast<std::int64_t>(numbers->size());
        require(size == 0 ? found % width == 0 : found == size, "a vector has its size");
        kept_.push_back(nb::cast(*numbers));
        return numbers->data();
    }

    void note_positions(const Vector& positions, std::int64_t offset, std::int64_t width) {
        if (!positions) return;
        const std::int64_t rows = static_cast<std::int64_t>(positions->size()) / width - offset;
        most_positions_ = std::min(most_positions_, rows);
    }

    // (width, parts, shared, centred, epsilon, weight, bias)
    NormShape norm_shape(const nb::tuple& described) {
        NormShape shape;
        shape.width = nb::cast<std::int64_t>(described[0]);
        shape.parts = nb::cast<std::int64_t>(described[1]);
        require(shape.width > 0 && shape.parts > 0, "a norm has a width");
        shape.weights = shape.width;
        shape.centred = nb::cast<bool>(described[2]);
        shape.epsilon = nb::cast<float>(described[3]);
        const std::int64_t all = shape.width * shape.parts;
        shape.weight = vector(nb::cast<Vector>(described[4]), all, 1);
        shape.bias = vector(nb::cast<Vector>(described[5]), all, 1);
        return shape;
    }

    NormShape head_norm(const nb::tuple& described, std::int64_t heads, const Heads& of) {
        const NormShape shape = norm_shape(described);
        const std::int64_t width = shape.width * shape.parts;
        require(width == of.width || width == heads * of.width, "a norm of one head or of all");
        return shape;
    }

    // (source, heads, kv_heads, width, pool, page_offset, float32)
    Heads heads_of(const nb::tuple& described) {
        Heads heads;
        heads.source = nb::cast<int>(described[0]);
        heads.heads = nb::cast<std::int64_t>(described[1]);
        heads.kv_heads = nb::cast<std::int64_t>(described[2]);
        heads.width = nb::cast<std::int64_t>(described[3]);
        heads.pool = nb::cast<std::size_t>(described[4]);
        heads.page_offset = nb::cast<std::int64_t>(described[5]);
        heads.type = nb::cast<bool>(described[6]) ? StateType::Float32 : StateType::Float16;
        require(heads.kv_heads > 0 && heads.heads % heads.kv_heads == 0, "heads share keys evenly");
        require(heads.width > 0 && heads.width <= widest_head, "a head this wide has no kernel");
        require((heads.heads + 2 * heads.kv_heads) * heads.width <= program_.at(heads.source).width,
                "heads lie in their rows");
        require(heads.page_offset >= 0 && heads.page_offset % alignment == 0, "heads are aligned");
        if (page_bytes_.size() <= heads.pool) page_bytes_.resize(heads.pool + 1);
        std::int64_t& bytes = page_bytes_[heads.pool];
        bytes = std::max(bytes, heads.page_offset + heads.kv_heads * heads.head_bytes());
        return heads;
    }

    // (scoring, experts, active, renormalise, floor, scale, jitter, correction, groups,
    //  active_groups, best)
    Routing routing_of(const nb::tuple& described) {
        Routing routing;
        routing.scoring =
            named<Scoring>(nb::cast<std::string>(described[0]), {"softmax", "sigmoid", "sparse"});
        routing.experts = nb::cast<std::int64_t>(described[1]);
        routing.active = nb::cast<std::int64_t>(described[2]);
        routing.renormalise = nb::cast<bool>(described[3]);
        routing.floor = nb::cast<float>(described[4]);
        routing.scale = nb::cast<float>(described[5]);
        routing.jitter = nb::cast<float>(described[6]);
        routing.correction = vector(nb::cast<Vector>(described[7]), routing.experts, 1);
        routing.groups = nb::cast<std::int64_t>(described[8]);
        routing.active_groups = nb::cast<std::int64_t>(described[9]);
        routing.best = nb::cast<std::int64_t>(described[10]);
        require(routing.active > 0 && routing.active <= routing.experts, "some experts are chosen");
        require(routing.groups == 0 || (routing.experts % routing.groups == 0 &&
                                        routing.best <= routing.experts / routing.groups &&
                                        routing.active_groups <= routing.groups),
                "groups of one size");
        return routing;
    }

    Expert expert(const std::vector<Weights>& maps, const ExpertsStep& step) {
        const PackedMatrix gate = matrix(maps[0].first), up = matrix(maps[1].first),
                           down = matrix(maps[2].first);
        require(gate.rows == up.rows && gate.columns == up.columns && down.columns == gate.rows &&
                    gate.encoding == up.encoding && gate.columns == program_.at(step.source).width &&
                    gate.columns == program_.at(step.gathered).width &&
                    2 * gate.rows == program_.at(step.inner).width &&
                    gate.rows == program_.at(step.activated).width &&
                    down.rows == program_.at(step.found).width &&
                    down.rows == program_.at(step.target).width,
                "an expert's maps follow one another");
        program_.reserve(step.gathered, activation_kind(gate.encoding));
        program_.reserve(step.activated, activation_kind(down.encoding));
        return {gate, up, down,
                vector(maps[0].second, gate.rows, 1),
                vector(maps[1].second, up.rows, 1),
                vector(maps[2].second, down.rows, 1)};
    }

    void check_tokens(const Batch& batch) const {
        require(batch.begins[0] == 0 && batch.begins[batch.sequences] == batch.tokens,
                "sequences hold all tokens");
        for (std::int64_t sequence = 0; sequence < batch.sequences; ++sequence) {
            require(batch.begins[sequence] <= batch.begins[sequence + 1], "sequences in order");
        }
        for (std::int64_t token = 0; token < batch.tokens; ++token) {
            require(batch.ids[token] >= 0 && batch.ids[token] < vocabulary_, "a token it knows");
            require(batch.positions[token] >= 0 && batch.positions[token] < most_positions_,
                    "a position it knows");
            const std::int32_t owner = batch.owners[token];
            require(owner >= 0 && owner < batch.sequences && token >= batch.begins[owner] &&
                        token < batch.begins[owner + 1],
                    "a token in its sequence");
        }
        for (std::int64_t output = 0; output < batch.outputs; ++output) {
            require(batch.chosen[output] >= 0 && batch.chosen[output] < batch.tokens,
                    "outputs of tokens");
        }
    }

    // Pages out of a window's reach may be anything that lies in the pool.
    static void check_pages(const Batch& batch, const Pool& pool) {
        for (std::int64_t token = 0; token < batch.tokens; ++token) {
            require(batch.positions[token] / page_tokens < pool.table_width, "pages for all tokens");
        }
        for (std::int64_t i = 0; i < batch.sequences * pool.table_width; ++i) {
            require(pool.tables[i] >= 0 && pool.tables[i] < pool.count, "pages of the pool");
        }
    }

    Program program_;
    std::vector<nb::object> kept_;  // arrays that steps look into
    std::int64_t vocabulary_ = 0, scores_width_ = 0, frequency_width_ = 0;
    std::int64_t most_positions_ = INT32_MAX;
    std::vector<std::int64_t> page_bytes_;
};

}  // namespace

void bind_program(nb::module_& module) {
    module.attr("page_tokens") = page_tokens;
    module.attr("widest_head") = widest_head;
    module.def("head_numbers", &head_numbers, "width"_a,
               "Return the numbers that one head's keys and values take in a page.");
    nb::class_<Builder>(module, "Program")
        .def(nb::init<std::int64_t, int>(), "most_tokens"_a, "threads"_a)
        .def("buffer", &Builder::buffer, "width"_a, "repeats"_a)
        .def("embed", &Builder::embed, "table"_a, "target"_a, "scale"_a, "positions"_a.none(),
             "offset"_a, "constant"_a.none())
        .def("add_rows", &Builder::add_rows, "target"_a, "positions"_a.none(), "offset"_a,
             "constant"_a.none())
        .def("norm", &Builder::norm, "source"_a, "target"_a, "shape"_a)
        .def("add", &Builder::add, "source"_a, "target"_a, "scale"_a)
        .def("activate", &Builder::activate, "gate"_a, "gate_offset"_a, "other"_a,
             "other_offset"_a, "target"_a, "count"_a, "kind"_a, "alpha"_a, "limit"_a)
        .def("gate_rows", &Builder::gate_rows, "score"_a, "target"_a)
        .def("multiply", &Builder::multiply, "source"_a, "target"_a, "factors"_a, "room"_a,
             "scale"_a, "cap"_a)
        .def("angles", &Builder::angles, "target"_a, "offset"_a)
        .def("place", &Builder::place, "heads"_a, "angles"_a, "interleaved"_a,
             "query_norm"_a.none(), "key_norm"_a.none(), "late"_a, "clip"_a, "sharpened"_a,
             "strength"_a)
        .def("attend", &Builder::attend, "heads"_a, "target"_a, "reach"_a, "reach_width"_a,
             "scale"_a, "soft_cap"_a, "slopes"_a.none(), "sinks"_a.none())
        .def("experts", &Builder::experts, "source"_a, "scores"_a, "target"_a, "rooms"_a,
             "routing"_a, "experts"_a, "kind"_a, "alpha"_a, "limit"_a, "scale"_a,
             "weighs_input"_a, "fresh"_a)
        .def("select", &Builder::select, "source"_a, "target"_a)
        .def("finish", &Builder::finish)
        .def("run", &Builder::run, "ids"_a, "positions"_a, "owners"_a, "begins"_a,
             "frequencies"_a, "pools"_a, "chosen"_a, "scores"_a)
        .def_prop_ro("bytes", &Builder::bytes)
        .def_prop_ro("steps", &Builder::steps)
        .def_prop_ro("most_tokens", &Builder::most_tokens)
        .def_prop_ro("page_bytes", &Builder::page_bytes);
}

}  // namespace fathom
