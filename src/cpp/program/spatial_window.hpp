// Where a window reads: along one axis, output position P reads the input positions
// stride P - before + t, t in [0, size). Those outside of the image are zero (Same; Valid has none)
// or wrap around (Circular).
#pragma once

#include <algorithm>

#include "program/op.hpp"

namespace ntkfast {

struct WindowAxis {
  int size, stride, in, out, before;
  bool circular;

  WindowAxis(const SpatialWindow& window, std::size_t axis, int positions)
      : size(window.size[axis]),
        stride(window.stride[axis]),
        in(positions),
        out(0),
        before(0),
        circular(window.padding == Padding::Circular) {
    if (window.padding == Padding::Valid) {
      out = in < size ? 0 : (in - size) / stride + 1;
      return;
    }
    out = (in + stride - 1) / stride;
    before = std::max(0, (out - 1) * stride + size - in) / 2;
  }
  // Positions beyond the last one that are read.
  int after() const { return std::max(0, (out - 1) * stride + size - before - in); }
};

}  // namespace ntkfast
