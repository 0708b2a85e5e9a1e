// The layers behind Flatten and global pools: on kernels of images, in double.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/dispatch.hpp"
#include "program/row_steps.hpp"
#include "spatial/map_runner.hpp"

namespace ntkfast::spatial {

// What one image contributes: the state of every value with itself, and the columns of every op.
struct HeadRow {
  std::vector<RowState> value;
  std::vector<std::vector<double>> columns;
};

class Head {
 public:
  Head(const SpatialPlan& plan, bool ntk, std::string_view isa);

  // Whether pairs need the rows of both images: the variance of each of them.
  bool needs_rows() const { return needs_rows_; }

  // From the readouts of an image with itself. Throws KernelOverflow.
  HeadRow row(const Readout* readouts, std::int64_t number, const char* argument) const;

  // Outputs of one pair from its readouts; the rows are not read unless they are needed. `same`:
  // one image with itself.
  void run(const Readout* readouts, const HeadRow* left, const HeadRow* right, bool same,
           Readout* outputs) const;

 private:
  struct Pair {
    double K, T;
  };
  Pair nonlinear(std::size_t step, const HeadRow& left, const HeadRow& right, bool same,
                 const Pair& in) const;

  const SpatialPlan& plan_;
  std::vector<PlannedStep> steps_;
  std::vector<cpu::Step<double>> bound_;  // of nonlinear steps
  bool needs_rows_ = false;
};

}  // namespace ntkfast::spatial
