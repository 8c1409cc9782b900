#include "pool.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#if defined(_WIN32)
#include <process.h>
#define getpid _getpid
#else
#include <unistd.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace fathom {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int spins_at_step = 4000;   // some 50 µs: the others are about to arrive
constexpr int spins_between = 20000;  // some 300 µs: what Python does between two tokens
constexpr int most_alone = 64;        // jobs that the caller runs alone before it asks for others

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// A number that several threads write: apart, so that waiting for one does not slow another.
struct alignas(64) Apart {
    std::atomic<std::uint32_t> value{0};
};

// Passes the time: fetches a little of what comes next, as long as there is something.
void pass(Ahead& ahead) {
    if (ahead.next >= ahead.end) return pause();
    constexpr int line = 64, lines = 4;
    for (int i = 0; i < lines; ++i) __builtin_prefetch(ahead.next + i * line, 0, 2);
    ahead.next += lines * line;
}

// Waits until `number` is not `now`: first awake, which is quick, then asleep, which leaves the
// core to others, perhaps to the very thread that is waited for. Returns how long it slept.
Clock::duration await(const Apart& number, std::uint32_t now, int spins, Ahead& ahead) {
    for (int spin = 0; spin < spins; ++spin) {
        if (number.value.load(std::memory_order_acquire) != now) return {};
        pass(ahead);
    }
    const Clock::time_point began = Clock::now();
    number.value.wait(now, std::memory_order_acquire);
    return Clock::now() - began;
}

void raise(Apart& number) {
    number.value.fetch_add(1, std::memory_order_release);
    number.value.notify_all();
}

}  // namespace

struct PoolState {
    explicit PoolState(int threads)
        : threads(threads), taken(new Apart[static_cast<std::size_t>(threads)]) {
        for (int thread = 1; thread < threads; ++thread) {
            workers.emplace_back([this, thread] { work(thread); });
        }
    }

    ~PoolState() {
        closing = true;
        raise(started);
        for (auto& worker : workers) worker.join();
    }

    void run(const std::function<void(Team&)>& own) {
        if (alone > 0) {
            --alone;
            Team team(*this, 0, 1);
            return own(team);
        }
        const Clock::time_point began = Clock::now();
        slept = {};
        job = &own;
        raise(started);
        Team team(*this, 0, threads);
        own(team);
        team.meet();
        // Who slept for more than half of the time would have been as quick alone.
        longest_alone = 2 * slept < Clock::now() - began ? 0 : longest_alone * 2 + 1;
        if (longest_alone > most_alone) longest_alone = most_alone;
        alone = longest_alone;
    }

    void work(int thread) {
        Ahead nothing;
        for (std::uint32_t seen = 0;; ++seen) {
            await(started, seen, spins_between, nothing);
            if (closing) return;
            Team team(*this, thread, threads);
            (*job)(team);
            team.meet();
        }
    }

    bool arrive(int thread, Ahead& ahead) {
        const std::uint32_t now = phase.value.load(std::memory_order_relaxed);
        const std::uint32_t before = arrived.value.fetch_add(1, std::memory_order_acq_rel);
        if (static_cast<int>(before) == threads - 1) return true;
        const Clock::duration waited = await(phase, now, spins_at_step, ahead);
        if (thread == 0) slept += waited;
        return false;
    }

    void release() {
        arrived.value.store(0, std::memory_order_relaxed);
        for (int thread = 0; thread < threads; ++thread) {
            taken[thread].value.store(0, std::memory_order_relaxed);
        }
        raise(phase);
    }

    const int threads;
    const std::function<void(Team&)>* job = nullptr;
    bool closing = false;
    int alone = 0, longest_alone = 0;  // jobs
    Clock::duration slept{};           // of the caller, in this job
    Apart started, arrived, phase;
    const std::unique_ptr<Apart[]> taken;  // pieces of each thread's share
    std::vector<std::thread> workers;
};

namespace {

// One pool for the process, and the turn to use it. Both are left behind, never freed, in a fork:
// the threads are not there, and somebody may have had the turn.
struct Pools {
    const int process = getpid();
    std::mutex turn;
    std::unique_ptr<PoolState> pool;
};

std::atomic<Pools*> pools{nullptr};

Pools& own_pools() {
    Pools* found = pools.load(std::memory_order_acquire);
    while (found == nullptr || found->process != getpid()) {
        auto* made = new Pools;
        if (pools.compare_exchange_strong(found, made)) return *made;
        delete made;
    }
    return *found;
}

}  // namespace

bool Team::arrive(Ahead& ahead) { return state_.arrive(thread, ahead); }

void Team::release() { state_.release(); }

std::int64_t Team::take(int from) {
    return state_.taken[from].value.fetch_add(1, std::memory_order_relaxed);
}

Team::Range Team::share(std::int64_t count, std::int64_t unit) const {
    const std::int64_t units = (count + unit - 1) / unit;
    const std::int64_t begin = units * thread / threads * unit;
    const std::int64_t end = units * (thread + 1) / threads * unit;
    return {begin, end < count ? end : count};
}

void run_together(int threads, const std::function<void(Team&)>& job) {
    Pools& own = own_pools();
    const std::lock_guard<std::mutex> turn(own.turn);
    if (own.pool == nullptr || own.pool->threads != threads) {
        own.pool.reset();
        own.pool = std::make_unique<PoolState>(threads);
    }
    own.pool->run(job);
}

}  // namespace fathom
