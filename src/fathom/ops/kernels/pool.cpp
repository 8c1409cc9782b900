#include "pool.hpp"

#include <atomic>
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

constexpr int spins_at_step = 4000;   // some 50 µs: the others are about to arrive
constexpr int spins_between = 20000;  // some 300 µs: what Python does between two tokens

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

struct PoolState {
    explicit PoolState(int threads) : threads(threads), process(getpid()) {
        for (int thread = 1; thread < threads; ++thread) {
            workers.emplace_back([this, thread] { work(thread); });
        }
    }

    ~PoolState() {
        closing = true;
        started.fetch_add(1, std::memory_order_release);
        started.notify_all();
        for (auto& worker : workers) worker.join();
    }

    void run(const std::function<void(Team&)>& work) {
        job = &work;
        running.store(threads - 1, std::memory_order_relaxed);
        started.fetch_add(1, std::memory_order_release);
        started.notify_all();
        Team team(*this, 0, threads);
        work(team);
        for (int spin = 0; running.load(std::memory_order_acquire) != 0; ++spin) {
            spin < spins_at_step ? pause() : std::this_thread::yield();
        }
    }

    void work(int thread) {
        std::uint32_t seen = 0;
        while (true) {
            for (int spin = 0; started.load(std::memory_order_acquire) == seen; ++spin) {
                if (spin < spins_between) {
                    pause();
                } else {
                    started.wait(seen, std::memory_order_acquire);
                }
            }
            ++seen;
            if (closing) return;
            Team team(*this, thread, threads);
            (*job)(team);
            running.fetch_sub(1, std::memory_order_release);
        }
    }

    void meet() {
        const std::uint32_t now = phase.load(std::memory_order_relaxed);
        if (arrived.fetch_add(1, std::memory_order_acq_rel) == threads - 1) {
            arrived.store(0, std::memory_order_relaxed);
            phase.store(now + 1, std::memory_order_release);
            return;
        }
        for (int spin = 0; phase.load(std::memory_order_acquire) == now; ++spin) {
            if (spin < spins_at_step) {
                pause();
            } else {
                std::this_thread::yield();  // another process has the other's core
            }
        }
    }

    const int threads;
    const int process;
    const std::function<void(Team&)>* job = nullptr;
    bool closing = false;
    // Apart, so that waiting for one does not slow the writing of another.
    alignas(64) std::atomic<std::uint32_t> started{0};
    alignas(64) std::atomic<int> running{0};
    alignas(64) std::atomic<int> arrived{0};
    alignas(64) std::atomic<std::uint32_t> phase{0};
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

void Team::meet() {
    if (threads > 1) state_.meet();
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
