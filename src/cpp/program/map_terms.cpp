#include "program/map_terms.hpp"

#include <algorithm>
#include <cmath>

namespace ntkfast {
namespace {

// The series of a table with the orders a and b taken together.
class Symmetric {
 public:
  explicit Symmetric(const DualTable::Data& data)
      : data_(data),
        nt_(static_cast<std::size_t>(data.degree_t)),
        nx_(static_cast<std::size_t>(data.degree_x)),
        parts_(static_cast<std::size_t>(data.odd) + static_cast<std::size_t>(data.even)) {}

  std::size_t orders() const { return nt_; }
  std::size_t degrees() const { return nx_; }
  std::size_t parts() const { return parts_; }

  double pair(std::size_t series, std::size_t a, std::size_t b, std::size_t k) const {
    const auto at = [&](std::size_t i, std::size_t j) {
      return data_.pair[((series * nt_ + i) * nt_ + j) * nx_ + k];
    };
    return 0.5 * (at(a, b) + at(b, a));
  }
  double excess(std::size_t part, std::size_t a, std::size_t b) const {
    const double* at = data_.excess.data() + part * nt_ * nt_;
    return 0.5 * (at[a * nt_ + b] + at[b * nt_ + a]);
  }

  // Terms in x behind which all numbers are small, of all series.
  std::size_t terms(std::size_t a, std::size_t b, double small) const {
    std::size_t terms = 0;
    for (std::size_t f = 0; f < 2 * parts_; ++f) {
      std::size_t k = nx_;
      while (k > terms && std::fabs(pair(f, a, b, k - 1)) <= small) --k;
      terms = std::max(terms, k);
    }
    return terms;
  }
  // E is multiplied by (t - t')^2, at most 4.
  bool excess_counts(std::size_t a, std::size_t b, double small) const {
    for (std::size_t part = 0; part < parts_; ++part) {
      if (4 * std::fabs(excess(part, a, b)) > small) return true;
    }
    return false;
  }

  // The largest sum of what is left out of a series.
  double left_out(double small) const {
    std::vector<double> sum(3 * parts_);
    for (std::size_t a = 0; a < nt_; ++a) {
      for (std::size_t b = 0; b <= a; ++b) {
        const double times = a == b ? 1 : 2;
        const std::size_t kept = terms(a, b, small);
        for (std::size_t f = 0; f < 2 * parts_; ++f) {
          for (std::size_t k = kept; k < nx_; ++k) sum[f] += times * std::fabs(pair(f, a, b, k));
        }
        if (kept > 0 || excess_counts(a, b, small)) continue;
        for (std::size_t part = 0; part < parts_; ++part) {
          sum[2 * parts_ + part] += 4 * times * std::fabs(excess(part, a, b));
        }
      }
    }
    // A constant has neither an odd nor an even part.
    return sum.empty() ? 0 : *std::max_element(sum.begin(), sum.end());
  }

 private:
  const DualTable::Data& data_;
  std::size_t nt_, nx_, parts_;
};

}  // namespace

template <class T>
MapTerms<T> map_terms(const DualTable::Data& data, double left_out) {
  const Symmetric series(data);
  double small = left_out;
  while (small > 0 && series.left_out(small) > left_out) small /= 2;
  MapTerms<T> made;
  for (std::size_t a = 0; a < series.orders(); ++a) {
    for (std::size_t b = 0; b <= a; ++b) {
      const std::size_t terms = series.terms(a, b, small);
      if (terms == 0 && !series.excess_counts(a, b, small)) continue;
      made.orders.push_back(
          {static_cast<short>(a), static_cast<short>(b), static_cast<short>(terms)});
      for (std::size_t part = 0; part < series.parts(); ++part) {
        made.numbers.push_back(static_cast<T>(series.excess(part, a, b)));
      }
      for (std::size_t f = 0; f < 2 * series.parts(); ++f) {
        for (std::size_t k = 0; k < terms; ++k) {
          made.numbers.push_back(static_cast<T>(series.pair(f, a, b, k)));
        }
      }
    }
  }
  return made;
}

template MapTerms<float> map_terms(const DualTable::Data&, double);
template MapTerms<double> map_terms(const DualTable::Data&, double);

}  // namespace ntkfast
