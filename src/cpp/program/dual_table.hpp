// An activation given by a table (see pair_table.hpp), as the fit hands it over: rows and pairs.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "math/duals/dual.hpp"
#include "program/map_table.hpp"

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
  const PairTable<T>& pairs() const {
    return maps<T>();
  }
  template <class T>
  const MapTable<T>& maps() const;
  // What maps leave out of a series adds up to no more: a quarter of what a fit aims at.
  template <class T>
  static constexpr double kLeftOut = sizeof(T) == sizeof(float) ? 5e-9 : 5e-15;
  // Multiplications per pair of a map, about.
  template <class T>
  std::size_t map_numbers() const;

 private:
  template <class T>
  struct Storage {
    std::vector<T> rows, numbers;
    std::vector<MapTerm> orders;
  };
  template <class T>
  MapTable<T> view(Storage<T>& storage) const;

  Data data_;
  Storage<double> double_storage_;
  Storage<float> float_storage_;
  MapTable<double> double_tables_;
  MapTable<float> float_tables_;
};

}  // namespace ntkfast
