// Packed matrices as Python sees them: functions on memory that Python owns. Whatever computes
// gives up the interpreter's lock.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "binding.hpp"
#include "cpu.hpp"

namespace nb = nanobind;

namespace fathom {
namespace {

template <class Number, int dimensions>
using Array = nb::ndarray<Number, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;
using Source = Array<const std::uint8_t, 1>;

void check(bool right, const char* otherwise) {
    if (!right) throw std::invalid_argument(otherwise);
}

Encoding encoding_of(const std::string& name) {
    Encoding encoding;
    if (encoding_named(name.c_str(), encoding)) return encoding;
    throw std::invalid_argument("no kernel multiplies weights in " + name);
}

const Kernels& variant_of(const std::optional<std::string>& name) {
    if (!name) return kernels();
    if (const Kernels* found = kernels_named(name->c_str())) return *found;
    throw std::invalid_argument("this processor has no kernels named " + *name);
}

template <class Memory>
void check_memory(Encoding encoding, std::int64_t rows, std::int64_t columns, const Memory& data) {
    check(static_cast<std::int64_t>(data.size()) == packed_bytes(encoding, rows, columns),
          "a packed matrix has just its bytes");
    check(reinterpret_cast<std::uintptr_t>(data.data()) % alignment == 0,
          "a packed matrix begins on a cache line");
}

PackedMatrix matrix_of(const std::string& name, std::int64_t rows, std::int64_t columns,
                       const Source& data) {
    const Encoding encoding = encoding_of(name);
    check_memory(encoding, rows, columns, data);
    return {encoding, rows, columns, data.data()};
}

void pack_rows(const std::string& name, std::int64_t rows, std::int64_t columns,
               const Source& source, const Array<std::uint8_t, 1>& data, std::int64_t first_row,
               std::int64_t count) {
    const Encoding encoding = encoding_of(name);
    check_memory(encoding, rows, columns, data);
    check(count >= 0 && static_cast<std::int64_t>(source.size()) ==
                            count * source_row_bytes(encoding, columns),
          "the source has just the bytes of its rows");
    const nb::gil_scoped_release unlocked;
    pack(encoding, rows, columns, first_row, count, source.data(), data.data());
}

// Cache lines for activations, which a vector would not align.
struct Scratch {
    explicit Scratch(std::int64_t bytes)
        : data(static_cast<std::uint8_t*>(
              ::operator new(static_cast<std::size_t>(bytes), std::align_val_t{alignment}))) {}
    ~Scratch() { ::operator delete(data, std::align_val_t{alignment}); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    std::uint8_t* const data;
};

void multiply_rows(const std::string& name, std::int64_t rows, std::int64_t columns,
                   const Source& data, const Array<const float, 2>& x, const Array<float, 2>& y,
                   std::int64_t begin, std::optional<std::int64_t> end,
                   const std::optional<std::string>& variant) {
    const PackedMatrix matrix = matrix_of(name, rows, columns, data);
    const auto tokens = static_cast<std::int64_t>(x.shape(0));
    const std::int64_t stop = end.value_or(rows);
    check(static_cast<std::int64_t>(x.shape(1)) == columns, "x has a number for every column");
    check(static_cast<std::int64_t>(y.shape(0)) == tokens, "y has a row for every row of x");
    check(static_cast<std::int64_t>(y.shape(1)) == rows, "y has a number for every row of weights");
    check(0 <= begin && begin <= stop && stop <= rows, "the rows are in the matrix");
    const Kernels& chosen = variant_of(variant);
    const ActivationKind kind = activation_kind(matrix.encoding);
    const nb::gil_scoped_release unlocked;
    const Scratch scratch(activation_bytes(kind, tokens, columns));
    chosen.quantise(kind, x.data(), columns, tokens, columns, 0, tokens, scratch.data);
    const Activations activations{kind, tokens, columns, scratch.data};
    chosen.multiply(matrix, activations, begin, stop, y.data(), rows);
}

void read_row(const std::string& name, std::int64_t rows, std::int64_t columns, const Source& data,
              std::int64_t row, const Array<float, 1>& values) {
    const PackedMatrix matrix = matrix_of(name, rows, columns, data);
    check(0 <= row && row < rows, "the row is in the matrix");
    check(static_cast<std::int64_t>(values.size()) == columns, "there is room for just one row");
    unpack_row(matrix, row, values.data());
}

std::vector<std::string> encodings() {
    std::vector<std::string> names;
    for (int index = 0; index < encoding_count; ++index) {
        names.emplace_back(encoding_name(static_cast<Encoding>(index)));
    }
    return names;
}

using Pair = std::pair<std::string, std::string>;

std::vector<Pair> named_variants() {
    std::vector<Pair> found;
    for (const Variant& variant : variants()) {
        found.emplace_back(variant.kernels->name, variant.lacks);
    }
    return found;
}

}  // namespace

void bind_matrices(nb::module_& module) {
    using namespace nb::literals;
    module.def("packed_bytes",
               [](const std::string& name, std::int64_t rows, std::int64_t columns) {
                   return packed_bytes(encoding_of(name), rows, columns);
               },
               "encoding"_a, "rows"_a, "columns"_a, "Bytes of a packed matrix.");
    module.def("pack", pack_rows, "encoding"_a, "rows"_a, "columns"_a, "source"_a, "data"_a,
               "first_row"_a, "count"_a,
               "Pack `count` rows as a file stores them, from a row of the packed matrix on.");
    module.def("multiply", multiply_rows, "encoding"_a, "rows"_a, "columns"_a, "data"_a, "x"_a,
               "y"_a, "begin"_a = 0, "end"_a = nb::none(), "variant"_a = nb::none(),
               "Fill rows `begin` to `end` of y, (tokens, rows), from x, (tokens, columns).");
    module.def("unpack_row", read_row, "encoding"_a, "rows"_a, "columns"_a, "data"_a, "row"_a,
               "values"_a, "Read one row back as float32, (columns).");
    module.def("encodings", encodings, "The encodings that kernels multiply.");
    module.def("variants", named_variants,
               "Kernels, best first, each with what this processor lacks for them.");
    module.def("best", [] { return Pair(kernels().name, kernels().reason); },
               "The kernels in use, and why not better ones.");
}

}  // namespace fathom
