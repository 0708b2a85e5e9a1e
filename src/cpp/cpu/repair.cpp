#include "cpu/repair.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "cpu/bound_program.hpp"
#include "cpu/dispatch.hpp"

namespace ntkfast::cpu {
namespace {

// Grid of deficits 2^0, 2^-1, ..., 2^-63: rows that lie close together around the anchor have tiny
// errors, whose threshold lies as far down.
constexpr int kGrid = 64;

// Relative change of K and T that the product may cause. The budget is 2e-6 in float and 1e-12 in
// double; the rest of it belongs to the layers.
template <class T>
constexpr double kTolerance = std::is_same_v<T, float> ? 6e-7 : 3e-13;

// The less exact products of tensor cores cost more everywhere: only what a kink makes of that is
// undone. With a smaller tolerance whole matrices would be computed from their rows.
template <class T>
double tolerance_of(device::ProductKind kind, double flat_error) {
  if (kind == device::ProductKind::Tf32x3) return 5 * kTolerance<T>;
  return kind == device::ProductKind::Tf32 ? std::max(1e-3, 3 * flat_error) : kTolerance<T>;
}

// Error of a product v.v' of length d: a part in |v||v'| for terms of both signs, and a part in
// |v.v'| for partial sums that grow steadily, within the blocks of about 512 terms that BLAS uses
// and once more over the blocks. The largest of 8 million errors at d = 784 is 10 u with positive
// terms (measured).
struct ProductError {
  double flat, growing;

