// Matrices filled from files, as Python sees it.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "binding.hpp"
#include "filling.hpp"

namespace nb = nanobind;

namespace fathom {
namespace {

using Numbers = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

FileRows file_rows(const std::string& name, int descriptor, std::int64_t offset,
                   const Numbers& rows) {
    const auto count = static_cast<std::int64_t>(rows.size());
    FileRows source{Encoding::F32, descriptor, offset, 0, count, {}};
    if (!encoding_named(name.c_str(), source.encoding)) {
        throw std::invalid_argument("no kernel multiplies weights in " + name);
    }
    if (source.count == 0) return source;
    source.first = rows.data()[0];
    for (std::int64_t index = 0; index < source.count; ++index) {
        if (rows.data()[index] == source.first + index) continue;
        source.chosen.assign(rows.data(), rows.data() + source.count);
        break;
    }
    return source;
}

std::optional<std::pair<std::int64_t, int>> failed(const Filling& filling) {
    const std::optional<Unread> found = filling.failed();
    if (!found) return std::nullopt;
    return std::pair(found->job, found->error);
}

}  // namespace

void bind_filling(nb::module_& module) {
    using namespace nb::literals;
    nb::class_<Filling>(module, "Filling", "Fills packed matrices from files, on its own threads.")
        .def(nb::init<int>(), "threads"_a)
        .def(
            "add",
            [](Filling& self, const OwnedMatrix& matrix, const std::string& encoding,
               int descriptor, std::int64_t offset, const Numbers& rows, std::int64_t first_row) {
                return self.add(matrix, file_rows(encoding, descriptor, offset, rows), first_row);
            },
            "matrix"_a, "encoding"_a, "descriptor"_a, "offset"_a, "rows"_a, "first_row"_a = 0,
            "Take rows, (count) int64, of a tensor at `offset` of an open file as those from"
            " `first_row` on; returns the number of the job.")
        .def(
            "wait",
            [](Filling& self, double seconds) {
                const nb::gil_scoped_release unlocked;
                return self.wait(std::chrono::duration<double>(seconds));
            },
            "seconds"_a, "Wait so long at most; returns whether it is over.")
        .def(
            "stop",
            [](Filling& self) {
                const nb::gil_scoped_release unlocked;
                self.stop();
            },
            "Leave out what nobody has begun, and end the threads.")
        .def_prop_ro("done", &Filling::done, "Bytes of files that were packed.")
        .def_prop_ro("failed", failed,
                     "The job whose file could not be read, and the system's number for why: 0"
                     " where it ended early.");
}

}  // namespace fathom
