// Which initial deficits have to be recomputed from the rows.
//
// A product in dtype T leaves an absolute error e in the deficit. Through a kink that error reaches
// the NTK as about e / sqrt(deficit), so nearly parallel and nearly opposite pairs need more than
// the product gives. The program itself is asked how sensitive it is: it is run in double on a grid
// of deficits, and the largest deficit at which e would cost more than the tolerance becomes the
// threshold. A smooth program asks for almost nothing, a deep kinked one for more.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/input_rows.hpp"
#include "device/product_kind.hpp"
#include "program/program.hpp"

namespace ntkfast::cpu {

// Per-row thresholds: a pair is recomputed when its deficit is at most the mean of the two.
struct RepairPolicy {
  double curvature;  // threshold / error^2
  double roundoff;   // error of the product / (|v| |v'|)

  template <class T>
  std::vector<T> thresholds(const InputRows<T>& rows) const;
};

// kind: how the product is made, which decides its error and what it may cost.
template <class T>
RepairPolicy choose_repair(const Program& program, const InputRows<T>& x, const InputRows<T>& z,
                           std::int64_t d, device::ProductKind kind = device::ProductKind::Plain);

}  // namespace ntkfast::cpu
