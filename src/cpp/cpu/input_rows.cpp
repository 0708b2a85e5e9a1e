#include "cpu/input_rows.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

namespace ntkfast::cpu {
namespace {

constexpr std::int64_t kRowsPerTask = 64;
// Sums of squares inside these bounds neither overflowed nor lost digits to underflow.
constexpr double kSmallestSum = 1e-280, kLargestSum = 1e280;
// Rows of a smaller norm count as zero rows.
constexpr double kSmallestNorm = 1e-300;

// Runs body(i) for every row, kRowsPerTask rows a task. Too little work gets one thread.
template <class Body>
void for_rows(std::int64_t n, std::int64_t d, int threads, const Monitor& monitor, Body body) {
  const std::int64_t count = (n + kRowsPerTask - 1) / kRowsPerTask;
  Tasks tasks(count, n * d < (1 << 18) ? 1 : threads, monitor);
  tasks.run([&](int worker, std::int64_t task) {
    const std::int64_t end = std::min(n, (task + 1) * kRowsPerTask);
    for (std::int64_t i = task * kRowsPerTask; i < end; ++i) {
      if (d > (1 << 20)) tasks.checkpoint(worker);
      body(i);
    }
  });
}

}  // namespace

template <class T>
InputRows<T>::InputRows(const TileKernels<T>& kernels, const T* x, std::int64_t n, std::int64_t d,
                        const char* name)
    : kernels_(kernels), x_(x), n_(n), d_(d), name_(name) {
  const auto size = static_cast<std::size_t>(n);
  p_.resize(size);
  inverse_.resize(size);
  half_norm_.resize(size);
}

template <class T>
void InputRows<T>::measure(int threads, const Monitor& monitor) {
  for_rows(n_, d_, threads, monitor, [this](std::int64_t i) { measure_row(i); });
}

template <class T>
bool InputRows<T>::in_product_range() const {
  // Squares, and products of a large with a small row, between 1e-24 and 1e24 in float.
  constexpr double kRange = sizeof(T) == 4 ? 1e12 : 1e100;
  return std::all_of(p_.begin(), p_.end(),
                     [](double p) { return p == 0 || (p > 1 / kRange && p < kRange); });
}

template <class T>
std::vector<T> InputRows<T>::factors() const {
  if (anchor_ != nullptr) return std::vector<T>(static_cast<std::size_t>(n_), T(1));
  return std::vector<T>(inverse_.begin(), inverse_.end());
}

template <class T>
void InputRows<T>::measure_row(std::int64_t i) {
  const auto k = static_cast<std::size_t>(i);
  const T* row = x_ + i * d_;
  double scale = 1, sum = kernels_.sum_squares(row, d_, scale);
  if (!(sum >= kSmallestSum && sum <= kLargestSum)) {
    double largest = 0;
    for (std::int64_t c = 0; c < d_; ++c) {
      if (!std::isfinite(row[c])) refuse_non_finite();
      largest = std::max(largest, std::fabs(static_cast<double>(row[c])));
    }
    if (largest > 0) {
      scale = std::ldexp(1.0, std::clamp(-std::ilogb(largest), -1000, 1000));
      sum = kernels_.sum_squares(row, d_, scale);
    }
  }
  const double norm = std::sqrt(sum);
  // The square of such a norm is zero in double, and its inverse may not be finite.
  const bool zero = norm < scale * kSmallestNorm;
  p_[k] = zero ? 0 : norm / std::sqrt(static_cast<double>(d_)) / scale;
  inverse_[k] = zero ? 0 : scale / norm;
  half_norm_[k] = zero ? 0 : 0.5;
}

// Names the first entry of all, whichever row was found first.
template <class T>
void InputRows<T>::refuse_non_finite() const {
  const std::int64_t size = n_ * d_;
  const auto at = std::find_if(x_, x_ + size, [](T value) { return !std::isfinite(value); }) - x_;
  const T value = at < size ? x_[at] : T(0);
  throw std::invalid_argument(std::string(name_) + " must be finite, got " +
                              (std::isnan(value) ? "nan"
                               : value > 0       ? "inf"
                                                 : "-inf") +
                              " in row " + std::to_string(at / d_) + ", column " +
                              std::to_string(at % d_));
}

template <class T>
void InputRows<T>::center(const double* anchor, bool keep, int threads, const Monitor& monitor) {
  anchor_ = anchor;
  if (keep) kept_ = aligned_array<T>(static_cast<std::size_t>(n_ * d_));
  for_rows(n_, d_, threads, monitor, [this](std::int64_t i) {
    measure_row(i);
    center_row(i);  // while the row is in the cache
  });
}

template <class T>
void InputRows<T>::center_row(std::int64_t i) {
  const auto k = static_cast<std::size_t>(i);
  constexpr std::int64_t kChunk = 1024;
  T scratch[kChunk];
  double sum = 0;
  for (std::int64_t c = 0; c < d_; c += kChunk) {
    sum += kernels_.center(x_ + i * d_ + c, std::min(kChunk, d_ - c), inverse_[k], anchor_ + c,
                           kept_ ? kept_.get() + i * d_ + c : scratch);
  }
  half_norm_[k] = 0.5 * sum;
}

template <class T>
const T* InputRows<T>::panel(std::int64_t i0, std::int64_t rows, std::int64_t k0, std::int64_t dk,
                             T* scratch, std::int64_t* ld) const {
  if (at_hand()) {
    *ld = d_;
    return (kept_ ? kept_.get() : x_) + i0 * d_ + k0;
  }
  *ld = dk;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto k = static_cast<std::size_t>(i0 + r);
    kernels_.center(x_ + (i0 + r) * d_ + k0, dk, inverse_[k], anchor_ + k0, scratch + r * dk);
  }
  return scratch;
}

