// The kernel recursion in long double, one pair at a time, straight from the formulas: what the
// engine is compared with. It walks the same list of ops, by values instead of buffers.
#pragma once

#include <cmath>
#include <cstdint>
#include <stdexcept>
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

// Standard parameterization: the layer's own part of T is g^2 K_in + e^2.
inline Pair standard_dense(const Pair& in, long double w, long double b, long double g,
                           long double e) {
  Pair out = dense(in, w, b, false);
  out.ntk += g * g * in.nngp() + e * e;
  return out;
}

inline Pair scaled(const Pair& in, long double si, long double sj) {
  return {in.qi * si * si, in.qj * sj * sj, in.minus, in.plus, in.ntk * si * sj};
}

inline Pair layer_norm(const Pair& in, long double eps) {
  const auto scale = [&](long double q) { return q > 0 ? 1 / std::sqrt(q + eps) : 1; };
  return scaled(in, scale(in.qi), scale(in.qj));
}

// The same sample loses the same units.
inline Pair dropout(const Pair& in, long double keep, bool same) {
  const long double grown = 1 / std::sqrt(keep);
  Pair out = scaled(in, grown, grown);
  if (same) return out;
  out.ntk *= keep;
  out.minus = (1 - keep) + keep * in.minus;
  out.plus = (1 - keep) + keep * in.plus;
  return out;
}

// w1 K1 + w2 K2. With p' = sqrt(w1 q1 + w2 q2) and A_k = w_k p_k p_k' / (p p'), 1 - sum A_k is
// (sqrt(w1 w2) (p1 p2' - p2 p1'))^2 / (p p' (p p' + w1 p1 p1' + w2 p2 p2')).
inline Pair sum(const Pair& a, const Pair& b, long double wa, long double wb) {
  Pair out{wa * a.qi + wb * b.qi, wa * a.qj + wb * b.qj, a.minus, a.plus, wa * a.ntk + wb * b.ntk};
  const long double root = out.root();
  if (root == 0) return out;
  const long double share_a = wa * a.root(), share_b = wb * b.root();
  const long double cross = std::sqrt(a.qi) * std::sqrt(b.qj) - std::sqrt(b.qi) * std::sqrt(a.qj);
  const long double apart = wa * wb * cross * cross / (root + share_a + share_b);
  out.minus = (apart + share_a * a.minus + share_b * b.minus) / root;
  out.plus = (apart + share_a * a.plus + share_b * b.plus) / root;
  return out;
}

inline Pair product(const Pair& a, const Pair& b) {
  // 1 - r s and 1 + r s from the nearer ends of r and s.
  const long double ma = std::fmin(a.minus, a.plus), mb = std::fmin(b.minus, b.plus);
  const long double near = ma + mb - ma * mb;
  const bool positive = (a.minus <= a.plus) == (b.minus <= b.plus);
  return {a.qi * b.qi, a.qj * b.qj, positive ? near : 2 - near, positive ? 2 - near : near,
          a.ntk * b.nngp() + a.nngp() * b.ntk};
}

// State of a pair at every output of the program; `same`: of one sample with itself.
inline std::vector<Pair> outputs(const ntkfast::Program& program, const Pair& input,
                                 bool same = false) {
  using ntkfast::OpKind;
  std::vector<Pair> value(program.values.size());
  std::vector<Pair> result(static_cast<std::size_t>(program.outputs));
  value[0] = input;
  for (const auto& op : program.ops) {
    const Pair in = value[static_cast<std::size_t>(op.in)];
    const auto out = static_cast<std::size_t>(op.out);
    const auto& p = op.params;
    const Pair in2 = value[static_cast<std::size_t>(op.in2 < 0 ? op.in : op.in2)];
    switch (op.kind) {
      case OpKind::Output:
        result[out] = in;
        break;
      case OpKind::Dense:
        value[out] = dense(in, p[0], p[1], op.trainable);
        break;
      case OpKind::StandardDense:
        value[out] = standard_dense(in, p[0], p[1], p[2], p[3]);
        break;
      case OpKind::LayerNorm:
        value[out] = layer_norm(in, p[0]);
        break;
      case OpKind::Dropout:
        value[out] = dropout(in, p[0], same);
        break;
      case OpKind::Sum:
        value[out] = sum(in, in2, p[0], p[1]);
        break;
      case OpKind::Product:
        value[out] = product(in, in2);
        break;
      case OpKind::Activation:
        value[out] = op.activation == ntkfast::Activation::ABRelu ? abrelu(in, p[0], p[1])
                                                                  : erf(in, p[0], p[1], p[2]);
        break;
      case OpKind::HermiteSeries:
      case OpKind::Table:
        throw std::logic_error("not written here: series and tables have references of their own");
      case OpKind::Conv:
      case OpKind::Pool:
      case OpKind::Flatten:
      case OpKind::GlobalPool:
        throw std::logic_error("not written here: images have a reference of their own");
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
