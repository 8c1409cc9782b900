// Steps of texts that look at a source, checked and joined to the program.
#include <algorithm>
#include <cmath>

#include "builder.hpp"

namespace fathom {

void Builder::accept(int target) {
    AcceptStep step;
    step.target = target;
    given_width_ = program_.at(target).width;
    vocabulary_ = std::max<std::int64_t>(vocabulary_, 1);  // ids go unread, and are 0
    append(std::move(step), target);
}

void Builder::waves(int target) {
    constexpr double longest = 10'000;  // times as long as the shortest
    WavesStep step;
    step.target = target;
    const auto width = static_cast<double>(program_.at(target).width);
    for (double i = 0; i < width; i += 2) step.turns.push_back(std::pow(longest, -i / width));
    append(std::move(step), target);
}

void Builder::look(const nb::tuple& heads, int target, std::int64_t offset,
                   const std::vector<std::int64_t>& chosen, std::int64_t most, float scale) {
    LookStep step;
    step.heads = heads_of(heads, true);
    step.target = target;
    step.offset = offset;
    step.chosen = chosen;
    step.most = most;
    step.scale = scale;
    require(!chosen.empty() && most > 0 && offset >= 0, "some heads look at something");
    require(std::all_of(chosen.begin(), chosen.end(),
                        [&](std::int64_t head) { return head >= 0 && head < step.heads.heads; }),
            "heads of the layer");
    const auto count = static_cast<std::int64_t>(chosen.size());
    require(offset + count * most <= program_.at(target).width, "shares lie in their rows");
    most_read_ = std::min(most_read_, most);
    append(std::move(step), target);
}

}  // namespace fathom
