// The loops over one tile row that TileKernels::step chooses from. Built per instruction set.
#pragma once

#include "cpu/tile_kernels.hpp"

namespace ntkfast::cpu::NTKFAST_ISA {

template <class T>
using StepFunction = void (*)(const Step<T>&, const TileRow<T>&);

// One column of the left table. In a tile row all pairs share the row i; in a map (`map` below)
// pair j of the tile row has the left row j, as it has the right row j0 + j.
template <class T, bool kMap>
struct LeftColumn {
  const T* rows;
  T row;
  NTKFAST_INLINE LeftColumn() = default;
  NTKFAST_INLINE LeftColumn(const Columns<T>& columns, int k, const TileRow<T>& tile)
      : rows(columns[k] + (kMap ? tile.j0 : 0)), row(kMap ? T(0) : columns[k][tile.i]) {}
  NTKFAST_INLINE T operator[](int j) const {
    if constexpr (kMap) {
      return rows[j];
    } else {
      return row;
    }
  }
};

// The dense layers; layer_steps.cpp.
template <class T>
StepFunction<T> layer_function(const Op& op, bool signed_rho, TauMode mode);

// Dropout, and the ops that join two values; branch_steps.cpp.
template <class T>
StepFunction<T> dropout_function(bool signed_rho, bool tau);
template <class T>
StepFunction<T> join_function(const Op& op, bool signed1, bool signed2, TauMode mode, bool map);

// Finite Hermite series; series_step.cpp.
template <class T>
StepFunction<T> series_function(bool signed_rho, bool tau, bool map);

// An activation given by a table; table_step.cpp.
template <class T>
StepFunction<T> table_function(bool signed_rho, bool tau);

// One activation each; activation_step.cpp, built once per activation to keep files small.
template <class T, Activation kActivation>
StepFunction<T> activation_function(bool signed_rho, bool tau, bool map);

// The loop for an op that reads one value; tile_kernels.cpp.
template <class T>
StepFunction<T> step_function(const Op& op, bool signed_rho, TauMode mode, bool map);

}  // namespace ntkfast::cpu::NTKFAST_ISA
