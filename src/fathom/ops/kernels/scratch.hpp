// Memory for one job, beginning on a cache line, which a vector would not.
#pragma once

#include <cstdint>
#include <new>

#include "packed.hpp"

namespace fathom {

struct Scratch {
    explicit Scratch(std::int64_t bytes)
        : data(static_cast<std::uint8_t*>(
              ::operator new(static_cast<std::size_t>(bytes), std::align_val_t{alignment}))) {}
    ~Scratch() { ::operator delete(data, std::align_val_t{alignment}); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    std::uint8_t* const data;
};

}  // namespace fathom
