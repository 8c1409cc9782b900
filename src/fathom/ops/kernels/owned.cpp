#include "owned.hpp"

#include <cstring>
#include <mutex>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fathom {
namespace {

using Memory = std::shared_ptr<std::uint8_t>;

Memory plain(std::int64_t bytes) {
    constexpr std::align_val_t line{alignment};
    const auto size = static_cast<std::size_t>(bytes);
    Memory memory(static_cast<std::uint8_t*>(::operator new(size, line)),
                  [](std::uint8_t* place) { ::operator delete(place, line); });
    std::memset(memory.get(), 0, size);
    return memory;
}

#if defined(__linux__)

// Matrices lie beside each other on huge pages: walked through once per token, they are read half
// again as fast as from pages of 4 kB, whose addresses no processor keeps. What of a chunk is not
// used is never taken from the system.
constexpr std::int64_t huge_page = 2 << 20;
constexpr std::int64_t chunk_bytes = 64 << 20;
constexpr std::int64_t small_bytes = 64 << 10;  // below it a matrix is found in the caches

constexpr std::int64_t rounded_up(std::int64_t bytes, std::int64_t unit) {
    return (bytes + unit - 1) / unit * unit;
}

class Chunk {
public:
    explicit Chunk(std::int64_t bytes)
        : mapped_(static_cast<std::size_t>(bytes + huge_page)),
          mapping_(::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                          0)) {
        if (mapping_ == MAP_FAILED) throw std::bad_alloc();
        const auto address = reinterpret_cast<std::uintptr_t>(mapping_);
        const std::uintptr_t past = address % huge_page;
        next_ = static_cast<std::uint8_t*>(mapping_) + (past == 0 ? 0 : huge_page - past);
        left_ = bytes;
        ::madvise(next_, static_cast<std::size_t>(bytes), MADV_HUGEPAGE);  // a wish, no more
    }
    ~Chunk() { ::munmap(mapping_, mapped_); }
    Chunk(const Chunk&) = delete;
    Chunk& operator=(const Chunk&) = delete;

    std::int64_t left() const { return left_; }
    std::uint8_t* take(std::int64_t bytes) {
        std::uint8_t* place = next_;
        next_ += bytes;
        left_ -= bytes;
        return place;
    }

private:
    std::size_t mapped_;
    void* mapping_;
    std::uint8_t* next_;
    std::int64_t left_;
};

// A part of the chunk in use, which lives as long as any matrix in it.
Memory from_chunk(std::int64_t bytes) {
    static std::mutex guard;
    static std::weak_ptr<Chunk> in_use;
    const std::lock_guard<std::mutex> locked(guard);
    std::shared_ptr<Chunk> chunk = in_use.lock();
    if (chunk == nullptr || chunk->left() < bytes) {
        const bool own = bytes > chunk_bytes;
        chunk = std::make_shared<Chunk>(own ? rounded_up(bytes, huge_page) : chunk_bytes);
        if (!own) in_use = chunk;
    }
    std::uint8_t* place = chunk->take(rounded_up(bytes, alignment));
    return Memory(std::move(chunk), place);
}

Memory zeros(std::int64_t bytes) { return bytes < small_bytes ? plain(bytes) : from_chunk(bytes); }

#else

Memory zeros(std::int64_t bytes) { return plain(bytes); }

#endif

}  // namespace

OwnedMatrix::OwnedMatrix(Encoding encoding, std::int64_t rows, std::int64_t columns)
    : bytes_(packed_bytes(encoding, rows, columns)),
      memory_(zeros(bytes_)),
      view_{encoding, rows, columns, memory_.get()} {}

}  // namespace fathom
