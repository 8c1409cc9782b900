#include "whole_layer.hpp"

#include <algorithm>
#include <vector>

#include "cpu.hpp"
#include "layout.hpp"
#include "pool.hpp"
#include "scratch.hpp"
#include "seeing.hpp"

namespace fathom {

namespace {

constexpr std::int64_t most_tokens = 96;       // that go through the maps together
constexpr std::int64_t most_scores = 1 << 17;  // numbers of scores that are there at once
constexpr std::int64_t most_queries = 64;

template <class Number>
struct Room : Scratch {
    explicit Room(std::int64_t count)
        : Scratch(count * static_cast<std::int64_t>(sizeof(Number))) {}
    operator Number*() const { return reinterpret_cast<Number*>(data); }
};

// What threads share while a layer runs.
struct Work {
    const WholeLayer& layer;
    const Groups& groups;
    const StreamIn& from;
    const StreamOut& to;
    std::int64_t tokens;
    float* heads;  // (tokens, 3 · inner): queries, keys, values; then what was found, in place of
                   // the queries
    const Arithmetic& arithmetic;
    const SeeingKernels& seeing;

    std::int64_t inner() const { return layer.heads * layer.head_width; }
    std::int64_t stride() const { return 3 * inner(); }
    bool halved() const { return layer.into.matrix.encoding == Encoding::BF16; }
    ActivationKind kind() const { return activation_kind(layer.into.matrix.encoding); }
};

// What a thread needs for some tokens on their way through maps.
struct TokenRooms {
    explicit TokenRooms(const Work& work, std::int64_t count)
        : stream(count * work.layer.width),
          normed(count * work.layer.width),
          inner(count * work.layer.up.matrix.rows),
          activations(activation_bytes(work.kind(), count, widest(work))) {}

    static std::int64_t widest(const Work& work) {
        return std::max({work.layer.width, work.inner(), work.layer.down.matrix.columns});
    }

