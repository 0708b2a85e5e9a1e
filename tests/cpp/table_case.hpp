// Small tables of made-up activations: their numbers are arbitrary, their structure is not.
#pragma once

#include <memory>
#include <random>

#include "program/dual_table.hpp"

namespace table_case {

enum class Parts { Odd, Even, OddWithConstant, Both, Kinked };
inline constexpr Parts kAll[] = {Parts::Odd, Parts::Even, Parts::OddWithConstant, Parts::Both,
                                 Parts::Kinked};

inline std::shared_ptr<const ntkfast::DualTable> table(Parts which, int degree_t, int degree_x) {
  ntkfast::DualTable::Data data;
  std::mt19937 random(7);
  const auto number = [&](double scale) {
    return scale * (static_cast<double>(random()) / 4294967296.0 - 0.5);
  };
  data.odd = which != Parts::Even;
  data.even = which != Parts::Odd && which != Parts::OddWithConstant;
  data.pure = which == Parts::Odd;
  data.mixed = which == Parts::Both;
  data.low = 0;
  data.high = 1.5;
  data.at_zero = data.pure ? 0 : 0.4;
  data.degree_t = degree_t;
  data.degree_x = degree_x;
  data.kinked = which == Parts::Kinked;
  data.roots = 1;
  data.kappa = 0.1;
  const double share = data.odd && data.even ? 0.3 : 0.6;  // squared
  data.rows = {{{data.pure ? 0.0 : 0.5, 0.1},
                {data.pure  ? 1.0
                 : data.odd ? share
                            : 0.0,
                 data.pure ? 0.0 : 0.05},
                {data.even ? share : 0.0, 0.03},
                {1.1, 0.1},
                {0.1, 0.02}}};
  const int parts = int{data.odd} + int{data.even};
  for (int k = 0; k < 2 * parts * degree_t * degree_t * degree_x; ++k) {
    data.pair.push_back(k % (degree_t * degree_t * degree_x) == 0 ? 0.4 : number(0.05));
  }
  for (int k = 0; k < parts * degree_t * degree_t; ++k) {
    data.excess.push_back(k % (degree_t * degree_t) == 0 ? 0.2 : number(0.02));
  }
  return std::make_shared<const ntkfast::DualTable>(std::move(data));
}

}  // namespace table_case
