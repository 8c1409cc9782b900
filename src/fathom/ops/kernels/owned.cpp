#include "owned.hpp"

#include <cstring>
#include <new>

namespace fathom {
namespace {

std::uint8_t* zeros(std::int64_t bytes) {
    const auto size = static_cast<std::size_t>(bytes);
    auto* memory = static_cast<std::uint8_t*>(::operator new(size, std::align_val_t{alignment}));
    std::memset(memory, 0, size);
    return memory;
}

}  // namespace

void OwnedMatrix::Release::operator()(std::uint8_t* memory) const {
    ::operator delete(memory, std::align_val_t{alignment});
}

OwnedMatrix::OwnedMatrix(Encoding encoding, std::int64_t rows, std::int64_t columns)
    : bytes_(packed_bytes(encoding, rows, columns)),
      memory_(zeros(bytes_)),
      view_{encoding, rows, columns, memory_.get()} {}

}  // namespace fathom
