// Weights that are used any number of times: which order of summation, and doing it.
#pragma once

#include <cstdint>
#include <vector>

#include "tangent/contraction.hpp"

namespace ntkfast::tangent {

// kPairsOfUses: Gram matrices of all uses, as contraction.hpp has it; per pair of samples
//   uses^2 (fan_in + P units + P) multiplications, P being the pairs of outputs.
// kWeightGradients: sum_u a_u s_{c,u}^T of every sample first, then their inner products;
//   P fan_in units per pair and uses O fan_in units per sample.
// One use is always cheaper by pairs; a convolution has so many that uses^2 > fan_in, where
// gradients are cheaper whatever the outputs. A third order, applying <a_u, a'_v> to the signals,
// is between the two for few uses and many outputs, in products too small for BLAS.
enum class Order { kPairsOfUses, kWeightGradients };

// The order that takes fewer multiplications.
template <class T, class R>
Order cheaper_order(const Layer<T>& layer, const KernelView<R>& out);

// Adds the parts of all layers, each in its order, as contract() does. Weight gradients are formed
// for as many inputs of a layer at a time as fit into kGradientBytes per side; each such part is
// rounded to the kernel's dtype when it is added.
template <class T, class R>
void contract_uses(const std::vector<Layer<T>>& layers, const std::vector<Order>& orders,
                   const KernelView<R>& out, const ContractionOptions& options);

inline constexpr std::int64_t kGradientBytes = std::int64_t{32} << 20;

}  // namespace ntkfast::tangent
