// Steps of recurrences, checked and joined to the program.
#include <algorithm>
#include <cmath>

#include "builder.hpp"

namespace fathom {

namespace {

// Numbers of `width` per block, the last block filled up with zeros.
std::vector<float> in_lanes(const float* numbers, std::int64_t count) {
    std::vector<float> found(static_cast<std::size_t>(whole_lanes(count)), 0.0F);
    std::copy_n(numbers, count, found.begin());
    return found;
}

}  // namespace

Column Builder::column(const std::pair<int, std::int64_t>& described, std::int64_t width) {
    const auto [buffer, offset] = described;
    require(offset >= 0 && offset + width <= program_.at(buffer).width, "columns lie in their rows");
    return {buffer, offset};
}

std::int64_t Builder::remember(std::int64_t offset, std::int64_t numbers) {
    require(offset >= 0 && offset % alignment == 0, "what is remembered is aligned");
    const std::int64_t bytes = offset + numbers * static_cast<std::int64_t>(sizeof(float));
    slot_bytes_ = std::max(slot_bytes_, (bytes + alignment - 1) / alignment * alignment);
    return offset;
}

void Builder::convolve(const std::pair<int, std::int64_t>& source, int target,
                       std::int64_t channels, std::int64_t kernel, const Floats& weight,
                       const Vector& bias, const std::string& activation,
                       std::int64_t slot_offset) {
    require(channels > 0 && kernel > 0 && kernel <= widest_convolution, "a convolution has a size");
    require(channels <= program_.at(target).width && target != source.first,
            "a convolution fills rows of its own");
    require(static_cast<std::int64_t>(weight.size()) == channels * kernel, "a weight per tap");
    ConvolveStep step;
    step.source = column(source, channels);
    step.target = target;
    step.channels = channels;
    step.kernel = kernel;
    step.slot_offset = remember(slot_offset, (kernel - 1) * channels);
    step.weight.resize(weight.size());
    for (std::int64_t i = 0; i < channels * kernel; ++i) {
        step.weight[static_cast<std::size_t>(i % kernel * channels + i / kernel)] =
            weight.data()[i];
    }
    step.bias = vector(bias, channels, 1);
    step.activation = activation_named(activation);
    append(std::move(step), target);
}

void Builder::scan(const Columns& columns, int target, std::int64_t inner,
                   std::int64_t state_width, const std::array<Floats, 3>& vectors,
                   std::int64_t slot_offset) {
    require(columns.size() == 5 && inner > 0 && state_width > 0, "a scan has five inputs");
    require(inner == program_.at(target).width, "a scan fills its rows");
    const auto& [decay, bias, skip] = vectors;
    require(static_cast<std::int64_t>(decay.size()) == inner * state_width &&
                static_cast<std::int64_t>(bias.size()) == inner &&
                static_cast<std::int64_t>(skip.size()) == inner,
            "a scan has numbers for every channel");
    ScanStep step;
    step.value = column(columns[0], inner);
    step.step = column(columns[1], inner);
    step.write = column(columns[2], state_width);
    step.read = column(columns[3], state_width);
    step.gate = column(columns[4], inner);
    step.target = target;
    step.inner = inner;
    step.state_width = state_width;
    const std::int64_t padded = whole_lanes(inner);
    step.slot_offset = remember(slot_offset, padded * state_width);
    step.decay.assign(static_cast<std::size_t>(padded * state_width), 0.0F);
    for (std::int64_t channel = 0; channel < inner; ++channel) {
        const std::int64_t block = channel / recurrent_lanes * recurrent_lanes * state_width;
        for (std::int64_t state = 0; state < state_width; ++state) {
            const std::int64_t place =
                block + state * recurrent_lanes + channel % recurrent_lanes;
            step.decay[static_cast<std::size_t>(place)] =
                -std::exp(decay.data()[channel * state_width + state]);
        }
    }
    step.bias = in_lanes(bias.data(), inner);
    step.skip = in_lanes(skip.data(), inner);
    append(std::move(step), target);
}

void Builder::per_head(HeadsStep& step, int target, std::int64_t heads, std::int64_t width,
                       const Floats& decay, const Floats& bias) {
    require(heads > 0 && width > 0 && heads * width == program_.at(target).width,
            "heads fill their rows");
    require(static_cast<std::int64_t>(decay.size()) == heads, "a decay for every head");
    step.target = target;
    step.heads = heads;
    step.width = width;
    step.rate.resize(decay.size());
    std::transform(decay.data(), decay.data() + heads, step.rate.begin(),
                   [](float each) { return -std::exp(each); });
    step.bias = vector(bias, heads, 1);
}

void Builder::dual(const Columns& columns, int target, const std::array<std::int64_t, 4>& shape,
                   const std::pair<float, float>& limits, const std::array<Floats, 3>& vectors,
                   std::int64_t slot_offset) {
    const auto [heads, width, groups, state_width] = shape;
    require(columns.size() == 4 && groups > 0 && state_width > 0 && heads % groups == 0,
            "heads share evenly what is written");
    DualStep step;
    per_head(step, target, heads, width, vectors[0], vectors[1]);
    step.value = column(columns[0], heads * width);
    step.write = column(columns[1], groups * state_width);
    step.read = column(columns[2], groups * state_width);
    require(step.write.buffer == step.read.buffer, "what is written and read lies in one row");
    step.step = column(columns[3], heads);
    step.groups = groups;
    step.state_width = state_width;
    step.least = limits.first;
    step.most = limits.second;
    require(step.least <= step.most, "a time step has limits");
    step.skip = vector(vectors[2], heads, 1);
    step.slot_offset = remember(slot_offset, heads * state_width * whole_lanes(width));
    append(std::move(step), target);
}

void Builder::delta(const Columns& columns, int target, const std::array<std::int64_t, 4>& shape,
                    const std::array<Floats, 2>& vectors, const nb::tuple& norm,
                    std::int64_t slot_offset) {
    const auto [heads, width, key_heads, key_width] = shape;
    require(columns.size() == 5 && key_heads > 0 && key_width > 0 && heads % key_heads == 0,
            "heads share keys evenly");
    DeltaStep step;
    per_head(step, target, heads, width, vectors[0], vectors[1]);
    step.query = column(columns[0], key_heads * key_width);
    step.key = column(columns[1], key_heads * key_width);
    step.value = column(columns[2], heads * width);
    step.share = column(columns[3], heads);
    step.step = column(columns[4], heads);
    step.key_heads = key_heads;
    step.key_width = key_width;
    step.norm = norm_shape(norm);
    require(step.norm.width * step.norm.parts == width, "a norm of one head");
    step.slot_offset = remember(slot_offset, heads * key_width * whole_lanes(width));
    append(std::move(step), target);
}

}  // namespace fathom
