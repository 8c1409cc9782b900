// Packed matrices as Python sees them. Whatever computes for long gives up the interpreter's lock.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "binding.hpp"
#include "cpu.hpp"
#include "owned.hpp"
#include "scratch.hpp"

namespace nb = nanobind;

namespace fathom {
namespace {

template <class Number, int dimensions>
using Array = nb::ndarray<Number, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;

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

void pack_rows(OwnedMatrix& matrix, const Array<const std::uint8_t, 1>& source,
               std::int64_t first_row, std::optional<std::int64_t> count) {
    const PackedMatrix& view = matrix.view();
    const std::int64_t rows = count.value_or(view.rows - first_row);
    const std::int64_t row_bytes = source_row_bytes(view.encoding, view.columns);
    check(0 <= rows && rows <= view.rows, "the rows are in the matrix");
    check(static_cast<std::int64_t>(source.size()) == rows * row_bytes,
          "the source has just the bytes of its rows");
    const nb::gil_scoped_release unlocked;
    pack(view.encoding, view.rows, view.columns, first_row, rows, source.data(), matrix.data());
}

void pack_plain_rows(OwnedMatrix& matrix, const std::string& plain_name,
                     const Array<const std::uint8_t, 1>& source, std::int64_t first_row) {
    const PackedMatrix& view = matrix.view();
    const Encoding plain = encoding_of(plain_name);
    const std::int64_t row_bytes = source_row_bytes(plain, view.columns);
    const auto bytes = static_cast<std::int64_t>(source.size());
    check(row_bytes > 0 && bytes % row_bytes == 0, "the source has the bytes of whole rows");
    const nb::gil_scoped_release unlocked;
    pack_as(plain, view, first_row, bytes / row_bytes, source.data(), matrix.data());
}

void multiply_rows(const OwnedMatrix& matrix, const Array<const float, 2>& x,
                   const Array<float, 2>& y, std::int64_t begin, std::optional<std::int64_t> end,
                   const std::optional<std::string>& variant, std::int64_t refined) {
    const PackedMatrix& view = matrix.view();
    const auto tokens = static_cast<std::int64_t>(x.shape(0));
    const std::int64_t stop = end.value_or(view.rows);
    check(static_cast<std::int64_t>(x.shape(1)) == view.columns, "x has a number for each column");
    check(static_cast<std::int64_t>(y.shape(0)) == tokens, "y has a row for each row of x");
    check(static_cast<std::int64_t>(y.shape(1)) == view.rows,
          "y has a number for each weights' row");
    check(0 <= begin && begin <= stop && stop <= view.rows, "the rows are in the matrix");
    check(refined >= 0, "remainders are counted from zero");
    const Kernels& chosen = variant_of(variant);
    const ActivationKind kind = activation_kind(view.encoding);
    const std::int64_t remainders = kind == ActivationKind::Bytes ? refined : 0;
    const nb::gil_scoped_release unlocked;
    const Scratch scratch(activation_bytes(kind, tokens, view.columns, remainders));
    chosen.quantise(kind, x.data(), view.columns, tokens, view.columns, 0, tokens, scratch.data);
    if (remainders > 0) {
        refine(x.data(), view.columns, tokens, view.columns, 0, tokens, remainders, scratch.data);
    }
    const Activations activations{kind, tokens, view.columns, scratch.data, remainders};
    chosen.multiply(view, activations, begin, stop, y.data(), view.rows);
}

void unpack_rows(const OwnedMatrix& matrix, const Array<float, 2>& values, std::int64_t first_row) {
    const PackedMatrix& view = matrix.view();
    const auto count = static_cast<std::int64_t>(values.shape(0));
    check(static_cast<std::int64_t>(values.shape(1)) == view.columns, "rows have their width");
    check(0 <= first_row && count <= view.rows - first_row, "the rows are in the matrix");
    const nb::gil_scoped_release unlocked;
    for (std::int64_t row = 0; row < count; ++row) {
        unpack_row(view, first_row + row, values.data() + row * view.columns);
    }
}

// The packed bytes themselves, which live as long as the matrix.
nb::ndarray<nb::numpy, const std::uint8_t, nb::ndim<1>> memory_of(nb::handle self) {
    const auto& matrix = nb::cast<const OwnedMatrix&>(self);
    return {matrix.view().data, {static_cast<std::size_t>(matrix.bytes())}, self};
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
    nb::class_<OwnedMatrix>(module, "PackedMatrix", "Weights in the layout that kernels read.")
        .def(
            "__init__",
            [](OwnedMatrix* self, const std::string& name, std::int64_t rows,
               std::int64_t columns) { new (self) OwnedMatrix(encoding_of(name), rows, columns); },
            "encoding"_a, "rows"_a, "columns"_a)
        .def_prop_ro("encoding",
                     [](const OwnedMatrix& self) { return encoding_name(self.view().encoding); })
        .def_prop_ro("rows", [](const OwnedMatrix& self) { return self.view().rows; })
        .def_prop_ro("columns", [](const OwnedMatrix& self) { return self.view().columns; })
        .def_prop_ro("nbytes", &OwnedMatrix::bytes)
        .def_prop_ro("memory", memory_of)
        .def("pack", pack_rows, "source"_a, "first_row"_a = 0, "count"_a = nb::none(),
             "Pack rows as a file stores them, (bytes) uint8, as those from `first_row` on.")
        .def("pack_plain", pack_plain_rows, "plain"_a, "source"_a, "first_row"_a = 0,
             "Round rows of plain numbers, (bytes) uint8 of F32, F16 or BF16, and pack them.")
        .def("multiply", multiply_rows, "x"_a, "y"_a, "begin"_a = 0, "end"_a = nb::none(),
             "variant"_a = nb::none(), "refined"_a = 0,
             "Fill rows `begin` to `end` of y, (tokens, rows), from x, (tokens, columns), of which"
             " the `refined` largest blocks of each token are rounded twice.")
        .def("unpack", unpack_rows, "values"_a, "first_row"_a = 0,
             "Read rows from `first_row` on as float32, (rows, columns).");
    module.def(
        "packed_bytes",
        [](const std::string& name, std::int64_t rows, std::int64_t columns) {
            return packed_bytes(encoding_of(name), rows, columns);
        },
        "encoding"_a, "rows"_a, "columns"_a, "Bytes of a packed matrix.");
    module.def(
        "source_row_bytes",
        [](const std::string& name, std::int64_t columns) {
            return source_row_bytes(encoding_of(name), columns);
        },
        "encoding"_a, "columns"_a, "Bytes of a row as a file stores it.");
    module.def("encodings", encodings, "The encodings that kernels multiply.");
    module.def("variants", named_variants,
               "Kernels, best first, each with what this processor lacks for them.");
    module.def(
        "best", [] { return Pair(kernels().name, kernels().reason); },
        "The kernels in use, and why not better ones.");
}

}  // namespace fathom
