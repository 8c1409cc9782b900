// A packed matrix with memory of its own.
#pragma once

#include <cstdint>
#include <memory>

#include "packed.hpp"

namespace fathom {

class OwnedMatrix {
public:
    // All zeros. Throws std::invalid_argument for a shape that the encoding cannot have, and
    // std::bad_alloc if there is no memory for it.
    OwnedMatrix(Encoding encoding, std::int64_t rows, std::int64_t columns);

    const PackedMatrix& view() const { return view_; }
    std::uint8_t* data() { return memory_.get(); }
    std::int64_t bytes() const { return bytes_; }

private:
    std::int64_t bytes_;
    std::shared_ptr<std::uint8_t> memory_;
    PackedMatrix view_;
};

}  // namespace fathom
