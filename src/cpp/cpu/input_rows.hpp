// The input rows as the engine sees them: unit vectors u, minus a common anchor where that pays.
//
// The deficit of a pair is |u - u'|^2 / 2 with u = x / |x|. Subtracting one vector c from all unit
// rows leaves that unchanged, and the product (u - c).(u' - c) of correlated data (images, positive
// features) is small where u.u' is near one: its rounding error shrinks with it. Rows with no
// common part to speak of are multiplied as they are, without a copy, and scaled afterwards.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/parallel.hpp"
#include "cpu/aligned.hpp"
#include "cpu/tile_kernels.hpp"

namespace ntkfast::cpu {

template <class T>
class InputRows {
 public:
  // x is (n, d), row-major; nothing is read yet. `name` is what an error calls it.
  InputRows(const TileKernels<T>& kernels, const T* x, std::int64_t n, std::int64_t d,
            const char* name);

  // The pass over all rows, which also refuses what is not finite (std::invalid_argument). Norms
  // alone, which leaves the rows as they are:
  void measure(int threads, const Monitor& monitor);
  // or norms, half norms of the centred rows, and these rows themselves if `keep`. `anchor` has d
  // numbers and must outlive this object.
  void center(const double* anchor, bool keep, int threads, const Monitor& monitor);
  // Whether products of measured rows stay inside the range of T, with room to spare.
  bool in_product_range() const;

  // Columns [k0, k0 + dk) of rows [i0, i0 + rows), centred if an anchor was given; `scratch` is
  // used only where they are not at hand.
  const T* panel(std::int64_t i0, std::int64_t rows, std::int64_t k0, std::int64_t dk, T* scratch,
                 std::int64_t* ld) const;

  // |x_i/|x_i| - sign z_j/|z_j||^2 / 2 from the rows as given, in double.
  double half_distance(std::int64_t i, const InputRows& z, std::int64_t j, double sign) const;

  // Adds the unit vector of row i to sum; needs no pass.
  void add_unit(std::int64_t i, double* sum);

  std::int64_t rows() const { return n_; }
  const double* p() const { return p_.data(); }
  const double* inverse() const { return inverse_.data(); }
  const std::vector<double>& half_norm() const { return half_norm_; }
  // Whether panel() needs no scratch memory.
  bool at_hand() const { return anchor_ == nullptr || kept_; }
  // What a row of panel() has to be multiplied by to give v.
  std::vector<T> factors() const;

 private:
  void measure_row(std::int64_t i);
  void center_row(std::int64_t i);
  [[noreturn]] void refuse_non_finite() const;

  const TileKernels<T>& kernels_;
  const T* x_;
  std::int64_t n_, d_;
  const char* name_;
  std::vector<double> p_;           // sqrt(x.x / d)
  std::vector<double> inverse_;     // 1 / |x|, 0 for a zero row
  std::vector<double> half_norm_;   // |v|^2 / 2 of the centred row as rounded to T
  const double* anchor_ = nullptr;  // null: the rows as they are, v = u
  AlignedArray<T> kept_;
};

// The mean of at most kAnchorRows unit rows of x and z. Any anchor is correct; a good one is near
// the data.
inline constexpr std::int64_t kAnchorRows = 128;
template <class T>
std::vector<double> choose_anchor(InputRows<T>& x, InputRows<T>* z, std::int64_t d);

// The pass over x and z (null: x alone), after which panel() may be called: rows with a common part
// are centred, and kept if `keep`; others, in range, are left as they are. Returns the anchor,
// which must outlive both.
template <class T>
std::vector<double> prepare_rows(InputRows<T>& x, InputRows<T>* z, std::int64_t d, bool keep,
                                 int threads, const Monitor& monitor);

}  // namespace ntkfast::cpu
