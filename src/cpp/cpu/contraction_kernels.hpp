// The innermost loops of the contraction of inputs and signals, compiled once per instruction set.
#pragma once

#include <cstdint>

namespace ntkfast::cpu {

// Products of dtype T are added up in double.
template <class T>
struct ContractionKernels {
  // sum[j] = factor[j] product[j]  and  sum[j] += factor[j] product[j].
  void (*set)(const T* product, const double* factor, std::int64_t count, double* sum);
  void (*add)(const T* product, const double* factor, std::int64_t count, double* sum);
  // The same with one factor for all.
  void (*set_scaled)(const T* product, double factor, std::int64_t count, double* sum);
  void (*add_scaled)(const T* product, double factor, std::int64_t count, double* sum);
  // sum[j] += sum over v of factor[j * uses + v] product[j * uses + v].
  void (*add_uses)(const T* product, const double* factor, std::int64_t uses, std::int64_t count,
                   double* sum);
  // out[j] = scale sum[j]  and  out[j] += scale sum[j], rounded once.
  void (*round)(const double* sum, double scale, std::int64_t count, T* out);
  void (*add_rounded)(const double* sum, double scale, std::int64_t count, T* out);
  // The latter, with the same rounding, to out[offset[j]].
  void (*scatter_rounded)(const double* sum, double scale, std::int64_t count,
                          const std::int64_t* offset, T* out);
};

namespace baseline {
const ContractionKernels<float>& float_contraction_kernels();
const ContractionKernels<double>& double_contraction_kernels();
}  // namespace baseline
namespace avx2 {
const ContractionKernels<float>& float_contraction_kernels();
const ContractionKernels<double>& double_contraction_kernels();
}  // namespace avx2
namespace avx512 {
const ContractionKernels<float>& float_contraction_kernels();
const ContractionKernels<double>& double_contraction_kernels();
}  // namespace avx512

}  // namespace ntkfast::cpu
