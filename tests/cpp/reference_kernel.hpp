// The kernel recursion in long double, one pair at a time, straight from the formulas: what the
// engine is compared with. It walks the same list of ops, by values instead of buffers.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "program/program.hpp"

namespace reference {

inline constexpr long double kPi = 3.14159265358979323846264338327950288L;

// Both 1 - rho and 1 + rho, each with its own digits.
struct Pair {
  long double qi, qj, minus, plus, ntk;

  long double root() const { return std::sqrt(qi) * std::sqrt(qj); }
  long double rho() const { return minus < plus ? 1 - minus : plus - 1; }
  long double nngp() const { return root() * rho(); }
};

// sin(t) - t cos(t); the series where the difference would cancel.
inline long double arc_excess(long double t) {
  if (t > 0.5L) return std::sin(t) - t * std::cos(t);
  long double term = t, sum = 0;  // term = (-1)^k t^(2k+1) / (2k+1)!
  for (int k = 1; k <= 12; ++k) {
    term *= -t * t / ((2.0L * k) * (2.0L * k + 1));
    sum -= 2 * k * term;
  }
  return sum;
}

inline Pair dense(const Pair& in, long double w, long double b, bool trainable) {
  const long double w2 = w * w, b2 = b * b;
  Pair out{w2 * in.qi + b2, w2 * in.qj + b2, in.minus, in.plus, 0};
  const long double scale = w2 * in.root(), root = out.root();
  if (root > 0 && b2 > 0) {
    const long double gap = std::sqrt(in.qi) - std::sqrt(in.qj);
    const long double rest =
        (w2 * b2 * (in.qi + in.qj) + b2 * b2) / (root + scale);  // root - scale
    out.minus = (w2 * b2 * gap * gap / (root + scale + b2) + scale * in.minus) / root;
    out.plus = (scale * in.plus + rest + b2) / root;
  }
  out.ntk = w2 * in.ntk + (trainable ? out.nngp() : 0);
  return out;
}

inline Pair abrelu(const Pair& in, long double a, long double b) {
  const long double size = (a * a + b * b) / 2, jump = (a - b) * (a - b);
  const long double c = size > 0 ? jump / (2 * size) : 0;
  const long double two_minus_c = size > 0 ? (a + b) * (a + b) / (2 * size) : 2;
  Pair out{in.qi * size, in.qj * size, in.minus, in.plus, in.ntk};
  if (in.minus <= in.plus) {
    const long double angle = 2 * std::asin(std::sqrt(in.minus / 2));
    out.minus = in.minus - c / kPi * arc_excess(angle);
    out.plus = 2 - out.minus;
    out.ntk *= size - jump * angle / (2 * kPi);
  } else {  // angle to the opposite direction: theta = pi - angle
    const long double angle = 2 * std::asin(std::sqrt(in.plus / 2));
    const long double excess = c / kPi * arc_excess(angle);
    out.minus = in.plus + two_minus_c * (1 - in.plus) - excess;
    out.plus = in.plus + c * (1 - in.plus) + excess;
    out.ntk *= a * b + jump * angle / (2 * kPi);
  }
  return out;
}

inline Pair erf(const Pair& in, long double a, long double b, long double c) {
  const auto variance = [&](long double q) {
    const long double x = 2 * b * b * q;
    return a * a * 2 / kPi * std::asin(x / (1 + x)) + c * c;
  };
  const long double xi = 1 + 2 * b * b * in.qi, xj = 1 + 2 * b * b * in.qj;
  const long double cov = 2 * b * b * in.nngp();
  Pair out{variance(in.qi), variance(in.qj), 0, 2, 0};
  const long double nngp = a * a * 2 / kPi * std::asin(cov / std::sqrt(xi * xj)) + c * c;
  const bool equal = in.minus == 0 && in.qi == in.qj;
  if (out.root() > 0 && !equal) out.minus = std::fmax(0.0L, 1 - nngp / out.root());
  out.plus = 2 - out.minus;
  out.ntk = in.ntk * 4 * a * a * b * b / kPi / std::sqrt(xi * xj - cov * cov);
  return out;
}

// State of a pair at every output of the program.
inline std::vector<Pair> outputs(const ntkfast::Program& program, const Pair& input) {
  using ntkfast::OpKind;
  std::vector<Pair> value(program.values.size());
  std::vector<Pair> result(static_cast<std::size_t>(program.outputs));
  value[0] = input;
  for (const auto& op : program.ops) {
    const Pair in = value[static_cast<std::size_t>(op.in)];
    const auto out = static_cast<std::size_t>(op.out);
    const auto& p = op.params;
    if (op.kind == OpKind::Output) {
      result[out] = in;
    } else if (op.kind == OpKind::Dense) {
      value[out] = dense(in, p[0], p[1], op.trainable);
    } else if (op.activation == ntkfast::Activation::ABRelu) {
      value[out] = abrelu(in, p[0], p[1]);
    } else {
      value[out] = erf(in, p[0], p[1], p[2]);
    }
  }
  return result;
}

// Two rows of d numbers before the first layer.
template <class T>
Pair input_pair(const T* x, const T* z, std::int64_t d) {
  long double xx = 0, zz = 0;
  for (std::int64_t k = 0; k < d; ++k) {
    xx += static_cast<long double>(x[k]) * x[k];
    zz += static_cast<long double>(z[k]) * z[k];
  }
  const long double size_x = xx > 0 ? std::sqrt(xx) : 1, size_z = zz > 0 ? std::sqrt(zz) : 1;
  long double minus = 0, plus = 0;
  for (std::int64_t k = 0; k < d; ++k) {
    const long double u = x[k] / size_x, v = z[k] / size_z;
    minus += (u - v) * (u - v) / 2;
    plus += (u + v) * (u + v) / 2;
  }
  const auto length = static_cast<long double>(d);
  return {xx / length, zz / length, minus, plus, 0};
}

}  // namespace reference
