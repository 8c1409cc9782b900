// The steps that programs are made of. Buffers are numbers that `Program::buffer` gave.
#pragma once

#include <vector>

#include "program.hpp"

namespace fathom {

// Rows of a table → a buffer: row(id) · scale + positions[position + offset] + constant.
struct EmbedStep final : Step {
    PackedMatrix table;
    int target;
    float scale = 1;
    const float* positions = nullptr;  // (…, width) or nullptr
    std::int64_t offset = 0;
    const float* constant = nullptr;  // (width) or nullptr

    void run(Run& run, Team& team) const override;
    bool by_rows() const override { return true; }
};

struct AddRowsStep final : Step {  // what an embedding adds after its rows were widened
    int target;
    const float* positions = nullptr;
    std::int64_t offset = 0;
    const float* constant = nullptr;

    void run(Run& run, Team& team) const override;
    bool by_rows() const override { return true; }
};

struct NormStep final : Step {
    int source, target;  // may be one
    NormShape shape;

    void run(Run& run, Team& team) const override;
    bool by_rows() const override { return true; }
};

// target += scale · source
struct AddStep final : Step {
    int source, target;
    float scale;

    void run(Run& run, Team& team) const override;
    bool by_rows() const override { return true; }
};

// target = activation(gate) · other, or of the gate alone. Either is a part of its buffer's rows.
struct ActivateStep final : Step {
    int gate, other, target;  // other is -1 for none
    std::int64_t gate_offset, other_offset, count;
    Activation kind;
    float alpha, limit;

    void run(Run& run, Team& team) const override;
    bool by_rows() const override { return true; }
};

// target = target · sigmoid(score), a number for each row.
struct GateRowsStep final : Step {
    int score, target;

    void run(Run& run, Team& team) const override;
    bool by_rows() const override { return true; }
};

// Rows `offset` on of the target's: one of several matrices that read the same activations.
struct Factor {
    PackedMatrix matrix;
    const float* bias;    // (rows) or nullptr
    std::int64_t offset;  // of its first result in the target's rows
};

// target = bound(source · factors + bias, scale, cap), or with `adds` target += that · scale.
// A target of -1 is the batch's scores.
struct MultiplyStep final : Step {
    int source, target, room;  // room: where results that are added lie first
    std::vector<Factor> factors;
    bool adds;
    float scale, cap;

    void run(Run& run, Team& team) const override;
    bool reads_weights() const override { return true; }
    Ahead ahead(const Team& team) const override;

private:
    std::int64_t panels() const;
    std::int64_t piece(int threads) const;
    void multiply_rows(const Run& run, const Factor& factor, std::int64_t begin,
                       std::int64_t end) const;
};

// Cosines, then sines, for the positions of all tokens: (tokens, 2 · half).
struct AnglesStep final : Step {
    int target;
    std::int64_t half, offset;  // of half frequencies and a factor in a sequence's frequencies

    void run(Run& run, Team& team) const override;
    bool by_rows() const override { return true; }
};

// What the heads of one layer are, and where their keys lie.
struct Heads {
    int source;  // rows of query, key and value heads
    std::int64_t heads, kv_heads, width;
    std::size_t pool;
    std::int64_t page_offset;  // bytes that layers before this one take in each page
    StateType type;

    std::int64_t head_bytes() const;  // of one head in a page
    // Where this layer's pages begin.
    std::uint8_t* pages(const Pool& pool) const { return pool.pages + page_offset * pool.count; }
    // Whether a norm is over one head, and not over all of them.
    bool own(const NormShape& norm) const { return norm.parts * norm.width == width; }
};

// Norms and turns queries and keys, and writes keys and values to their pages.
struct PlaceStep final : Step {
    Heads heads;
    int angles = -1;
    std::int64_t half = 0;
    bool interleaved = false;
    bool query_normed = false, key_normed = false, late = false;
    NormShape query_norm, key_norm;
    float clip = 0;              // 0 for none
    std::int64_t sharpened = 0;  // positions after which queries grow once more; 0 for never
    float strength = 0;

    void run(Run& run, Team& team) const override;
    bool alone(const Run& run) const override { return run.rows == 1 && heads.kv_heads <= 4; }

private:
    void place(const Run& run, std::int64_t token, std::int64_t kv_head) const;
    void prepare_heads(const Run& run, float* first, std::int64_t count, std::int64_t token,
                       bool normed, const NormShape& norm) const;
};

enum class Reach : std::int32_t { Everything, Window, Chunk };

struct AttendStep final : Step {
    Heads heads;
    int target;
    Reach reach;
    std::int32_t reach_width;
    float scale, soft_cap;
    const float* slopes = nullptr;  // (heads) or nullptr
    const float* sinks = nullptr;   // (heads) or nullptr
    bool rounded = false;           // slopes are RoundedAlibi's
    bool causal = true;             // else tokens see those after them too: texts come whole
    bool narrowed = false;          // of rows that nobody chose nothing is read
    bool looks = false;             // at a source: rows hold queries alone
    const float* distances = nullptr;  // (heads, 2 · furthest + 1) or nullptr
    std::int32_t furthest = 0;
    bool paired = false;  // scores of a prompt from queries and keys in bfloat16

    void run(Run& run, Team& team) const override;
    std::int64_t scratch(int threads) const override;

private:
    // Up to `most` queries that share a key head, and one of the parts of the keys they see.
    struct Item {
        std::int64_t sequence, kv_head, block, most, part, parts;
    };
    struct Gathered;

    std::int64_t rows_at_once(bool prompt) const;
    std::int64_t blocks(const Batch& batch, std::int64_t sequence, bool prompt) const;
    std::int64_t items(const Batch& batch, bool prompt) const;
    Item item(const Batch& batch, bool prompt, std::int64_t index) const;
    std::int64_t parts(const Batch& batch) const;
    std::int32_t first_key(std::int32_t position) const;
    std::int32_t last(const Batch& batch, std::int64_t sequence, std::int32_t position) const;
    Gathered gather(const Run& run, const Item& item, float* queries) const;
    bool wanted(const Batch& batch, const Item& item) const;
    void attend(const Run& run, const Item& item, std::int64_t index) const;
    void merge(const Run& run, const Item& item, std::int64_t index) const;
    void deliver(const Run& run, const Gathered& gathered, const float* results) const;
    float* partial(const Run& run, std::int64_t index) const;
    std::int64_t partial_floats() const;
};

// From here on there is a row per output, not per token.
struct SelectStep final : Step {
    int source, target;

    void run(Run& run, Team& team) const override;
    bool by_rows() const override { return true; }
    bool alone(const Run&) const override { return false; }  // every thread learns the rows
};

// From here on rows are those of the chosen tokens, in every buffer that is read again.
struct NarrowStep final : Step {
    struct Narrowed {
        int rows, room;  // room: where they lie meanwhile
    };
    std::vector<Narrowed> buffers;

    void run(Run& run, Team& team) const override;
};

// The chosen tokens' rows as the results, in place of scores.
struct DeliverStep final : Step {
    int source;

    void run(Run& run, Team& team) const override;
};

}  // namespace fathom