    Room<float> stream, normed, inner;
    Room<std::uint8_t> activations;
};

// y = map(x) + bias of some tokens.
void pass(const Work& work, const Map& map, const float* x, std::int64_t stride,
          std::int64_t tokens, std::uint8_t* room, float* y, std::int64_t y_stride) {
    const std::int64_t columns = map.matrix.columns, rows = map.matrix.rows;
    const ActivationKind kind = work.kind();
    kernels().quantise(kind, x, stride, tokens, columns, 0, tokens, room);
    multiply(map.matrix, {kind, tokens, columns, room}, 0, rows, y, y_stride);
    if (!map.bias) return;
    for (std::int64_t token = 0; token < tokens; ++token) {
        work.arithmetic.add(y + token * y_stride, map.bias, 1, rows);
    }
}

void read_stream(const Work& work, std::int64_t token, float* row) {
    const std::int64_t width = work.layer.width;
    if (work.from.halves) return work.seeing.widen(work.from.halves + token * width, width, row);
    std::copy_n(work.from.numbers + token * width, width, row);
}

void write_stream(const Work& work, std::int64_t token, const float* row) {
    const std::int64_t width = work.layer.width;
    if (work.to.halves) return work.seeing.narrow(row, width, work.to.halves + token * width);
    std::copy_n(row, width, work.to.numbers + token * width);
}

void project(const Work& work, std::int64_t first, std::int64_t count, const TokenRooms& rooms) {
    const std::int64_t width = work.layer.width;
    for (std::int64_t token = 0; token < count; ++token) {
        float* row = rooms.normed + token * width;
        read_stream(work, first + token, row);
        if (work.layer.mixing.before) work.arithmetic.norm(*work.layer.mixing.before, row, row);
    }
    pass(work, work.layer.into, rooms.normed, width, count, rooms.activations,
         work.heads + first * work.stride(), work.stride());
}

// The stream, (count, width), takes in what a part gave.
void join(const Work& work, const Joint& joint, std::int64_t count, float* part, float* stream) {
    const std::int64_t width = work.layer.width;
    for (std::int64_t token = 0; token < count; ++token, part += width, stream += width) {
        if (joint.scales) {
            work.arithmetic.activate(Activation::Identity, 0, 0, part, joint.scales, width, part);
        }
        work.arithmetic.add(stream, part, 1, width);
        if (joint.closing) work.arithmetic.norm(*joint.closing, stream, stream);
    }
}

void activate(const Work& work, std::int64_t count, float* inner) {
    const WholeLayer& layer = work.layer;
    const std::int64_t stride = layer.up.matrix.rows, width = layer.down.matrix.columns;
    for (std::int64_t token = 0; token < count; ++token, inner += stride) {
        const float* other = layer.gated ? inner + width : nullptr;
        work.arithmetic.activate(layer.activation, 0, 0, inner, other, width, inner);
    }
}

// From what was found to the stream after the feed-forward.
void finish(const Work& work, std::int64_t first, std::int64_t count, const TokenRooms& rooms) {
    const WholeLayer& layer = work.layer;
    const std::int64_t width = layer.width;
    pass(work, layer.output, work.heads + first * work.stride(), work.stride(), count,
         rooms.activations, rooms.normed, width);
    for (std::int64_t token = 0; token < count; ++token) {
        read_stream(work, first + token, rooms.stream + token * width);
    }
    join(work, layer.mixing, count, rooms.normed, rooms.stream);
    const float* entering = rooms.stream;
    if (layer.feeding.before) {
        for (std::int64_t token = 0; token < count; ++token) {
            work.arithmetic.norm(*layer.feeding.before, rooms.stream + token * width,
                                 rooms.normed + token * width);
        }
        entering = rooms.normed;
    }
    const std::int64_t up = layer.up.matrix.rows;
    pass(work, layer.up, entering, width, count, rooms.activations, rooms.inner, up);
    activate(work, count, rooms.inner);
    pass(work, layer.down, rooms.inner, up, count, rooms.activations, rooms.normed, width);
    join(work, layer.feeding, count, rooms.normed, rooms.stream);
    for (std::int64_t token = 0; token < count; ++token) {
        write_stream(work, first + token, rooms.stream + token * width);
    }
}

// Attention of one head in one group after another, by one thread.
class Looking {
public:
    explicit Looking(const Work& work)
        : work_(work),
          longest_(longest(work.groups)),
          queries_(std::clamp<std::int64_t>(most_scores / std::max<std::int64_t>(longest_, 1) /
                                                group_tokens * group_tokens,
                                            group_tokens, most_queries)),
          encoding_(work.halved() ? Encoding::BF16 : Encoding::F32),
          keys_(packed_bytes(encoding_, longest_, work.layer.head_width)),
          values_(packed_bytes(encoding_, work.layer.head_width, longest_)),
          scores_(queries_ * longest_),
          found_(queries_ * work.layer.head_width),
          asking_(queries_ * work.layer.head_width),
          distances_(work.layer.distances ? queries_ * (spread_rows() + spread_columns()) : 0),
          activations_(activation_bytes(work.kind(), queries_,
                                        std::max(longest_, work.layer.head_width))),
          rows_(static_cast<std::size_t>(longest_)),
          nothing_(static_cast<std::size_t>(work.stride())) {
        const float* bias = work.layer.into.bias;
        if (bias) std::copy_n(bias, work.stride(), nothing_.begin());
    }

    void look(std::int64_t group, std::int64_t head) {
        members_ = work_.groups.members + work_.groups.begins[group];
        length_ = work_.groups.begins[group + 1] - work_.groups.begins[group];
        head_ = head;
        if (const float* added = work_.groups.added) {
            const std::int64_t one = group % work_.groups.added_groups;
            added_ = added + (one * work_.layer.heads + head) * length_ * length_;
        }
        gather(1);
        work_.seeing.pack_rows(rows_.data(), length_, work_.layer.head_width, work_.halved(),
                               keys_);
        gather(2);
        work_.seeing.pack_columns(rows_.data(), length_, work_.layer.head_width, work_.halved(),
                                  values_);
        for (std::int64_t first = 0; first < length_; first += queries_) {
            ask(first, std::min(queries_, length_ - first));
        }
    }

private:
    static std::int64_t longest(const Groups& groups) {
        std::int64_t found = 0;
        for (std::int64_t group = 0; group < groups.count; ++group) {
            found = std::max<std::int64_t>(found, groups.begins[group + 1] - groups.begins[group]);
        }
        return found;
    }

    std::int64_t spread_rows() const { return work_.layer.distances->rows.rows; }
    std::int64_t spread_columns() const { return work_.layer.distances->columns.rows; }

    // A member's query, key or value, by `part`.
    const float* at(std::int64_t member, int part) const {
        const std::int64_t offset = part * work_.inner() + head_ * work_.layer.head_width;
        const std::int32_t token = members_[member];
        return (token < 0 ? nothing_.data() : work_.heads + token * work_.stride()) + offset;
    }

    void gather(int part) {
        for (std::int64_t member = 0; member < length_; ++member) {
            rows_[static_cast<std::size_t>(member)] = at(member, part);
        }
    }