template <class T>
double InputRows<T>::half_distance(std::int64_t i, const InputRows& z, std::int64_t j,
                                   double sign) const {
  const auto a = static_cast<std::size_t>(i), b = static_cast<std::size_t>(j);
  return kernels_.half_distance(x_ + i * d_, inverse_[a], z.x_ + j * d_, sign * z.inverse_[b], d_);
}

template <class T>
void InputRows<T>::add_unit(std::int64_t i, double* sum) {
  measure_row(i);
  const auto k = static_cast<std::size_t>(i);
  const T* row = x_ + i * d_;
  for (std::int64_t c = 0; c < d_; ++c) {
    sum[c] += static_cast<double>(row[c]) * inverse_[k];
  }
}

template <class T>
std::vector<double> choose_anchor(InputRows<T>& x, InputRows<T>* z, std::int64_t d) {
  std::vector<double> anchor(static_cast<std::size_t>(d), 0.0);
  std::int64_t used = 0;
  const auto add = [&](InputRows<T>& rows, std::int64_t wanted) {
    const std::int64_t count = std::min(wanted, rows.rows());
    for (std::int64_t k = 0; k < count; ++k) {
      rows.add_unit(k * rows.rows() / count, anchor.data());
    }
    used += count;
  };
  add(x, z == nullptr ? kAnchorRows : kAnchorRows / 2);
  if (z != nullptr) add(*z, kAnchorRows / 2);
  for (double& value : anchor) value /= static_cast<double>(std::max<std::int64_t>(used, 1));
  return anchor;
}

template <class T>
std::vector<double> prepare_rows(InputRows<T>& x, InputRows<T>* z, std::int64_t d, bool keep,
                                 int threads, const Monitor& monitor) {
  constexpr double kWorthCentering = 0.02;  // |anchor|^2: how much smaller products get
  std::vector<double> anchor = choose_anchor(x, z, d);
  const double common = std::inner_product(anchor.begin(), anchor.end(), anchor.begin(), 0.0);
  if (common < kWorthCentering) {
    x.measure(threads, monitor);
    if (z != nullptr) z->measure(threads, monitor);
    if (x.in_product_range() && (z == nullptr || z->in_product_range())) return anchor;
  }
  x.center(anchor.data(), keep, threads, monitor);
  if (z != nullptr) z->center(anchor.data(), keep, threads, monitor);
  return anchor;
}

template class InputRows<float>;
template class InputRows<double>;
template std::vector<double> choose_anchor(InputRows<float>&, InputRows<float>*, std::int64_t);
template std::vector<double> choose_anchor(InputRows<double>&, InputRows<double>*, std::int64_t);
template std::vector<double> prepare_rows(InputRows<float>&, InputRows<float>*, std::int64_t, bool,
                                          int, const Monitor&);
template std::vector<double> prepare_rows(InputRows<double>&, InputRows<double>*, std::int64_t,
                                          bool, int, const Monitor&);

}  // namespace ntkfast::cpu
