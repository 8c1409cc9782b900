#include "program.hpp"

#include <algorithm>
#include <new>
#include <stdexcept>

namespace fathom {

namespace {

constexpr std::int64_t aligned(std::int64_t bytes) {
    return (bytes + alignment - 1) / alignment * alignment;
}

// Prepares a buffer whose writer could not: its rows were made of pieces by several threads.
class Prepare final : public Step {
public:
    Prepare(int buffer, ActivationKind kind) : buffer_(buffer), kind_(kind) {}

    void run(Run& run, Team& team) const override {
        const auto [begin, end] = team.share(run.rows);
        run.prepare(buffer_, kind_, begin, end);
    }
    bool alone(const Run& run) const override { return run.rows == 1; }

private:
    int buffer_;
    ActivationKind kind_;
};

}  // namespace

void Run::prepare(int buffer, ActivationKind kind, std::int64_t begin, std::int64_t end) const {
    const Buffer& found = buffers[static_cast<std::size_t>(buffer)];
    std::uint8_t* made = found.activations[static_cast<std::size_t>(kind)];
    quantise(kind, found.rows, found.width, rows, found.width, begin, end, made);
    if (kind != ActivationKind::Bytes || found.refined == 0) return;
    refine(found.rows, found.width, rows, found.width, begin, end, found.refined, made);
}

Program::Program(std::int64_t most_tokens, int threads)
    : most_tokens_(most_tokens), threads_(threads) {
    if (most_tokens < 1 || threads < 1) {
        throw std::invalid_argument("a program takes at least one token and one thread");
    }
}

int Program::buffer(std::int64_t width, std::int64_t repeats, std::int64_t refined) {
    if (width < 1 || repeats < 1) throw std::invalid_argument("a buffer has a width and rows");
    if (refined < 0) throw std::invalid_argument("a buffer has no fewer remainders than none");
    buffers_.push_back({width, repeats, nullptr, {}, {}, refined});
    writers_.push_back(-1);
    return static_cast<int>(buffers_.size()) - 1;
}

void Program::reserve(int buffer, ActivationKind kind) {
    buffers_.at(static_cast<std::size_t>(buffer)).wanted[static_cast<std::size_t>(kind)] = true;
}

void Program::want(int buffer, ActivationKind kind) {
    reserve(buffer, kind);
    const auto place = static_cast<std::size_t>(kind);
    const int writer = writers_.at(static_cast<std::size_t>(buffer));
    if (writer < 0) throw std::invalid_argument("a product reads a buffer that nothing wrote");
    Entry& entry = entries_[static_cast<std::size_t>(writer)];
    const bool prepared = entry.prepares[place];
    entry.prepares[place] = true;
    if (!prepared && !entry.step->by_rows()) {
        entries_.push_back({std::make_unique<Prepare>(buffer, kind), -1, {}});
    }
}

void Program::append(std::unique_ptr<Step> step, int writes) {
    if (arena_ != nullptr) throw std::invalid_argument("the program is finished");
    if (writes >= 0) writers_.at(static_cast<std::size_t>(writes)) = static_cast<int>(steps());
    entries_.push_back({std::move(step), writes, {}});
}

void Program::wrote(int buffer) {
    writers_.at(static_cast<std::size_t>(buffer)) = static_cast<int>(steps()) - 1;
}

void Program::finish() {
    std::int64_t offset = 0;
    const auto reserve = [&](std::int64_t size) {
        const std::int64_t begin = offset;
        offset += aligned(size);
        return begin;
    };
    struct Places {
        std::int64_t rows;
        std::array<std::int64_t, activation_kinds> activations;
    };
    std::vector<Places> places;
    for (const Buffer& buffer : buffers_) {
        Places& own = places.emplace_back();
        const std::int64_t rows = most_tokens_ * buffer.repeats;
        own.rows = reserve(rows * buffer.width * static_cast<std::int64_t>(sizeof(float)));
        for (int kind = 0; kind < activation_kinds; ++kind) {
            const auto place = static_cast<std::size_t>(kind);
            if (!buffer.wanted[place]) continue;
            own.activations[place] =
                reserve(activation_bytes(static_cast<ActivationKind>(kind), rows, buffer.width,
                                         buffer.refined));
        }
    }
    const Step* heavy = nullptr;
    for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry) {
        if (entry->step->reads_weights()) heavy = entry->step.get();
        entry->heavy = heavy;
    }
    std::int64_t most_scratch = 0;
    for (const Entry& entry : entries_) {
        most_scratch = std::max(most_scratch, entry.step->scratch(threads_));
    }
    const std::int64_t scratch = reserve(most_scratch * static_cast<std::int64_t>(sizeof(float)));
    bytes_ = offset + alignment;
    // Not touched here: pages that a short prompt never reaches cost nothing.
    arena_ = std::make_unique_for_overwrite<std::uint8_t[]>(static_cast<std::size_t>(bytes_));
    auto* base = reinterpret_cast<std::uint8_t*>(
        aligned(static_cast<std::int64_t>(reinterpret_cast<std::intptr_t>(arena_.get()))));
    scratch_ = reinterpret_cast<float*>(base + scratch);
    for (std::size_t i = 0; i < buffers_.size(); ++i) {
        buffers_[i].rows = reinterpret_cast<float*>(base + places[i].rows);
        for (std::size_t kind = 0; kind < activation_kinds; ++kind) {
            if (buffers_[i].wanted[kind]) {
                buffers_[i].activations[kind] = base + places[i].activations[kind];
            }
        }
    }
}

void Program::run(const Entry& entry, Run& run, Team& team) const {
    entry.step->run(run, team);
    if (!entry.step->by_rows()) return;
    const auto [begin, end] = team.share(run.rows);
    for (int kind = 0; kind < activation_kinds; ++kind) {
        if (!entry.prepares[static_cast<std::size_t>(kind)]) continue;
        run.prepare(entry.writes, static_cast<ActivationKind>(kind), begin, end);
    }
}

void Program::run(const Batch& batch) {
    if (arena_ == nullptr) throw std::invalid_argument("the program is not finished");
    run_together(threads_, [&](Team& team) {
        Run run{batch, buffers_, arithmetic(), scratch_, batch.tokens};
        const Step* heavy = nullptr;
        Ahead ahead;
        for (auto entry = entries_.begin(); entry != entries_.end();) {
            if (!entry->step->alone(run)) this->run(*entry++, run, team);
            const auto small = entry;
            while (entry != entries_.end() && entry->step->alone(run)) ++entry;
            if (entry != entries_.end() && entry->heavy != heavy) {
                heavy = entry->heavy;
                ahead = heavy == nullptr ? Ahead{} : heavy->ahead(team);
            }
            team.meet(ahead, [&] {
                Team one = team.alone();
                for (auto each = small; each != entry; ++each) this->run(*each, run, one);
            });
        }
    });
}

}  // namespace fathom
