// Programs as Python sees them: what a call brings is checked, then all steps run.
#include "binding.hpp"
#include "builder.hpp"

using namespace nanobind::literals;

namespace fathom {

void Builder::run(const Integers& ids, const Integers& positions, const Integers& owners,
                  const Integers& begins, const Floats& frequencies,
                  const std::vector<std::tuple<Pages, Tables>>& pools, const Pages& slots,
                  const Integers& slot_numbers, const Integers& chosen, Scores& scores,
                  const std::optional<Integers>& read, const Vector& given) {
    const auto tokens = static_cast<std::int64_t>(ids.size());
    const auto sequences = static_cast<std::int64_t>(begins.size()) - 1;
    const auto outputs = static_cast<std::int64_t>(chosen.size());
    require(tokens >= 1 && tokens <= program_.most_tokens(), "as many tokens as there is room");
    require(positions.size() == ids.size() && owners.size() == ids.size() && sequences >= 1,
            "a position and a sequence for every token");
    require(static_cast<std::int64_t>(scores.shape(0)) == outputs && outputs <= tokens &&
                static_cast<std::int64_t>(scores.shape(1)) == scores_width_,
            "scores have a row per output");
    const std::int64_t frequency_width =
        static_cast<std::int64_t>(frequencies.size()) / sequences;
    require(frequency_width >= frequency_width_, "frequencies for every rotation");
    Batch batch{tokens, ids.data(), positions.data(), owners.data(), sequences, begins.data(),
                frequencies.data(), frequency_width, {}, outputs, chosen.data(),
                scores.data(), {slots.data(), slot_bytes_, slot_numbers.data()}};
    require(!read || static_cast<std::int64_t>(read->size()) == sequences,
            "a length of its source for every sequence");
    require(static_cast<std::int64_t>(given ? given->size() : 0) == tokens * given_width_,
            "a row for every token where rows are given");
    if (read) batch.read = read->data();
    if (given) batch.given = given->data();
    require(pools.size() == page_bytes_.size(), "a pool for every reach");
    check_tokens(batch);
    for (std::size_t i = 0; i < pools.size(); ++i) {
        const auto& [pages, tables] = pools[i];
        Pool pool{pages.data(), static_cast<std::int64_t>(pages.size()) / page_bytes_[i],
                  tables.data(), static_cast<std::int64_t>(tables.shape(1))};
        require(static_cast<std::int64_t>(tables.shape(0)) == sequences,
                "a page table for every sequence");
        i < looked_at_.size() && looked_at_[i] ? check_source(batch, pool)
                                               : check_pages(batch, pool);
        batch.pools.push_back(pool);
    }
    if (slot_bytes_ > 0) {
        require(static_cast<std::int64_t>(slot_numbers.size()) == sequences,
                "a slot for every sequence");
        check_slots(batch, static_cast<std::int64_t>(slots.size()) / slot_bytes_);
    }
    const nb::gil_scoped_release released;
    program_.run(batch);
}

void Builder::check_tokens(const Batch& batch) const {
    require(batch.begins[0] == 0 && batch.begins[batch.sequences] == batch.tokens,
            "sequences hold all tokens");
    for (std::int64_t sequence = 0; sequence < batch.sequences; ++sequence) {
        require(batch.begins[sequence] <= batch.begins[sequence + 1], "sequences in order");
    }
    for (std::int64_t token = 0; token < batch.tokens; ++token) {
        require(batch.ids[token] >= 0 && batch.ids[token] < vocabulary_, "a token it knows");
        require(batch.positions[token] >= 0 && batch.positions[token] < most_positions_,
                "a position it knows");
        const std::int32_t owner = batch.owners[token];
        require(owner >= 0 && owner < batch.sequences && token >= batch.begins[owner] &&
                    token < batch.begins[owner + 1],
                "a token in its sequence");
        require(!whole_ || batch.positions[token] == token - batch.begins[owner],
                "a text that is read both ways comes whole");
    }
    for (std::int64_t output = 0; output < batch.outputs; ++output) {
        require(batch.chosen[output] >= 0 && batch.chosen[output] < batch.tokens,
                "outputs of tokens");
    }
}

void Builder::check_pages(const Batch& batch, const Pool& pool) {
    for (std::int64_t token = 0; token < batch.tokens; ++token) {
        require(batch.positions[token] / page_tokens < pool.table_width, "pages for all tokens");
    }
    check_table(batch, pool);
}

void Builder::check_source(const Batch& batch, const Pool& pool) const {
    require(batch.read != nullptr, "a length of its source for every sequence");
    for (std::int64_t sequence = 0; sequence < batch.sequences; ++sequence) {
        const std::int64_t read = batch.read[sequence];
        require(read >= 1 && read <= pool.table_width * page_tokens && read <= most_read_,
                "pages for all that was read");
    }
    check_table(batch, pool);
}

void Builder::check_table(const Batch& batch, const Pool& pool) {
    for (std::int64_t i = 0; i < batch.sequences * pool.table_width; ++i) {
        require(pool.tables[i] >= 0 && pool.tables[i] < pool.count, "pages of the pool");
    }
}

// Two sequences with one slot would write over each other.
void Builder::check_slots(const Batch& batch, std::int64_t count) {
    std::vector<bool> taken(static_cast<std::size_t>(count));
    for (std::int64_t sequence = 0; sequence < batch.sequences; ++sequence) {
        const std::int32_t slot = batch.slots.numbers[sequence];
        require(slot >= 0 && slot < count, "slots of the pool");
        require(!taken[static_cast<std::size_t>(slot)], "a slot for every sequence");
        taken[static_cast<std::size_t>(slot)] = true;
    }
}

void bind_program(nb::module_& module) {
    module.attr("page_tokens") = page_tokens;
    module.attr("widest_head") = widest_head;
    module.def("head_numbers", &head_numbers, "width"_a,
               "Return the numbers that one head's keys and values take in a page.");
    nb::class_<Builder>(module, "Program")
        .def(nb::init<std::int64_t, int>(), "most_tokens"_a, "threads"_a)
        .def("buffer", &Builder::buffer, "width"_a, "repeats"_a, "refined"_a = 0)
        .def("embed", &Builder::embed, "table"_a, "target"_a, "scale"_a, "positions"_a.none(),
             "offset"_a, "constant"_a.none())
        .def("add_rows", &Builder::add_rows, "target"_a, "positions"_a.none(), "offset"_a,
             "constant"_a.none())
        .def("norm", &Builder::norm, "source"_a, "target"_a, "shape"_a)
        .def("add", &Builder::add, "source"_a, "target"_a, "scale"_a)
        .def("activate", &Builder::activate, "gate"_a, "gate_offset"_a, "other"_a,
             "other_offset"_a, "target"_a, "count"_a, "kind"_a, "alpha"_a, "limit"_a)
        .def("gate_rows", &Builder::gate_rows, "score"_a, "target"_a)
        .def("multiply", &Builder::multiply, "source"_a, "target"_a, "factors"_a, "room"_a,
             "scale"_a, "cap"_a)
        .def("angles", &Builder::angles, "target"_a, "offset"_a)
        .def("place", &Builder::place, "heads"_a, "angles"_a, "interleaved"_a,
             "query_norm"_a.none(), "key_norm"_a.none(), "late"_a, "clip"_a, "sharpened"_a,
             "strength"_a)
        .def("attend", &Builder::attend, "heads"_a, "target"_a, "reach"_a, "reach_width"_a,
             "scale"_a, "soft_cap"_a, "slopes"_a.none(), "sinks"_a.none(), "causal"_a = true,
             "rounded"_a = false, "looks"_a = false, "distances"_a.none() = nb::none(), "narrowed"_a = false,
             "query"_a.none() = nb::none())
        .def("deliver", &Builder::deliver, "source"_a)
        .def("experts", &Builder::experts, "source"_a, "scores"_a, "target"_a, "rooms"_a,
             "routing"_a, "experts"_a, "kind"_a, "alpha"_a, "limit"_a, "scale"_a,
             "weighs_input"_a, "fresh"_a)
        .def("select", &Builder::select, "source"_a, "target"_a)
        .def("narrow", &Builder::narrow, "buffers"_a)
        .def("convolve", &Builder::convolve, "source"_a, "target"_a, "channels"_a, "kernel"_a,
             "weight"_a, "bias"_a.none(), "activation"_a, "slot_offset"_a)
        .def("scan", &Builder::scan, "columns"_a, "target"_a, "inner"_a, "state_width"_a,
             "vectors"_a, "slot_offset"_a)
        .def("dual", &Builder::dual, "columns"_a, "target"_a, "shape"_a, "limits"_a, "vectors"_a,
             "slot_offset"_a)
        .def("delta", &Builder::delta, "columns"_a, "target"_a, "shape"_a, "vectors"_a, "norm"_a,
             "slot_offset"_a)
        .def("multiply_heads", &Builder::multiply_heads, "source"_a, "stride"_a, "target"_a,
             "room"_a, "matrices"_a)
        .def("place_latent", &Builder::place_latent, "heads"_a, "latents"_a, "angles"_a,
             "interleaved"_a, "norm"_a)
        .def("attend_latent", &Builder::attend_latent, "heads"_a, "asked"_a, "target"_a,
             "scale"_a)
        .def("accept", &Builder::accept, "target"_a)
        .def("waves", &Builder::waves, "target"_a)
        .def("look", &Builder::look, "heads"_a, "target"_a, "offset"_a, "chosen"_a, "most"_a,
             "scale"_a)
        .def("finish", &Builder::finish)
        .def("run", &Builder::run, "ids"_a, "positions"_a, "owners"_a, "begins"_a,
             "frequencies"_a, "pools"_a, "slots"_a, "slot_numbers"_a, "chosen"_a, "scores"_a,
             "read"_a.none() = nb::none(), "given"_a.none() = nb::none())
        .def_prop_ro("bytes", &Builder::bytes)
        .def_prop_ro("steps", &Builder::steps)
        .def_prop_ro("most_tokens", &Builder::most_tokens)
        .def_prop_ro("page_bytes", &Builder::page_bytes)
        .def_prop_ro("slot_bytes", &Builder::slot_bytes);
}

}  // namespace fathom
