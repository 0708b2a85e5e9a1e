// The loops over one tile row that TileKernels::step chooses from. Built per instruction set.
#pragma once

#include "cpu/tile_kernels.hpp"

namespace ntkfast::cpu::NTKFAST_ISA {

template <class T>
using StepFunction = void (*)(const Step<T>&, const TileRow<T>&);

// The dense layers; layer_steps.cpp.
template <class T>
StepFunction<T> layer_function(const Op& op, bool signed_rho, TauMode mode);

// Dropout, and the ops that join two values; branch_steps.cpp.
template <class T>
StepFunction<T> dropout_function(bool signed_rho, bool tau);
template <class T>
StepFunction<T> join_function(const Op& op, bool signed1, bool signed2, TauMode mode);

// Finite Hermite series; series_step.cpp.
template <class T>
StepFunction<T> series_function(bool signed_rho, bool tau);

// An activation given by a table; table_step.cpp.
template <class T>
StepFunction<T> table_function(bool signed_rho, bool tau);

// One activation each; activation_step.cpp, built once per activation to keep files small.
template <class T, Activation kActivation>
StepFunction<T> activation_function(bool signed_rho, bool tau);

}  // namespace ntkfast::cpu::NTKFAST_ISA