    // x (count, columns) · matrix, (rows, columns).
    void multiplied(const PackedMatrix& matrix, const float* x, std::int64_t count, float* y) {
        const ActivationKind kind = work_.kind();
        kernels().quantise(kind, x, matrix.columns, count, matrix.columns, 0, count, activations_);
        multiply(matrix, {kind, count, matrix.columns, activations_}, 0, matrix.rows, y,
                 matrix.rows);
    }

    void ask(std::int64_t first, std::int64_t count) {
        const std::int64_t width = work_.layer.head_width;
        for (std::int64_t i = 0; i < count; ++i) {
            std::copy_n(at(first + i, 0), width, asking_ + i * width);
        }
        multiplied({encoding_, length_, width, keys_}, asking_, count, scores_);
        float* by_column = nullptr;
        if (work_.layer.distances) {
            by_column = distances_ + count * spread_rows();
            multiplied(work_.layer.distances->rows, asking_, count, distances_);
            multiplied(work_.layer.distances->columns, asking_, count, by_column);
        }
        float shares[most_queries];
        for (std::int64_t i = 0; i < count; ++i) shares[i] = weigh(first + i, i, by_column);
        multiplied({encoding_, width, length_, values_}, scores_, count, found_);
        for (std::int64_t i = 0; i < count; ++i) {
            const std::int32_t token = members_[first + i];
            if (token < 0) continue;
            float* place = work_.heads + token * work_.stride() + head_ * width;
            for (std::int64_t d = 0; d < width; ++d) place[d] = found_[i * width + d] * shares[i];
        }
    }

    float weigh(std::int64_t query, std::int64_t row, const float* by_column) {
        Scored scored{};
        scored.scores = scores_ + row * length_;
        scored.keys = length_;
        scored.seen = work_.layer.causal ? query + 1 : length_;
        scored.scale = work_.layer.scale;
        if (added_) scored.added = added_ + query * length_;
        if (by_column) {
            const Distances& grid = *work_.layer.distances;
            scored.columns = grid.wide;
            scored.by_row = distances_ + row * spread_rows() + grid.high - 1 - query / grid.wide;
            scored.by_column =
                by_column + row * spread_columns() + grid.wide - 1 - query % grid.wide;
        }
        return work_.seeing.weigh(scored);
    }

    const Work& work_;
    const std::int64_t longest_, queries_;
    const Encoding encoding_;
    Room<std::uint8_t> keys_, values_;
    Room<float> scores_, found_, asking_, distances_;
    Room<std::uint8_t> activations_;
    std::vector<const float*> rows_;
    std::vector<float> nothing_;  // what zeros become by `into`
    const std::int32_t* members_ = nullptr;
    const float* added_ = nullptr;
    std::int64_t length_ = 0, head_ = 0;
};

// How many tokens a thread takes at once, so that all get about as many.
std::int64_t piece_of(std::int64_t tokens, int threads) {
    const std::int64_t own = (tokens + threads - 1) / threads;
    const std::int64_t turns = (own + most_tokens - 1) / most_tokens;
    const std::int64_t piece = (own + std::max<std::int64_t>(turns, 1) - 1) /
                               std::max<std::int64_t>(turns, 1);
    return (piece + group_tokens - 1) / group_tokens * group_tokens;
}

void run(const Work& work, Team& team) {
    const std::int64_t piece = piece_of(work.tokens, team.threads);
    const auto each = [&](const auto& something) {
        const TokenRooms rooms(work, std::min(piece, work.tokens));
        team.deal(work.tokens, group_tokens, piece, [&](std::int64_t begin, std::int64_t end) {
            for (; begin < end; begin += piece) {
                something(work, begin, std::min(piece, end - begin), rooms);
            }
        });
    };
    each(project);
    team.meet();
    {
        Looking looking(work);
        const std::int64_t heads = work.layer.heads;
        team.deal(work.groups.count * heads, 1, 1, [&](std::int64_t begin, std::int64_t end) {
            for (; begin < end; ++begin) looking.look(begin / heads, begin % heads);
        });
    }
    team.meet();
    each(finish);
}

}  // namespace

void run_layer(const WholeLayer& layer, const Groups& groups, std::int64_t tokens,
               const StreamIn& from, const StreamOut& to, int threads) {
    if (tokens == 0) return;
    const Room<float> heads(tokens * 3 * layer.heads * layer.head_width);
    const Work work{layer, groups, from, to, tokens, heads, arithmetic(), seeing_kernels()};
    run_together(threads, [&](Team& team) { run(work, team); });
}

}  // namespace fathom
