// Steps of decoders: each checks that what it was given fits together, and joins the program.
#include "builder.hpp"
#include "owned.hpp"

namespace fathom {

Activation activation_named(const std::string& name) {
    return named<Activation>(name, {"silu", "gelu", "gelu_tanh", "gelu_quick", "relu",
                                    "relu_squared", "sigmoid", "tanh", "identity",
                                    "clamped_swish"});
}

void Builder::embed(const nb::object& table, int target, float scale, const Vector& positions,
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

void Builder::add_rows(int target, const Vector& positions, std::int64_t offset,
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

void Builder::norm(int source, int target, const nb::tuple& shape) {
    NormStep step;
    step.source = source;
    step.target = target;
    step.shape = norm_shape(shape);
    const std::int64_t width = step.shape.width * step.shape.parts;
    require(width == program_.at(source).width && width == program_.at(target).width,
            "a norm is as wide as its rows");
    append(std::move(step), target);
}

void Builder::add(int source, int target, float scale) {
    require(program_.at(source).width == program_.at(target).width, "rows of one width");
    AddStep step;
    step.source = source;
    step.target = target;
    step.scale = scale;
    append(std::move(step), target);
}

void Builder::activate(int gate, std::int64_t gate_offset, int other, std::int64_t other_offset,
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

void Builder::gate_rows(int score, int target) {
    require(program_.at(score).width == 1, "a gate is one number");
    require(program_.at(target).width > 0, "a gate has a target");
    GateRowsStep step;
    step.score = score;
    step.target = target;
    append(std::move(step), target);
}

void Builder::multiply(int source, int target, const std::vector<Weights>& factors,
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

void Builder::angles(int target, std::int64_t offset) {
    const std::int64_t half = program_.at(target).width / 2;
    require(2 * half == program_.at(target).width && offset >= 0, "cosines and sines");
    frequency_width_ = std::max(frequency_width_, offset + half + 1);
    AnglesStep step;
    step.target = target;
    step.half = half;
    step.offset = offset;
    append(std::move(step), target);
}

void Builder::place(const nb::tuple& heads, int angles, bool interleaved,
                    const std::optional<nb::tuple>& query_norm,
                    const std::optional<nb::tuple>& key_norm, bool late, float clip, std::int64_t sharpened, float strength) {
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

void Builder::attend(const nb::tuple& heads, int target, const std::string& reach,
                     std::int32_t reach_width, float scale, float soft_cap, const Vector& slopes,
                     const Vector& sinks, bool causal, bool rounded, bool looks,
                     const Vector& distances, bool narrowed,
                     const std::optional<nb::object>& query) {
    AttendStep step;
    step.narrowed = narrowed;
    step.paired = query && activation_kind(matrix(*query).encoding) == ActivationKind::Bytes;
    step.heads = heads_of(heads, looks);
    step.target = target;
    step.reach = named<Reach>(reach, {"everything", "window", "chunk"});
    step.reach_width = reach_width;
    step.scale = scale;
    step.soft_cap = soft_cap;
    step.slopes = vector(slopes, step.heads.heads, 1);
    step.sinks = vector(sinks, step.heads.heads, 1);
    require(causal || (step.reach != Reach::Chunk && !slopes), "no chunks or slopes both ways");
    step.causal = causal && !looks;
    require(!rounded || slopes, "what is rounded are slopes");
    step.rounded = rounded;
    step.looks = looks;
    require(!looks || (step.reach == Reach::Everything && !slopes && !distances),
            "a source is seen whole, from no place");
    step.distances = vector(distances, 0, step.heads.heads);
    if (distances) {
        const auto each = static_cast<std::int64_t>(distances->size()) / step.heads.heads;
        require(each % 2 == 1, "distances both ways, and none");
        step.furthest = static_cast<std::int32_t>(each / 2);
    }
    whole_ = whole_ || !(causal || looks);
    require(reach_width > 0 || step.reach == Reach::Everything, "a reach has a width");
    require(step.heads.heads * step.heads.width == program_.at(target).width,
            "heads fill their rows");
    append(std::move(step), target);
}

void Builder::experts(int source, int scores, int target, const std::vector<int>& rooms,
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

void Builder::select(int source, int target) {
    require(program_.at(source).width == program_.at(target).width, "rows of one width");
    SelectStep step;
    step.source = source;
    step.target = target;
    append(std::move(step), target);
}

void Builder::narrow(const std::vector<std::pair<int, int>>& buffers) {
    NarrowStep step;
    for (const auto& [rows, room] : buffers) {
        require(rows != room && program_.at(rows).width == program_.at(room).width,
                "rows of one width");
        step.buffers.push_back({rows, room});
    }
    append(std::move(step), -1);
    for (const auto& [rows, room] : buffers) {
        program_.wrote(rows);
        program_.wrote(room);
    }
}

void Builder::deliver(int source) {
    DeliverStep step;
    step.source = source;
    scores_width_ = program_.at(source).width;
    append(std::move(step), -1);
}

PackedMatrix Builder::matrix(const nb::object& owner) {
    kept_.push_back(owner);
    return nb::cast<const OwnedMatrix&>(owner).view();
}

const float* Builder::vector(const Vector& numbers, std::int64_t size, std::int64_t width) {
    if (!numbers) return nullptr;
    const auto found = static_cast<std::int64_t>(numbers->size());
    require(size == 0 ? found % width == 0 : found == size, "a vector has its size");
    kept_.push_back(nb::cast(*numbers));
    return numbers->data();
}

void Builder::note_positions(const Vector& positions, std::int64_t offset, std::int64_t width) {
    if (!positions) return;
    const std::int64_t rows = static_cast<std::int64_t>(positions->size()) / width - offset;
    most_positions_ = std::min(most_positions_, rows);
}

NormShape Builder::norm_shape(const nb::tuple& described) {
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

NormShape Builder::head_norm(const nb::tuple& described, std::int64_t heads, const Heads& of) {
    const NormShape shape = norm_shape(described);
    const std::int64_t width = shape.width * shape.parts;
    require(width == of.width || width == heads * of.width, "a norm of one head or of all");
    return shape;
}

Heads Builder::heads_of(const nb::tuple& described, bool looks) {
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
    const std::int64_t keys = looks ? 0 : 2 * heads.kv_heads;
    require((heads.heads + keys) * heads.width <= program_.at(heads.source).width,
            "heads lie in their rows");
    require(heads.page_offset >= 0 && heads.page_offset % alignment == 0, "heads are aligned");
    if (page_bytes_.size() <= heads.pool) page_bytes_.resize(heads.pool + 1);
    std::int64_t& bytes = page_bytes_[heads.pool];
    bytes = std::max(bytes, heads.page_offset + heads.kv_heads * heads.head_bytes());
    looked_at_.resize(page_bytes_.size());
    if (looks) looked_at_[heads.pool] = true;
    return heads;
}

Routing Builder::routing_of(const nb::tuple& described) {
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

Expert Builder::expert(const std::vector<Weights>& maps, const ExpertsStep& step) {
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

}  // namespace fathom
