#include "program/dual_table.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <stdexcept>

#include "program/map_terms.hpp"

namespace ntkfast {
namespace {

// Clenshaw's rule for a sum of Chebyshev polynomials.
double chebyshev(const std::vector<double>& coefficients, double t) {
  double next = 0, after = 0;
  for (std::size_t k = coefficients.size(); k-- > 1;) {
    const double here = coefficients[k] + 2 * t * next - after;
    after = next;
    next = here;
  }
  return coefficients[0] + t * next - after;
}

void check(const DualTable::Data& data) {
  const int parts = int{data.odd} + int{data.even};
  const auto square = static_cast<std::size_t>(parts * data.degree_t * data.degree_t);
  const bool sizes =
      data.degree_t >= 1 && data.degree_t <= PairTable<double>::kMaxDegreeT && data.degree_x >= 1 &&
      data.degree_x <= PairTable<double>::kMaxDegreeX &&
      parts * data.degree_t * (2 * data.degree_x + 1) <= PairTable<double>::kMaxTerms &&
      data.pair.size() == 2 * square * static_cast<std::size_t>(data.degree_x) &&
      data.excess.size() == square;
  const bool rows = std::all_of(data.rows.begin(), data.rows.end(),
                                [](const auto& series) { return !series.empty(); });
  if (!sizes || !rows || data.roots < 0 || !(data.low <= data.high) || !(data.kappa >= 0) ||
      !(data.stretch > 0)) {
    throw std::invalid_argument("DualTable: sizes do not fit together");
  }
}

}  // namespace

DualTable::DualTable(Data data) : data_(std::move(data)) {
  check(data_);
  double_tables_ = view<double>(double_storage_);
  float_tables_ = view<float>(float_storage_);
}

template <class T>
MapTable<T> DualTable::view(Storage<T>& all) const {
  MapTerms<T> terms = map_terms<T>(data_, kLeftOut<T>);
  all.orders = std::move(terms.orders);
  all.numbers = std::move(terms.numbers);
  std::vector<T>& storage = all.rows;
  const int parts = int{data_.odd} + int{data_.even};
  const auto nt = static_cast<std::size_t>(data_.degree_t);
  const std::size_t row = nt * static_cast<std::size_t>(data_.degree_x);
  const auto series = 2 * static_cast<std::size_t>(parts);
  for (std::size_t a = 0; a < nt; ++a) {
    for (std::size_t f = 0; f < series; ++f) {
      const auto from = data_.pair.begin() + static_cast<std::ptrdiff_t>((f * nt + a) * row);
      std::transform(from, from + static_cast<std::ptrdiff_t>(row), std::back_inserter(storage),
                     [](double value) { return static_cast<T>(value); });
    }
    for (std::size_t part = 0; part < series / 2; ++part) {
      const auto from = data_.excess.begin() + static_cast<std::ptrdiff_t>((part * nt + a) * nt);
      std::transform(from, from + static_cast<std::ptrdiff_t>(nt), std::back_inserter(storage),
                     [](double value) { return static_cast<T>(value); });
    }
  }
  const double power = std::ldexp(1.0, -data_.roots);
  const double low = std::pow(data_.kappa, power), high = std::pow(1 + data_.kappa, power);
  return {{parts, data_.odd, data_.even, data_.pure, data_.mixed, data_.degree_t, data_.degree_x,
           data_.kinked, data_.roots, static_cast<T>(data_.kappa), static_cast<T>(2 / (high - low)),
           static_cast<T>(-(high + low) / (high - low)), storage.data(),
           static_cast<int>(series * row + series / 2 * nt)},
          all.orders.data(),
          static_cast<int>(all.orders.size()),
          all.numbers.data()};
}

template <>
const MapTable<float>& DualTable::maps() const {
  return float_tables_;
}
template <>
const MapTable<double>& DualTable::maps() const {
  return double_tables_;
}
template <>
std::size_t DualTable::map_numbers<float>() const {
  return float_storage_.numbers.size();
}
template <>
std::size_t DualTable::map_numbers<double>() const {
  return double_storage_.numbers.size();
}

// A zero row has P = |phi(0)|; without phi(0) it keeps the direction that small rows have.
RowStep DualTable::row(double p, double* columns) const {
  const double w = std::asinh(data_.stretch * p);
  const double half = 0.5 * (data_.high - data_.low);
  const double t =
      half > 0 ? std::clamp((w - 0.5 * (data_.low + data_.high)) / half, -1.0, 1.0) : 0.0;
  const double scale = std::hypot(data_.at_zero, p);
  const double small = scale > 0 ? p / scale : 1;
  const double grow = std::sqrt(std::hypot(1.0, p));
  columns[kTableConstant] = p == 0 && data_.at_zero != 0 ? std::copysign(1.0, data_.at_zero)
                                                         : chebyshev(data_.rows[0], t);
  columns[kTableOddScale] = small;
  columns[kTableOddShare] = small * chebyshev(data_.rows[1], t);
  columns[kTableEvenScale] = small * small;
  columns[kTableEvenShare] = small * small * chebyshev(data_.rows[2], t);
  const double gain = small * grow * chebyshev(data_.rows[3], t);
  columns[kTableOddGain] = gain;
  columns[kTableEvenGain] = small * gain;
  columns[kTablePosition] = t;
  return {p == 0 ? scale : scale * std::exp(chebyshev(data_.rows[4], t)), gain * gain};
}

}  // namespace ntkfast
