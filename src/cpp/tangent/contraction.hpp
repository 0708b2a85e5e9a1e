// Inner products of Jacobians, the tangent kernel Theta = J J'^T, added up tile by tile.
//
// The part of a weight matrix that is used U times per sample (once in a Dense layer, at every
// position of a convolution, in every call of a tied module) is a double sum over its uses,
//
//   Theta(x, x')_{cc'} += sum_{u,v} (weight <a_u, a'_v> + bias) <s_{c,u}, s'_{c',v}>,
//
// with its inputs a, the signals s_c = df_c/dz that come back to it, and the squares of what
// multiplies weight and bias in the layer (Novak et al. 2022, "structured derivatives"). Both
// factors of a tile of sample pairs are formed by BLAS into buffers that stay in the second-level
// cache, multiplied and added for all layers before the tile is written: there is no Jacobian, and
// no matrix of the size of the kernel but the kernel. An explicit block of a Jacobian is the case
// of one use without inputs: signals J (n, O, P), fan_in 0, bias 1.
//
// Accuracy: products of at most kProductDepth terms are summed by BLAS in the inputs' dtype;
// everything beyond (longer products, the factors' product, uses, layers) in double. With float
// inputs the error of an entry is that of the short products, whatever the number of terms and
// layers: at most 6.2e-7 of sqrt(Theta_cc(x, x) Theta_c'c'(x', x')) was measured, on the diagonal;
// below 1e-6 in the tests (test_contraction.py).
#pragma once

#include <cstdint>
#include <vector>

#include "backend/parallel.hpp"
#include "tangent/kernel_view.hpp"

namespace ntkfast::tangent {

// One weight, C-contiguous arrays of both sides. The other side is null in a symmetric kernel.
template <class T>
struct Layer {
  const T *a, *s;              // (n, uses, fan_in), (n, O, uses, units)
  const T *a_other, *s_other;  // (m, uses, fan_in), (m, O, uses, units)
  std::int64_t uses, fan_in, units;
  double weight, bias;
};

struct ContractionOptions {
  int threads = 1;
  Monitor monitor;
  // The kernel holds nothing yet: it is written instead of added to, and a symmetric one in full.
  bool overwrite = false;
};

// Adds the parts of all layers to the kernel. A symmetric one gets its lower triangle alone, that
// of the matrix of pairs (sample, output) in full: mirror_kernel() fills in the rest when all is
// added, unless all is done here (`overwrite`). The bits do not depend on the number of threads.
// Throws std::invalid_argument where a stride exceeds what BLAS takes.
template <class T, class R>
void contract(const std::vector<Layer<T>>& layers, const KernelView<R>& out,
              const ContractionOptions& options);

template <class R>
void clear_kernel(const KernelView<R>& kernel);

// Copies the lower triangle of a symmetric kernel to the upper one.
template <class R>
void mirror_kernel(const KernelView<R>& kernel, const ContractionOptions& options);

}  // namespace ntkfast::tangent
