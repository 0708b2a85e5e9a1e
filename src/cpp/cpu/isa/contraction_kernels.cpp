// The loops of the contraction. Built once per instruction set.
#include "cpu/contraction_kernels.hpp"

#include "cpu/isa/loops.hpp"

namespace ntkfast::cpu::NTKFAST_ISA {
namespace {

template <class T>
void set(const T* product, const double* factor, std::int64_t count, double* sum) {
  NTKFAST_INDEPENDENT
  for (std::int64_t j = 0; j < count; ++j) sum[j] = factor[j] * static_cast<double>(product[j]);
}

template <class T>
void add(const T* product, const double* factor, std::int64_t count, double* sum) {
  NTKFAST_INDEPENDENT
  for (std::int64_t j = 0; j < count; ++j) sum[j] += factor[j] * static_cast<double>(product[j]);
}

template <class T>
void set_scaled(const T* product, double factor, std::int64_t count, double* sum) {
  NTKFAST_INDEPENDENT
  for (std::int64_t j = 0; j < count; ++j) sum[j] = factor * static_cast<double>(product[j]);
}

template <class T>
void add_scaled(const T* product, double factor, std::int64_t count, double* sum) {
  NTKFAST_INDEPENDENT
  for (std::int64_t j = 0; j < count; ++j) sum[j] += factor * static_cast<double>(product[j]);
}

template <class T>
void add_uses(const T* product, const double* factor, std::int64_t uses, std::int64_t count,
              double* sum) {
  for (std::int64_t j = 0; j < count; ++j) {
    double total = 0.0;
    for (std::int64_t v = 0; v < uses; ++v) {
      total += factor[j * uses + v] * static_cast<double>(product[j * uses + v]);
    }
    sum[j] += total;
  }
}

template <class T>
void round(const double* sum, double scale, std::int64_t count, T* out) {
  NTKFAST_INDEPENDENT
  for (std::int64_t j = 0; j < count; ++j) out[j] = static_cast<T>(scale * sum[j]);
}

template <class T>
void add_rounded(const double* sum, double scale, std::int64_t count, T* out) {
  NTKFAST_INDEPENDENT
  for (std::int64_t j = 0; j < count; ++j) {
    out[j] = static_cast<T>(static_cast<double>(out[j]) + scale * sum[j]);
  }
}

template <class T>
void scatter_rounded(const double* sum, double scale, std::int64_t count,
                     const std::int64_t* offset, T* out) {
  for (std::int64_t j = 0; j < count; ++j) {
    T& entry = out[offset[j]];
    entry = static_cast<T>(static_cast<double>(entry) + scale * sum[j]);
  }
}

template <class T>
constexpr ContractionKernels<T> kKernels{
    set<T>,      add<T>,   set_scaled<T>,  add_scaled<T>,
    add_uses<T>, round<T>, add_rounded<T>, scatter_rounded<T>,
};

}  // namespace

const ContractionKernels<float>& float_contraction_kernels() { return kKernels<float>; }
const ContractionKernels<double>& double_contraction_kernels() { return kKernels<double>; }

}  // namespace ntkfast::cpu::NTKFAST_ISA
