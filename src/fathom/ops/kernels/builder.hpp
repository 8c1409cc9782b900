// A program in the making, as Python sees it. What comes in was made by our own lowering; a mistake
// there is a ValueError here, never a wrong access.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "cross_steps.hpp"
#include "experts_step.hpp"
#include "latent_steps.hpp"
#include "recurrence_steps.hpp"
#include "steps.hpp"

namespace fathom {

namespace nb = nanobind;

using Pages = nb::ndarray<std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Floats = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using Scores = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Integers = nb::ndarray<const std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Tables = nb::ndarray<const std::int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Vector = std::optional<Floats>;
using Weights = std::pair<nb::object, Vector>;  // (matrix, bias)
using Columns = std::vector<std::pair<int, std::int64_t>>;  // (buffer, offset) each

inline void require(bool holds, const char* otherwise) {
    if (!holds) throw std::invalid_argument(otherwise);
}

template <typename T>
T named(const std::string& name, const std::vector<const char*>& names) {
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (name == names[i]) return static_cast<T>(i);
    }
    throw std::invalid_argument("unknown name: " + name);
}

Activation activation_named(const std::string& name);

class Builder {
public:
    Builder(std::int64_t most_tokens, int threads) : program_(most_tokens, threads) {}

    int buffer(std::int64_t width, std::int64_t repeats, std::int64_t refined) {
        return program_.buffer(width, repeats, refined);
    }

    // A step each, as `programs/steps.py` has them.
    void embed(const nb::object& table, int target, float scale, const Vector& positions,
               std::int64_t offset, const Vector& constant);
    void add_rows(int target, const Vector& positions, std::int64_t offset,
                  const Vector& constant);
    void norm(int source, int target, const nb::tuple& shape);
    void add(int source, int target, float scale);
    void activate(int gate, std::int64_t gate_offset, int other, std::int64_t other_offset,
                  int target, std::int64_t count, const std::string& kind, float alpha,
                  float limit);
    void gate_rows(int score, int target);
    void multiply(int source, int target, const std::vector<Weights>& factors,
                  int room, float scale, float cap);
    void angles(int target, std::int64_t offset);
    void place(const nb::tuple& heads, int angles, bool interleaved,
               const std::optional<nb::tuple>& query_norm, const std::optional<nb::tuple>& key_norm,
               bool late, float clip, std::int64_t sharpened, float strength);
    void attend(const nb::tuple& heads, int target, const std::string& reach,
                std::int32_t reach_width, float scale, float soft_cap, const Vector& slopes,
                const Vector& sinks, bool causal, bool rounded, bool looks,
                const Vector& distances, bool narrowed, const std::optional<nb::object>& query);
    void experts(int source, int scores, int target, const std::vector<int>& rooms,
                 const nb::tuple& routing, const std::vector<std::vector<Weights>>& experts,
                 const std::string& kind, float alpha, float limit, float scale,
                 bool weighs_input, bool fresh);
    void select(int source, int target);
    void narrow(const std::vector<std::pair<int, int>>& buffers);
    void deliver(int source);

    // Those of recurrences. Vectors hold decay, bias of the time step and skip, in this order.
    void convolve(const std::pair<int, std::int64_t>& source, int target, std::int64_t channels,
                  std::int64_t kernel, const Floats& weight, const Vector& bias,
                  const std::string& activation, std::int64_t slot_offset);
    void scan(const Columns& columns, int target, std::int64_t inner, std::int64_t state_width,
              const std::array<Floats, 3>& vectors, std::int64_t slot_offset);
    void dual(const Columns& columns, int target, const std::array<std::int64_t, 4>& shape,
              const std::pair<float, float>& limits, const std::array<Floats, 3>& vectors,
              std::int64_t slot_offset);
    void delta(const Columns& columns, int target, const std::array<std::int64_t, 4>& shape,
               const std::array<Floats, 2>& vectors, const nb::tuple& norm,
               std::int64_t slot_offset);

