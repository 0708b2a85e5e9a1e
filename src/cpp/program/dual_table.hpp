// An activation given by a table (see pair_table.hpp), as the fit hands it over: rows and pairs.
#pragma once

#include <array>
#include <vector>

#include "math/duals/dual.hpp"
#include "program/pair_table.hpp"

namespace ntkfast {

class DualTable {
 public:
  // Numbers as the fit makes them (python/ntkfast/_dual_tables/).
  struct Data {
    double low = 0, high = 0;  // range of asinh(stretch p)
    double stretch = 1;
    double at_zero = 0;  // phi(0)
    // Chebyshev coefficients in t of c, (o / y)^2, (e / y^2)^2, g / (y r), log(P / b), where
    // g = p sqrt(E[phi'^2]) / P: all smooth, of the order of one and with a limit at p = 0.
    // b = hypot(phi(0), p), y = p / b, r = (1 + p^2)^(1 / 4).
    std::array<std::vector<double>, 5> rows;
    bool odd = false, even = false, pure = false, mixed = false, nonnegative = false;
    int degree_t = 1, degree_x = 1;
    bool kinked = false;
    int roots = 0;
    double kappa = 0;
    std::vector<double> pair;    // [H or G][part][a][b][k]
    std::vector<double> excess;  // [part][a][b]
  };
  explicit DualTable(Data data);

  RowStep row(double p, double* columns) const;
  bool nonnegative() const { return data_.nonnegative; }
  bool mixed() const { return data_.mixed; }
  template <class T>
  const PairTable<T>& pairs() const;

 private:
  template <class T>
  PairTable<T> view(std::vector<T>& storage) const;

  Data data_;
  std::vector<double> double_storage_;
  std::vector<float> float_storage_;
  PairTable<double> double_pairs_;
  PairTable<float> float_pairs_;
};

}  // namespace ntkfast
