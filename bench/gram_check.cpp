#include "gram_check.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ntkfast::bench {
namespace {

using Real = long double;
constexpr Real kPi = std::numbers::pi_v<Real>;

struct State {
  Real k, t, p, q;  // K, T, k(x, x), k(z, z)
};

void dense(State& s) {
  constexpr Real w2 = Real{kWeightStd} * kWeightStd, b2 = Real{kBiasStd} * kBiasStd;
  s.k = w2 * s.k + b2;
  s.p = w2 * s.p + b2;
  s.q = w2 * s.q + b2;
  s.t = s.k + w2 * s.t;
}

void relu(State& s, bool same_sample) {
  const Real norm = std::sqrt(s.p * s.q);
  const Real rho = same_sample ? Real{1} : std::clamp(s.k / norm, Real{-1}, Real{1});
  const Real rest = kPi - std::acos(rho);
  s.k = norm * (std::sqrt((1 - rho) * (1 + rho)) + rest * rho) / (2 * kPi);
  s.t *= rest / (2 * kPi);
  s.p /= 2;
  s.q /= 2;
}

void erf(State& s) {
  const Real norm = (1 + 2 * s.p) * (1 + 2 * s.q);
  s.t *= 4 / kPi / std::sqrt(norm - 4 * s.k * s.k);
  s.k = 2 / kPi * std::asin(2 * s.k / std::sqrt(norm));
  s.p = 2 / kPi * std::asin(2 * s.p / (1 + 2 * s.p));
  s.q = 2 / kPi * std::asin(2 * s.q / (1 + 2 * s.q));
}

}  // namespace

template <class T>
Pair recursion(const Options& options, const T* x, const T* z, bool same_sample) {
  State s{};
  for (std::int64_t i = 0; i < options.d; ++i) {
    s.k += Real{x[i]} * z[i];
    s.p += Real{x[i]} * x[i];
    s.q += Real{z[i]} * z[i];
  }
  const Real d = static_cast<Real>(options.d);
  s = {s.k / d, 0, s.p / d, s.q / d};
  for (int layer = 0; layer < options.depth; ++layer) {
    dense(s);
    if (options.activation == "relu") {
      relu(s, same_sample);
    } else {
      erf(s);
    }
  }
  dense(s);
  return {s.k, s.t, std::sqrt(s.p * s.q)};
}

template Pair recursion(const Options&, const float*, const float*, bool);
template Pair recursion(const Options&, const double*, const double*, bool);

}  // namespace ntkfast::bench
