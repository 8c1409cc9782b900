// A small pool of threads that run one job together, step by step.
#pragma once

#include <cstdint>
#include <functional>

namespace fathom {

// What a thread will read of memory next, and fetches into its cache while it waits for others.
struct Ahead {
    const std::uint8_t *next = nullptr, *end = nullptr;
};

// What a thread knows while it works: which of how many it is, and how to wait for the others.
class Team {
public:
    Team(struct PoolState& state, int thread, int threads)
        : thread(thread), threads(threads), state_(state) {}

    // Returns once every thread of the team has come here. What they wrote before is seen after.
    void meet() {
        Ahead nothing;
        if (threads > 1 && arrive(nothing)) release();
    }
    // The same, and the last thread to come does `work` while the others wait for it.
    template <class Work>
    void meet(const Work& work) {
        Ahead nothing;
        meet(nothing, work);
    }
    template <class Work>
    void meet(Ahead& ahead, const Work& work) {
        if (threads == 1) return work();
        if (!arrive(ahead)) return;
        work();
        release();
    }

    // A team of this thread only, for work that the others wait for.
    Team alone() const { return {state_, 0, 1}; }

    // The part of `count` units that is this thread's own: whole multiples of `unit`.
    struct Range {
        std::int64_t begin, end;
    };
    Range share(std::int64_t count, std::int64_t unit = 1) const;

    // Deals `count` units out in pieces of about `piece` units, whole multiples of `unit`, and
    // calls work(begin, end) for each that this thread gets: its own share first, in order, then
    // what another has not begun of its own. So a thread whose core is taken away holds up one
    // piece and not its share. Once between two meetings.
    template <class Work>
    void deal(std::int64_t count, std::int64_t unit, std::int64_t piece, const Work& work) {
        if (count == 0) return;
        if (threads == 1) return work(std::int64_t{0}, count);
        const auto [step, pieces] = cut(count, unit, piece);
        for (int turn = 0; turn < threads; ++turn) {
            const int from = thread + turn < threads ? thread + turn : thread + turn - threads;
            const std::int64_t last = pieces * (from + 1) / threads;
            for (std::int64_t next; (next = pieces * from / threads + take(from)) < last;) {
                const std::int64_t end = (next + 1) * step;
                work(next * step, end < count ? end : count);
            }
        }
    }

    // The first of so many units that `deal` would give this thread.
    std::int64_t first(std::int64_t count, std::int64_t unit, std::int64_t piece) const {
        const auto [step, pieces] = cut(count, unit, piece);
        return pieces * thread / threads * step;
    }

    const int thread, threads;

private:
    struct Pieces {
        std::int64_t step, count;
    };
    static Pieces cut(std::int64_t count, std::int64_t unit, std::int64_t piece) {
        const std::int64_t step = piece > unit ? (piece + unit - 1) / unit * unit : unit;
        return {step, (count + step - 1) / step};
    }
    // Whether this thread came last, and has to let the others go; else they were let go.
    bool arrive(Ahead& ahead);
    void release();
    // The number of pieces of a thread's share that were taken before this one.
    std::int64_t take(int from);

    struct PoolState& state_;
};

// Runs `job` on up to `threads` threads at once, the caller's own among them, and returns when all
// are done. One job runs at a time; callers wait for one another. Who waits spins for some
// microseconds, then sleeps, so that other work gets the core. Where other work has the cores, so
// that threads mostly wait for one another, the caller runs some jobs alone. A forked process
// gets threads of its own.
void run_together(int threads, const std::function<void(Team&)>& job);

}  // namespace fathom
