// The table of loops of pools of this instruction set.
#pragma once

#include <type_traits>

#include "cpu/pool_kernels.hpp"
#include "math/hostdev.hpp"

namespace ntkfast::cpu::NTKFAST_ISA {

extern const PoolKernels<float> kFloatPools;
extern const PoolKernels<double> kDoublePools;

template <class T>
constexpr const PoolKernels<T>* pool_kernels() {
  if constexpr (std::is_same_v<T, float>) {
    return &kFloatPools;
  } else {
    return &kDoublePools;
  }
}

}  // namespace ntkfast::cpu::NTKFAST_ISA
