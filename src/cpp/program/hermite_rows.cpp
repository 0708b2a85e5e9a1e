#include "program/hermite_rows.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace ntkfast {
namespace {

// Entries of a unit vector below this part of it, and of the root of chi, change nothing. Their
// products would be denormal numbers in float, which cost a hundred cycles each.
constexpr double kNegligible = 1e-19;

bool monomials(const Op& op) { return op.params[0] == 0; }

// Index of the lowest coefficient that is not zero; 0 of a function that is zero.
int lowest_degree(const Op& op) {
  const auto found =
      std::find_if(op.numbers.begin(), op.numbers.end(), [](double c) { return c != 0; });
  return found == op.numbers.end() ? 0 : static_cast<int>(found - op.numbers.begin());
}

// Power of p that divides every a_k(p).
int common_power(const Op& op, HermiteOrders orders) {
  return monomials(op) ? lowest_degree(op) : orders.even > 0 ? 0 : 1;
}

}  // namespace

HermiteOrders hermite_orders(const Op& op) {
  HermiteOrders orders{0, 0};
  for (int n = 0; n < static_cast<int>(op.numbers.size()); ++n) {
    if (op.numbers[static_cast<std::size_t>(n)] == 0) continue;
    (n % 2 == 0 ? orders.even : orders.odd) = n / 2 + 1;
  }
  if (orders.count() == 0) orders.even = 1;
  return orders;
}

RowStep hermite_row(const Op& op, double p, double* columns) {
  const HermiteOrders orders = hermite_orders(op);
  const int power = common_power(op, orders);
  const double excess = monomials(op) ? 1 : (p - 1) * (p + 1);
  std::array<double, kMaxHermiteDegree + 1> a{};  // a_k / p^power
  for (int n = 0; n < static_cast<int>(op.numbers.size()); ++n) {
    // Term j = 0 of B_n in h_n; in monomials p^n is common to all terms.
    double term = op.numbers[static_cast<std::size_t>(n)];
    if (term == 0) continue;
    if (monomials(op)) {
      term *= std::sqrt(std::tgamma(n + 1.0)) * std::pow(p, n - power);
    }
    for (int k = n, j = 1; k >= 0; k -= 2, ++j) {
      const double scale = monomials(op) ? 1 : std::pow(p, k - power);
      a[static_cast<std::size_t>(k)] += term * scale;
      term *= std::sqrt(static_cast<double>(k) * (k - 1)) / (2 * j) * excess;
    }
  }
  double largest = 0, square = 0, slope = 0;
  for (const double value : a) largest = std::fmax(largest, std::fabs(value));
  if (largest == 0) a[0] = largest = 1;
  for (std::size_t k = 0; k < a.size(); ++k) {
    a[k] /= largest;
    square += a[k] * a[k];
    slope += static_cast<double>(k) * (a[k] * a[k]);
  }
  const double norm = std::sqrt(square);
  const double threshold = kNegligible * std::fmin(1.0, std::sqrt(slope / square));
  for (double& value : a) {
    value /= norm;
    if (std::fabs(value) < threshold) value = 0;
  }
  for (int k = 0; k < orders.even; ++k) columns[k] = a[static_cast<std::size_t>(2 * k)];
  for (int k = 0; k < orders.odd; ++k) {
    columns[orders.even + k] = a[static_cast<std::size_t>(2 * k + 1)];
  }
  return {op.numbers.empty() ? 0 : std::pow(p, power) * largest * norm, slope / square};
}

bool hermite_signed(const Op& op, bool signed_input) {
  // Of one sign per parity, the coefficients of all rows have these signs too, and their products
  // are positive.
  std::array<bool, 2> positive{}, negative{};
  for (std::size_t n = 0; n < op.numbers.size(); ++n) {
    positive[n % 2] = positive[n % 2] || op.numbers[n] > 0;
    negative[n % 2] = negative[n % 2] || op.numbers[n] < 0;
  }
  const bool one_sign = !(positive[0] && negative[0]) && !(positive[1] && negative[1]);
  // (p^2 - 1)^j changes sign with p.
  const bool products_positive = one_sign && (monomials(op) || op.numbers.size() <= 2);
  return !products_positive || (signed_input && hermite_orders(op).odd > 0);
}

}  // namespace ntkfast
