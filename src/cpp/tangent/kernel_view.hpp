// Where a tangent kernel Theta(x_i, x'_j)_{cc'} is added to.
#pragma once

#include <cstdint>

namespace ntkfast::tangent {

// All pairs of outputs (n, m, O, O), the mean over equal ones (n, m), or each equal pair (n, m, O).
enum class Mode { kFull, kTrace, kDiagonal };

// An array of any strides, counted in elements, so that it may be a block of a larger one, or a
// full kernel stored as the matrix (n O, m O). `R` is double, or float where inputs are float.
template <class R>
struct KernelView {
  R* data;
  Mode mode;
  std::int64_t n, m, outputs;
  std::int64_t sample, other_sample;  // strides of i and j
  std::int64_t output, other_output;  // strides of c and c', where the mode has them

  // A kernel is worked on as a matrix: of pairs (sample, output) in full, else of samples.
  std::int64_t outputs_per_sample() const { return mode == Mode::kFull ? outputs : 1; }
  std::int64_t rows() const { return n * outputs_per_sample(); }
  std::int64_t cols() const { return m * outputs_per_sample(); }
  // Whether it is stored as that matrix, with columns side by side.
  bool is_matrix() const {
    if (mode == Mode::kDiagonal || other_sample != outputs_per_sample()) return false;
    return outputs_per_sample() == 1 || (other_output == 1 && sample == outputs * output);
  }
  std::int64_t row_offset(std::int64_t r) const {
    return mode == Mode::kFull ? r / outputs * sample + r % outputs * output : r * sample;
  }
  std::int64_t col_offset(std::int64_t r) const {
    return mode == Mode::kFull ? r / outputs * other_sample + r % outputs * other_output
                               : r * other_sample;
  }
};

}  // namespace ntkfast::tangent
