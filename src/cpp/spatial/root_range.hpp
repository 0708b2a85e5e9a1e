// How large signals of images are in front of one layer: what a table of an activation has to
// cover.
#pragma once

#include <cstdint>

#include "cpu/gram.hpp"
#include "program/program.hpp"

namespace ntkfast::spatial {

// Smallest and largest sqrt(K) that is not zero; low > high where there is none.
struct RootRange {
  double low, high;
};

// Of the program's first output with itself, over all images, and over all positions where it has
// any. Throws KernelOverflow.
template <class T>
RootRange root_range(const Program& program, const T* x, std::int64_t n, const char* argument,
                     const cpu::GramOptions& options);

}  // namespace ntkfast::spatial
