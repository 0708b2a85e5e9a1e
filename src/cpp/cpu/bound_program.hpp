// A program bound to the loops of one instruction set and to the row tables of both sides.
#pragma once

#include <vector>

#include "cpu/tile_kernels.hpp"
#include "program/program.hpp"
#include "program/row_tables.hpp"

namespace ntkfast::cpu {

template <class T>
struct BoundOp {
  Step<T> step;     // run is null for an output
  int output;       // number of the output
  bool signed_rho;  // of the value handed out
  bool has_ntk;     // false: T is identically zero
  const T* root_left;
  const T* root_right;
};

// Tables must outlive the result. `ntk` says whether T is wanted at all.
template <class T>
std::vector<BoundOp<T>> bind_program(const Program& program, const TileKernels<T>& kernels,
                                     const RowTables<T>& left, const RowTables<T>& right, bool ntk);

}  // namespace ntkfast::cpu
