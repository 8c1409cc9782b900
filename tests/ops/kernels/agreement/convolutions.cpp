// Convolutions of three by three: odd sides and channels, sources that are doubled, either type.
#include "convolution.hpp"

#include <string>

#include "agreement.hpp"

using namespace fathom;

namespace agreement {
namespace {

struct Planes {
    std::int64_t batch, height, width, channels, outputs;
    int doubled;
};
constexpr Planes planes[] = {{1, 4, 4, 16, 16, 0}, {2, 7, 9, 5, 19, 0}, {1, 12, 10, 33, 8, 1}};

void check_planes(const Planes& shape, bool extended) {
    const std::int64_t source_height = shape.height >> shape.doubled;
    const std::int64_t source_width = shape.width >> shape.doubled;
    const Numbers source =
        ordinary(shape.batch * source_height * source_width * shape.channels, 1);
    const Numbers weights = ordinary(shape.outputs * shape.channels * 9, 2);
    const Numbers bias = ordinary(shape.outputs, 3);
    const std::int64_t results = shape.batch * shape.height * shape.width * shape.outputs;
    const Numbers added = ordinary(results, 4);
    const auto run = [&](const ConvolutionKernels& by) {
        Numbers y(static_cast<std::size_t>(results));
        const PlaneFiltering work{false,
                              shape.batch,
                              shape.height,
                              shape.width,
                              shape.channels,
                              shape.outputs,
                              shape.doubled,
                              source_height,
                              source_width,
                              source.data(),
                              weights.data(),
                              {shape.channels * 9, 9, 3, 1},
                              extended ? bias.data() : nullptr,
                              0,
                              extended ? added.data() : nullptr,
                              y.data()};
        convolve(by, work, 1);
        return y;
    };
    near("convolution to " + std::to_string(shape.outputs), run(convolution_kernels()),
         run(portable_convolution), 2e-5F);
}

}  // namespace

void check_convolutions() {
    for (const Planes& shape : planes) {
        for (const bool extended : {false, true}) check_planes(shape, extended);
    }
}

}  // namespace agreement
