// A small pool of threads that run one job together, step by step.
#pragma once

#include <cstdint>
#include <functional>

namespace fathom {

// What a thread knows while it works: which of how many it is, and how to wait for the others.
class Team {
public:
    Team(struct PoolState& state, int thread, int threads)
        : thread(thread), threads(threads), state_(state) {}

    // Returns once every thread of the team has come here. What they wrote before is seen after.
    void meet();

    // The part of `count` units that is this thread's own: whole multiples of `unit`.
    struct Range {
        std::int64_t begin, end;
    };
    Range share(std::int64_t count, std::int64_t unit = 1) const;

    const int thread, threads;

private:
    struct PoolState& state_;
};

// Runs `job` on `threads` threads at once, the caller's own among them, and returns when all are
// done. One job runs at a time; callers wait for one another. Between jobs threads spin for a
// fraction of a millisecond, then sleep. A forked process gets threads of its own.
void run_together(int threads, const std::function<void(Team&)>& job);

}  // namespace fathom
