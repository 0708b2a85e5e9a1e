// The answer of one pair of rows by the textbook recursion in long double, sharing no code with the
// library: what the benchmark compares with.
#pragma once

#include <cstdint>

#include "gram_options.hpp"

namespace ntkfast::bench {

struct Pair {
  long double nngp;
  long double ntk;
  long double scale;  // sqrt(k(x, x) k(z, z)): what differences are relative to
};

template <class T>
Pair recursion(const Options& options, const T* x, const T* z, bool same_sample);

}  // namespace ntkfast::bench
