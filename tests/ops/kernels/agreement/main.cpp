// Usage: agreement [NAME]. With a name, that is what the kernels in use have to be called.
#include <cstdio>

#include "agreement.hpp"
#include "cpu.hpp"

int main(int count, char** arguments) {
    const char* used = fathom::kernels().name;
    if (count > 1) {
        agreement::holds(std::string("kernels in use are ") + used + ", not " + arguments[1],
                         std::strcmp(used, arguments[1]) == 0);
    }
    agreement::check_products();
    agreement::check_arithmetic();
    agreement::check_recurrences();
    agreement::check_latents();
    agreement::check_seeing();
    agreement::check_convolutions();
    for (const std::string& each : agreement::differences()) std::printf("%s\n", each.c_str());
    std::printf("%s: %zu of %zu results differ from the portable kernels\n", used,
                agreement::differences().size(), agreement::compared());
    return agreement::differences().empty() ? 0 : 1;
}