    // Those of attention over latents.
    void multiply_heads(const std::pair<int, std::int64_t>& source, std::int64_t stride, int target,
                        int room, const std::vector<nb::object>& matrices);
    void place_latent(const nb::tuple& heads, int latents, int angles, bool interleaved,
                      const nb::tuple& norm);
    void attend_latent(const nb::tuple& heads, int asked, int target, float scale);

    // Those of texts that look at a source.
    void accept(int target);
    void waves(int target);
    void look(const nb::tuple& heads, int target, std::int64_t offset,
              const std::vector<std::int64_t>& chosen, std::int64_t most, float scale);

    void finish() { program_.finish(); }

    void run(const Integers& ids, const Integers& positions, const Integers& owners,
             const Integers& begins, const Floats& frequencies,
             const std::vector<std::tuple<Pages, Tables>>& pools, const Pages& slots,
             const Integers& slot_numbers, const Integers& chosen, Scores& scores,
             const std::optional<Integers>& read, const Vector& given);

    std::int64_t bytes() const { return program_.bytes(); }
    std::int64_t steps() const { return program_.steps(); }
    std::int64_t most_tokens() const { return program_.most_tokens(); }
    std::vector<std::int64_t> page_bytes() const { return page_bytes_; }
    std::int64_t slot_bytes() const { return slot_bytes_; }

private:
    template <typename S> void append(S step, int writes) {
        program_.append(std::make_unique<S>(std::move(step)), writes);
    }

    PackedMatrix matrix(const nb::object& owner);
    // Numbers that stay alive with the program: `size` of them, or with 0 a multiple of `width`.
    const float* vector(const Vector& numbers, std::int64_t size, std::int64_t width);
    void note_positions(const Vector& positions, std::int64_t offset, std::int64_t width);
    // (width, parts, shared, centred, epsilon, weight, bias)
    NormShape norm_shape(const nb::tuple& described);
    NormShape head_norm(const nb::tuple& described, std::int64_t heads, const Heads& of);
    // (source, heads, kv_heads, width, pool, page_offset, float32); rows that look hold queries alone
    Heads heads_of(const nb::tuple& described, bool looks = false);
    // (scoring, experts, active, renormalise, floor, scale, jitter, correction, groups,
    //  active_groups, best)
    Routing routing_of(const nb::tuple& described);
    Expert expert(const std::vector<Weights>& maps, const ExpertsStep& step);
    // (queries, heads, plain, latent, turned, pool, page_offset, float32)
    LatentHeads latent_heads_of(const nb::tuple& described);
    Column column(const std::pair<int, std::int64_t>& described, std::int64_t width);
    // Notes what a step remembers of a sequence, and returns its offset.
    std::int64_t remember(std::int64_t offset, std::int64_t numbers);
    void per_head(HeadsStep& step, int target, std::int64_t heads, std::int64_t width,
                  const Floats& decay, const Floats& bias);
    void check_tokens(const Batch& batch) const;
    // Pages out of a window's reach may be anything that lies in the pool.
    static void check_pages(const Batch& batch, const Pool& pool);
    // Of a source that is looked at.
    void check_source(const Batch& batch, const Pool& pool) const;
    static void check_table(const Batch& batch, const Pool& pool);
    static void check_slots(const Batch& batch, std::int64_t count);

    Program program_;
    std::vector<nb::object> kept_;  // arrays that steps look into
    std::int64_t vocabulary_ = 0, scores_width_ = 0, frequency_width_ = 0;
    std::int64_t most_positions_ = INT32_MAX;
    std::vector<std::int64_t> page_bytes_;
    std::vector<bool> looked_at_;   // pools that hold a source
    std::int64_t most_read_ = INT32_MAX;  // tokens of a source whose shares have room
    std::int64_t given_width_ = 0;
    std::int64_t slot_bytes_ = 0;
    bool whole_ = false;  // whether all tokens of a sequence have to come together
};

}  // namespace fathom