  // At deficit `delta`, for rows with |v|^2 = square: v.v' = square - delta.
  double at(double delta, double square) const {
    return flat * square + growing * std::fabs(square - delta);
  }
};

// Tensor cores cut off what does not fit into a sum, of at most 128 terms here: with positive terms
// up to 22 u, whatever the length (3,000 pairs each of d = 64, 784, 3072, emulated). Rounding to 10
// bits of mantissa costs up to 32500 u / sqrt(d) on dense rows (same pairs), and never more than
// 2^14 u.
template <class T>
ProductError product_error(std::int64_t d, device::ProductKind kind) {
  const double u = 0.5 * static_cast<double>(std::numeric_limits<T>::epsilon());
  const double length = static_cast<double>(d);
  if (kind == device::ProductKind::Tf32x3) return {6 * u, 20 * u};
  if (kind == device::ProductKind::Tf32) {
    return {std::min(16384.0, 32768 / std::sqrt(length)) * u, 20 * u};
  }
  return {4 * u, u * (std::sqrt(std::min(length, 512.0)) + std::sqrt(length / 512)) / 3};
}

// Values of K and T over the grid for pairs of rows of root mean square p, relative to rho = 1.
struct Response {
  std::array<double, kGrid> nngp{}, ntk{};
};

std::vector<Response> respond(const Program& program, double p,
                              const std::array<double, kGrid>& grid) {
  const std::vector<double> roots(kGrid, p);
  const auto& kernels = tile_kernels<double>("baseline");
  const RowTables<double> tables(program, roots.data(), kGrid, 0, "the repair grid");
  const auto slots = static_cast<std::size_t>(program.slots);
  std::vector<std::array<double, kGrid>> s(slots), tau(slots);
  std::vector<double*> s_slots, tau_slots;
  for (std::size_t k = 0; k < slots; ++k) {
    s_slots.push_back(s[k].data());
    tau_slots.push_back(tau[k].data());
  }
  s[static_cast<std::size_t>(program.values[0].slot)] = grid;
  const TileRow<double> row{0, 0, kGrid, s_slots.data(), tau_slots.data()};
  std::vector<Response> responses;
  for (const auto& op : bind_program(program, kernels, tables, tables, true)) {
    if (op.step.run != nullptr) {
      op.step.run(op.step, row);
      continue;
    }
    Response response;
    const auto slot = static_cast<std::size_t>(op.step.in);
    for (std::size_t k = 0; k < kGrid; ++k) {
      const double m = std::fabs(s[slot][k]);
      response.nngp[k] = std::copysign(1 - m, s[slot][k]);
      response.ntk[k] = op.has_ntk ? tau[slot][k] : 0;
    }
    responses.push_back(response);
  }
  return responses;
}

// Largest deficit of the grid at which the error of the product changes K or T by more than the
// tolerance.
double critical_deficit(const std::array<double, kGrid>& values,
                        const std::array<double, kGrid>& grid, const ProductError& error,
                        double square, double tolerance) {
  for (std::size_t k = 0; k + 1 < kGrid; ++k) {
    const double slope = std::fabs(values[k] - values[k + 1]) / (grid[k] - grid[k + 1]);
    // Near a zero of the kernel the error is measured against its size at rho = 1.
    const double size = std::max(std::fabs(values[k + 1]), 0.25 * std::fabs(values[kGrid - 1]));
    if (slope * error.at(grid[k], square) > tolerance * size) return grid[k];
  }
  return 0;
}

template <class T>
void add_representatives(const InputRows<T>& rows, std::vector<double>& roots) {
  if (rows.rows() == 0) return;
  const auto [low, high] = std::minmax_element(rows.p(), rows.p() + rows.rows());
  roots.insert(roots.end(), {*low, rows.p()[rows.rows() / 2], *high});
}

template <class T>
double largest_half_norm(const InputRows<T>& rows) {
  return rows.rows() == 0 ? 0 : *std::max_element(rows.half_norm().begin(), rows.half_norm().end());
}

}  // namespace

template <class T>
RepairPolicy choose_repair(const Program& program, const InputRows<T>& x, const InputRows<T>& z,
                           std::int64_t d, device::ProductKind kind) {
  const ProductError error = product_error<T>(d, kind);
  const double tolerance = tolerance_of<T>(kind, error.flat);
  RepairPolicy policy{0, error.flat + error.growing};
  const double square = 2 * std::max(largest_half_norm(x), largest_half_norm(z));
  if (square == 0) return policy;
  std::array<double, kGrid> grid;
  for (std::size_t k = 0; k < kGrid; ++k) grid[k] = std::exp2(-static_cast<double>(k));
  std::vector<double> roots;
  add_representatives(x, roots);
  add_representatives(z, roots);
  std::sort(roots.begin(), roots.end());
  roots.erase(std::unique(roots.begin(), roots.end()), roots.end());
  double critical = 0;
  for (const double p : roots) {
    for (const auto& response : respond(program, p, grid)) {
      critical =
          std::max({critical, critical_deficit(response.nngp, grid, error, square, tolerance),
                    critical_deficit(response.ntk, grid, error, square, tolerance)});
    }
  }
  const double largest = policy.roundoff * square;
  policy.curvature = critical / (largest * largest);
  return policy;
}

template <class T>
std::vector<T> RepairPolicy::thresholds(const InputRows<T>& rows) const {
  std::vector<T> threshold;
  threshold.reserve(rows.half_norm().size());
  for (const double half_norm : rows.half_norm()) {
    const double error = 2 * roundoff * half_norm;
    // Where even the relative accuracy of the deficit is gone, it is always recomputed.
    threshold.push_back(static_cast<T>(std::max(curvature * error * error, 4 * error)));
  }
  return threshold;
}

template RepairPolicy choose_repair(const Program&, const InputRows<float>&,
                                    const InputRows<float>&, std::int64_t, device::ProductKind);
template RepairPolicy choose_repair(const Program&, const InputRows<double>&,
                                    const InputRows<double>&, std::int64_t, device::ProductKind);
template std::vector<float> RepairPolicy::thresholds(const InputRows<float>&) const;
template std::vector<double> RepairPolicy::thresholds(const InputRows<double>&) const;

}  // namespace ntkfast::cpu
