// A program: a flat list of steps over preallocated rows, run by a team of threads in one call.
//
// Between the products everything is float32 rows, one per token, in numbered buffers. Tokens of
// several sequences lie one after the other, and each sequence brings as many as it likes: a piece
// of a prompt, or the one token that was chosen last. What earlier tokens left lies in pages of
// the caller's, which the caller's page tables name.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "arithmetic.hpp"
#include "packed.hpp"
#include "pool.hpp"

namespace fathom {

constexpr int activation_kinds = 3;
using Kinds = std::array<bool, activation_kinds>;

// Rows of floats, and what they become for products, per kind; there where some product asks.
struct Buffer {
    std::int64_t width;
    std::int64_t repeats;  // rows per token
    float* rows;
    Kinds wanted;
    std::array<std::uint8_t*, activation_kinds> activations;
    std::int64_t refined;  // blocks of a row that bring their remainders: see Activations
};

// The pages of layers that reach equally far back. Pages of one layer lie side by side, so that
// it reads one stream: [layer][page][head].
struct Pool {
    std::uint8_t* pages;
    std::int64_t count;  // of pages
    const std::int32_t* tables;  // (sequences, table_width): page of each `page_tokens` positions
    std::int64_t table_width;
};

// What recurrences remember: a slot for each sequence, whatever its length.
struct Slots {
    std::uint8_t* memory;
    std::int64_t bytes;           // of one slot
    const std::int32_t* numbers;  // (sequences): which slot is whose
};

// One call: `tokens` tokens of `sequences` sequences.
struct Batch {
    std::int64_t tokens;
    const std::int32_t* ids;        // (tokens)
    const std::int32_t* positions;  // (tokens)
    const std::int32_t* owners;     // (tokens): which sequence
    std::int64_t sequences;
    const std::int32_t* begins;     // (sequences + 1): a sequence's first token
    const float* frequencies;       // (sequences, frequency_width)
    std::int64_t frequency_width;
    std::vector<Pool> pools;
    std::int64_t outputs;           // rows that scores are wanted of
    const std::int32_t* chosen;     // (outputs): their tokens
    float* scores;                  // (outputs, vocabulary)
    Slots slots;
    const std::int32_t* read = nullptr;  // (sequences): tokens of the source that each looks at
    const float* given = nullptr;        // (tokens, width): rows in place of a table's

    // Numbers that a sequence remembers, from an offset of its slot on.
    float* remembered(std::int64_t sequence, std::int64_t offset) const {
        return reinterpret_cast<float*>(slots.memory + slots.numbers[sequence] * slots.bytes +
                                        offset);
    }
};

// What a step needs while it runs.
struct Run {
    const Batch& batch;
    const std::vector<Buffer>& buffers;
    const Arithmetic& arithmetic;
    float* scratch;     // as much as the step asked for, shared by the team
    std::int64_t rows;  // tokens, or after `Select` the outputs

    float* row(int buffer, std::int64_t index) const {
        const Buffer& found = buffers[static_cast<std::size_t>(buffer)];
        return found.rows + index * found.width;
    }
    std::int64_t width(int buffer) const {
        return buffers[static_cast<std::size_t>(buffer)].width;
    }
    Activations activations(int buffer, ActivationKind kind) const {
        const Buffer& found = buffers[static_cast<std::size_t>(buffer)];
        return {kind, rows, found.width, found.activations[static_cast<std::size_t>(kind)],
                kind == ActivationKind::Bytes ? found.refined : 0};
    }
    // Makes activations of rows `begin` to `end` of a buffer.
    void prepare(int buffer, ActivationKind kind, std::int64_t begin, std::int64_t end) const;
};

class Step {
public:
    virtual ~Step() = default;
    // Called by every thread of the team; the program lets them meet after every step.
    virtual void run(Run& run, Team& team) const = 0;
    // Whether each thread fills whole rows, `team.share(run.rows)`, so that it may go on to
    // prepare them for products before it meets the others.
    virtual bool by_rows() const { return false; }
    // Whether it is so little that one thread does it while the others wait: a meeting less.
    virtual bool alone(const Run& run) const { return by_rows() && run.rows == 1; }
    // Whether it reads many weights, and which of them a thread of the team reads first.
    virtual bool reads_weights() const { return false; }
    virtual Ahead ahead(const Team& /*team*/) const { return {}; }
    // Floats that a team needs while it runs this step.
    virtual std::int64_t scratch(int /*threads*/) const { return 0; }
};

class Program {
public:
    // Throws std::invalid_argument for sizes below one.
    Program(std::int64_t most_tokens, int threads);

    // All of these come before `finish`; those that return a number add a buffer.
    int buffer(std::int64_t width, std::int64_t repeats = 1, std::int64_t refined = 0);
    // Asks that a buffer be prepared for products with such weights, since it was written last.
    void want(int buffer, ActivationKind kind);
    // Makes room for such activations, which a step fills by itself.
    void reserve(int buffer, ActivationKind kind);
    void append(std::unique_ptr<Step> step, int writes);
    // Says that the step that was appended last wrote another buffer too.
    void wrote(int buffer);
    // Allocates the rows; only running comes after.
    void finish();

    void run(const Batch& batch);

    std::int64_t most_tokens() const { return most_tokens_; }
    std::int64_t bytes() const { return bytes_; }
    std::int64_t steps() const { return static_cast<std::int64_t>(entries_.size()); }
    const Buffer& at(int buffer) const { return buffers_.at(static_cast<std::size_t>(buffer)); }

private:
    struct Entry {
        std::unique_ptr<Step> step;
        int writes;
        Kinds prepares{};  // kinds of activations that threads make of the rows they filled
        const Step* heavy = nullptr;  // the next step from here on that reads much of memory
    };

    void run(const Entry& entry, Run& run, Team& team) const;

    std::int64_t most_tokens_;
    int threads_;
    std::vector<Buffer> buffers_;
    std::vector<int> writers_;  // the entry that wrote each buffer last; -1 for none
    std::vector<Entry> entries_;
    std::int64_t bytes_ = 0;
    std::unique_ptr<std::uint8_t[]> arena_;
    float* scratch_ = nullptr;
};

}  // namespace fathom
