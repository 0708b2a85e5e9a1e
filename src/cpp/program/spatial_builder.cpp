// The layers of a program that know positions.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "error.hpp"
#include "program/program.hpp"
#include "program/spatial_window.hpp"

namespace ntkfast {
namespace {

// See dense_standard().
constexpr double kAlmostZero = 1e-17;

// Positions of the result along one axis; unknown of unknown.
int output_size(const std::string& name, const SpatialWindow& window, std::size_t axis, int in) {
  if (in == kAnyWidth) return kAnyWidth;
  const int out = WindowAxis(window, axis, in).out;
  if (out < 1) {
    throw ArchitectureError(name + " needs at least " + std::to_string(window.size[axis]) +
                            " positions in each row and column it reads, got " +
                            std::to_string(in));
  }
  return out;
}

void require_window(const std::string& name, const SpatialWindow& window) {
  for (std::size_t axis = 0; axis < 2; ++axis) {
    if (window.size[axis] < 1 || window.stride[axis] < 1) {
      throw ArchitectureError(name + ": sizes of windows and strides must be at least 1");
    }
  }
}

}  // namespace

int ProgramBuilder::image(int height, int width, int channels) {
  const int value = input(channels);
  program_.values.back().grid = {height, width};
  return value;
}

void ProgramBuilder::require_positions(const std::string& name, const Value& in,
                                       bool wanted) const {
  if (in.grid.has_positions() == wanted) return;
  throw ArchitectureError(
      wanted ? name + " follows " + in.produced + ", which has no positions"
             : name + " follows " + in.produced +
                   ", which still has positions: put Flatten or a global pool in between");
}

void ProgramBuilder::require_one_grid(const std::string& name, const Value& a,
                                      const Value& b) const {
  if (a.grid == b.grid) {
    if (a.pools == b.pools || !a.grid.has_positions()) return;
    throw ArchitectureError(name + " joins " + a.produced + " behind " + std::to_string(a.pools) +
                            " pools and " + b.produced + " behind " + std::to_string(b.pools) +
                            ": pools are where positions of one image first meet others, and "
                            "branches have to do that together. Put AvgPool((1, 1)), which "
                            "changes nothing, into the one with fewer");
  }
  const auto text = [](const Grid& grid) {
    return grid.has_positions() ? std::to_string(grid.height) + " x " + std::to_string(grid.width)
                                : "no";
  };
  throw ArchitectureError(name + " joins " + a.produced + " with " + text(a.grid) +
                          " positions and " + b.produced + " with " + text(b.grid));
}

int ProgramBuilder::conv(int value, double weight_std, std::optional<double> bias_std,
                         bool trainable, const SpatialWindow& window, int channels,
                         std::optional<double> scale) {
  const Value& in = at(value);
  const std::string own = label("Conv");
  require_positions(own, in, true);
  const double bias = std::fabs(bias_std.value_or(0)), weight = std::fabs(weight_std);
  if (!std::isfinite(weight) || !std::isfinite(bias)) {
    throw ArchitectureError(own + ": W_std and b_std must be finite");
  }
  require_window(own, window);
  Op op{OpKind::Conv, {}, trainable, value, 0, {weight, bias, weight, bias}};
  op.window = window;
  if (scale) {
    if (!(*scale > 0) || !std::isfinite(*scale)) {
      throw ArchitectureError(own + ": s must be finite and positive");
    }
    if (in.width == kMixedWidths) {
      throw ArchitectureError(own + " needs the number of channels of " + in.produced);
    }
    const double inputs = 1.0 * window.size[0] * window.size[1] * std::abs(in.width);
    op.params[2] = std::sqrt(inputs / *scale);
    op.params[0] = std::max(weight, kAlmostZero * op.params[2]);
    op.params[3] = bias_std ? 1 : 0;
    if (bias_std) op.params[1] = std::max(bias, kAlmostZero);
  }
  const int out = static_cast<int>(program_.values.size());
  Value result{true, in.signed_rho, in.has_ntk || trainable, own, true, {out}, channels};
  result.grid = {output_size(own, window, 0, in.grid.height),
                 output_size(own, window, 1, in.grid.width)};
  return add(op, std::move(result));
}

// A linear map of positions, the same for every channel: a Gaussian stays one.
int ProgramBuilder::pool(int value, bool mean, const SpatialWindow& window, bool normalize_edges) {
  Value out = at(value);
  const std::string own = label(mean ? "AvgPool" : "SumPool");
  require_positions(own, out, true);
  require_window(own, window);
  for (std::size_t axis = 0; axis < 2; ++axis) {
    int& size = axis == 0 ? out.grid.height : out.grid.width;
    size = output_size(own, window, axis, size);
  }
  out.produced = own;
  const double weight = mean ? 1 / (1.0 * window.size[0] * window.size[1]) : 1;
  const bool inside = mean && normalize_edges && window.padding == Padding::Same;
  Op op{OpKind::Pool, {}, false, value, 0, {weight, inside ? 1.0 : 0.0}};
  op.window = window;
  return add(op, std::move(out));
}

int ProgramBuilder::flatten(int value) {
  Value out = at(value);
  const std::string own = label("Flatten");
  require_positions(own, out, true);
  const bool known = out.grid.height != kAnyWidth && out.width > 0;
  const double width = known ? static_cast<double>(out.grid.count()) * out.width : 0;
  if (width > std::numeric_limits<int>::max()) {
    throw ArchitectureError(own + ": more channels than an integer can count");
  }
  if (out.width != kMixedWidths) out.width = known ? static_cast<int>(width) : kAnyWidth;
  out.gaussian = false;  // one variance per position
  out.grid = {};
  out.produced = own;
  return add({OpKind::Flatten, {}, false, value, 0, {}}, std::move(out));
}

int ProgramBuilder::global_pool(int value, bool mean) {
  Value out = at(value);
  const std::string own = label(mean ? "GlobalAvgPool" : "GlobalSumPool");
  require_positions(own, out, true);
  const auto positions = static_cast<double>(out.grid.count());
  out.grid = {};
  out.produced = own;
  return add({OpKind::GlobalPool, {}, false, value, 0, {mean ? 1 / (positions * positions) : 1}},
             std::move(out));
}

}  // namespace ntkfast
