#include "filling.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "layout.hpp"

namespace fathom {
namespace {

constexpr std::int64_t piece_bytes = 256 << 10;  // of a file, and so in a core's own cache

// Fills `bytes` of a file from `offset` on. Returns the system's number of what went wrong, 0 for a
// file that ended early, or -1.
int read_at(int descriptor, std::int64_t offset, std::int64_t bytes, std::uint8_t* target) {
    while (bytes > 0) {
        const ssize_t got = ::pread(descriptor, target, static_cast<std::size_t>(bytes), offset);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got == 0 ? 0 : errno;
        target += got;
        offset += got;
        bytes -= got;
    }
    return -1;
}

// What one thread reads into; only as large as it ever was asked to be. Its pages are its own: a
// heap that goes with the thread would keep them.
class Room {
public:
    Room() = default;
    ~Room() { give_back(); }
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;

    std::uint8_t* of(std::int64_t bytes) {
        if (bytes > bytes_) {
            give_back();
            void* mapped = ::mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (mapped == MAP_FAILED) return nullptr;
            place_ = static_cast<std::uint8_t*>(mapped);
            bytes_ = bytes;
        }
        return place_;
    }

private:
    void give_back() {
        if (bytes_ > 0) ::munmap(place_, static_cast<std::size_t>(bytes_));
        place_ = nullptr;
        bytes_ = 0;
    }

    std::int64_t bytes_ = 0;
    std::uint8_t* place_ = nullptr;
};

struct Rooms {
    Room read, ordered;
};

// Where rows `begin` to `end` of a source lie in its tensor: the least, how many until the last.
struct Span {
    std::int64_t least, rows;
    bool ordered;  // whether they are just these, in order
};

Span span_of(const FileRows& source, std::int64_t begin, std::int64_t end) {
    if (source.chosen.empty()) return {source.first + begin, end - begin, true};
    const auto first = source.chosen.begin() + begin, last = source.chosen.begin() + end;
    const auto [low, high] = std::minmax_element(first, last);
    const auto apart = [](std::int64_t one, std::int64_t next) { return next != one + 1; };
    return {*low, *high - *low + 1, std::adjacent_find(first, last, apart) == last};
}

// Reads rows `begin` to `end` of a source, one after the other, to where `found` says. Those that
// lie close to each other are read at once and put in order.
int read_rows(const FileRows& source, std::int64_t begin, std::int64_t end, std::int64_t row_bytes,
              Rooms& rooms, std::uint8_t*& found) {
    const Span span = span_of(source, begin, end);
    const std::int64_t count = end - begin;
    const bool close = span.rows <= 2 * count;
    if (close) {
        found = rooms.read.of(span.rows * row_bytes);
        if (found == nullptr) return ENOMEM;
        const int error = read_at(source.descriptor, source.offset + span.least * row_bytes,
                                  span.rows * row_bytes, found);
        if (error >= 0 || span.ordered) return error;
    }
    const std::uint8_t* read = found;
    found = rooms.ordered.of(count * row_bytes);
    if (found == nullptr) return ENOMEM;
    for (std::int64_t row = 0; row < count; ++row) {
        const std::int64_t from = source.chosen[static_cast<std::size_t>(begin + row)];
        std::uint8_t* target = found + row * row_bytes;
        if (close) {
            std::memcpy(target, read + (from - span.least) * row_bytes,
                        static_cast<std::size_t>(row_bytes));
            continue;
        }
        const int error = read_at(source.descriptor, source.offset + from * row_bytes, row_bytes,
                                  target);
        if (error >= 0) return error;
    }
    return -1;
}

}  // namespace

std::int64_t Filling::add(const OwnedMatrix& matrix, FileRows source, std::int64_t first_row) {
    const PackedMatrix& view = matrix.view();
    const std::int64_t count = source.count;
    if (first_row < 0 || count < 0 || count > view.rows - first_row) {
        throw std::invalid_argument("the rows are in the matrix");
    }
    const auto& chosen = source.chosen;
    const bool before = std::any_of(chosen.begin(), chosen.end(), [](auto row) { return row < 0; });
    if (source.first < 0 || before) {
        throw std::invalid_argument("rows of a file are counted from zero");
    }
    require_becomes(source.encoding, view.encoding);
    const std::int64_t row_bytes = source_row_bytes(source.encoding, view.columns);
    const std::int64_t wide = std::max<std::int64_t>(row_bytes, 1);
    const std::int64_t step =
        std::max<std::int64_t>(piece_bytes / wide / panel_rows, 1) * panel_rows;
    const std::lock_guard<std::mutex> locked(guard_);
    const auto job = static_cast<std::int64_t>(jobs_.size());
    jobs_.push_back({matrix, std::move(source), first_row});
    const std::int64_t some = row_bytes > 0 ? count : 0;  // rows without columns have nothing
    for (std::int64_t begin = 0; begin < some; begin += step) {
        pieces_.push_back({job, begin, std::min(begin + step, count)});
    }
    while (static_cast<int>(workers_.size()) < threads_) workers_.emplace_back([this] { work(); });
    changed_.notify_all();
    return job;
}

void Filling::work() {
    Rooms rooms;
    std::unique_lock<std::mutex> locked(guard_);
    for (;;) {
        changed_.wait(locked, [this] { return stopping_ || !pieces_.empty(); });
        if (stopping_) return;
        const Piece piece = pieces_.front();
        pieces_.pop_front();
        ++under_way_;
        Job& job = jobs_[static_cast<std::size_t>(piece.job)];
        locked.unlock();
        const PackedMatrix& view = job.matrix.view();
        const std::int64_t row_bytes = source_row_bytes(job.source.encoding, view.columns);
        std::uint8_t* read = nullptr;
        const int error = read_rows(job.source, piece.begin, piece.end, row_bytes, rooms, read);
        if (error < 0) {
            pack_as(job.source.encoding, view, job.first_row + piece.begin, piece.end - piece.begin,
                    read, job.matrix.data());
        }
        locked.lock();
        --under_way_;
        done_ += (piece.end - piece.begin) * row_bytes;
        if (error >= 0 && !failed_) failed_ = Unread{piece.job, error};
        if (failed_) pieces_.clear();
        if (over()) changed_.notify_all();
    }
}

bool Filling::wait(std::chrono::duration<double> most) {
    std::unique_lock<std::mutex> locked(guard_);
    return changed_.wait_for(locked, most, [this] { return over(); });
}

std::int64_t Filling::done() const {
    const std::lock_guard<std::mutex> locked(guard_);
    return done_;
}

std::optional<Unread> Filling::failed() const {
    const std::lock_guard<std::mutex> locked(guard_);
    return failed_;
}

void Filling::stop() {
    {
        const std::lock_guard<std::mutex> locked(guard_);
        stopping_ = true;
        pieces_.clear();
    }
    changed_.notify_all();
    for (auto& worker : workers_) worker.join();
    workers_.clear();
}

}  // namespace fathom
