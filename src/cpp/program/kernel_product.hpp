// What a product of a kernel with vectors needs beside the kernel: bounds of its rows, and the
// vectors scaled so that sums of any order can be kept as integers (math/fixed_sum.hpp).
#pragma once

#include <cstdint>
#include <vector>

namespace ntkfast {

// Of every row of one side: the root of its diagonal entry, of the kernel that is multiplied.
class DiagonalRoots {
 public:
  // Adds rows: sqrt(K_ii), K_ii, and T_ii where T is what is multiplied, else null.
  template <class T>
  void add(std::int64_t rows, const T* root, const T* nngp, const T* ntk);
  // After the last row: rows so small that their T is lost below the range of the dtype get the
  // largest ratio of T to K among the others.
  void finish();

  std::int64_t rows() const { return static_cast<std::int64_t>(roots_.size()); }
  const std::vector<double>& roots() const { return roots_; }
  const std::vector<int>& exponents() const { return exponents_; }
  const std::vector<double>& scales() const { return scales_; }  // of fixed_scale()

 private:
  std::vector<double> roots_, scales_;
  std::vector<int> exponents_;
  std::vector<std::int64_t> lost_;
  double largest_ratio_ = 0;
};

// Column c of v (rows x count, row-major) times 2^-exponents[c], in the dtype of the kernel:
// sum_j roots[j] |v_jc| is then at most 1.
template <class T>
struct ScaledVectors {
  std::int64_t rows, count;
  std::vector<T> values;
  std::vector<int> exponents;

  ScaledVectors(const double* v, std::int64_t rows, std::int64_t count,
                const std::vector<double>& roots);
};

// out (rows x count, row-major) from sums, whose rows and columns lie `row_step` and `column_step`
// numbers apart.
void finish_sums(const std::int64_t* sums, std::int64_t row_step, std::int64_t column_step,
                 const DiagonalRoots& roots, const std::vector<int>& exponents, double* out);

}  // namespace ntkfast
