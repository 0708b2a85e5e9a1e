#include "spatial/image_columns.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>

#include "error.hpp"
#include "program/row_steps.hpp"
#include "program/spatial_window.hpp"

namespace ntkfast::spatial {
namespace {

using Roots = std::vector<double>;  // sqrt(K(p, p)) of every position

int wrapped(int position, int size) { return (position % size + size) % size; }

// Sum of q over the taps of every output position.
Roots summed_squares(const Roots& in, const Grid& from, const Grid& to,
                     const SpatialWindow& window) {
  const WindowAxis rows(window, 0, from.height), cols(window, 1, from.width);
  const auto index = [](const WindowAxis& axis, int out, int tap) {
    const int at = axis.stride * out - axis.before + tap;
    if (axis.circular) return wrapped(at, axis.in);
    return at >= 0 && at < axis.in ? at : -1;
  };
  Roots sum(static_cast<std::size_t>(to.count()));
  for (int y = 0; y < to.height; ++y) {
    for (int x = 0; x < to.width; ++x) {
      double& total = sum[static_cast<std::size_t>(y) * static_cast<std::size_t>(to.width) +
                          static_cast<std::size_t>(x)];
      for (int ty = 0; ty < rows.size; ++ty) {
        const int iy = index(rows, y, ty);
        for (int tx = 0; tx < cols.size && iy >= 0; ++tx) {
          const int ix = index(cols, x, tx);
          if (ix < 0) continue;
          const double p = in[static_cast<std::size_t>(iy) * static_cast<std::size_t>(from.width) +
                              static_cast<std::size_t>(ix)];
          total += p * p;
        }
      }
    }
  }
  return sum;
}

template <class T>
void narrow(const Roots& values, T* out) {
  for (std::size_t k = 0; k < values.size(); ++k) out[k] = static_cast<T>(values[k]);
}

}  // namespace

template <class T>
ImageColumns<T>::ImageColumns(const SpatialPlan& plan, const T* image, std::int64_t number,
                              const char* argument) {
  const Program& program = plan.program();
  const auto grid = [&](int v) { return program.values[static_cast<std::size_t>(v)].grid; };
  std::int64_t size = 0;
  for (const ColumnPlan& column : plan.columns()) {
    first_.push_back(size);
    size += grid(column.value).count();
  }
  data_.resize(static_cast<std::size_t>(size));
  const auto target = [&](std::size_t k) { return data_.data() + first_[k]; };

  std::vector<Roots> roots(program.values.size());
  const int channels = program.values[0].width;
  const std::int64_t pixels = grid(0).count();
  roots[0].resize(static_cast<std::size_t>(pixels));
  for (std::int64_t p = 0; p < pixels; ++p) {
    double square = 0;
    for (int c = 0; c < channels; ++c) {
      const auto x = static_cast<double>(image[p * channels + c]);
      square += x * x;
    }
    const double norm = std::sqrt(square), factor = norm > 0 ? 1 / norm : 0;
    roots[0][static_cast<std::size_t>(p)] = norm / std::sqrt(channels);
    for (int c = 0; c < channels; ++c) {
      target(static_cast<std::size_t>(c))[p] =
          static_cast<T>(static_cast<double>(image[p * channels + c]) * factor);
    }
  }
  const auto refuse = [&](const Op& op, double p) {
    char text[64];
    std::snprintf(text, sizeof text, "K(x, x) = %.3g^2", p);
    const std::string& layer = program.values[static_cast<std::size_t>(op.out)].produced;
    throw KernelOverflow("image " + std::to_string(number) + " of " + argument + " has " + text +
                         " at " + layer + ", which is too large: scale the inputs or W_std down");
  };
  for (std::size_t index = 0; index < program.ops.size(); ++index) {
    const Op& op = program.ops[index];
    if (op.kind == OpKind::Output || !plan.on_maps(op)) continue;
    const Roots& in = roots[static_cast<std::size_t>(op.in)];
    const std::size_t first = plan.first_column(index);
    if (op.kind == OpKind::Flatten || op.kind == OpKind::GlobalPool) {
      narrow(in, target(first));
      continue;
    }
    Roots& out = roots[static_cast<std::size_t>(op.out)];
    if (op.kind == OpKind::Conv) {
      narrow(in, target(first));
      const double taps = 1.0 * op.window.size[0] * op.window.size[1];
      const double weight = op.params[0] / std::sqrt(taps), bias = op.params[1];
      out = summed_squares(in, grid(op.in), grid(op.out), op.window);
      for (std::size_t p = 0; p < out.size(); ++p) {
        out[p] = std::hypot(weight * std::sqrt(out[p]), bias);
        if (!std::isfinite(out[p])) refuse(op, out[p]);
        const double inverse = out[p] > 0 ? 1 / out[p] : 0;
        target(first + 1)[p] = static_cast<T>(weight * inverse);
        target(first + 2)[p] = static_cast<T>(bias * inverse);
        target(first + 3)[p] = static_cast<T>(op.params[3] * inverse);
      }
      continue;
    }
    const Roots& in2 = op.in2 < 0 ? in : roots[static_cast<std::size_t>(op.in2)];
    const double largest = std::sqrt(variance_limit(op));
    std::vector<double> numbers(static_cast<std::size_t>(column_count(op)));
    Roots next(in.size());
    for (std::size_t p = 0; p < in.size(); ++p) {
      if (in[p] >= largest) refuse(op, in[p]);
      next[p] = step_row(op, {in[p], 0, 1, 1}, {in2[p], 0, 1, 1}, numbers.data()).p;
      if (!std::isfinite(next[p])) refuse(op, next[p]);
      for (std::size_t k = 0; k < numbers.size(); ++k) {
        target(first + k)[p] = static_cast<T>(numbers[k]);
      }
    }
    out = std::move(next);
  }
}

template <class T>
void copy_window(const T* column, const Grid& grid, const MapShape& shape, bool left, Edge edge,
                 bool circular, const std::array<int, 2>& border, T* lanes) {
  const MapAxis &rows = shape.axis[0], &cols = shape.axis[1];
  const int first_y = (left ? rows.left : rows.right) - border[0];
  const int first_x = (left ? cols.left : cols.right) - border[1];
  const int width = static_cast<int>(shape.pitch), height = rows.size + 2 * border[0];
  const bool wraps = circular && edge != Edge::Border;
  // Rows and lanes of positions that are copied; the others lie at either end.
  const auto range = [&](int first, int size, int count, int margin) {
    if (circular)
      return edge == Edge::Border ? std::pair{margin, count - margin} : std::pair{0, count};
    const int from = std::clamp(-first, 0, count);
    return std::pair{from, std::clamp(size - first, from, count)};
  };
  const auto [top, bottom] = range(first_y, grid.height, height, border[0]);
  const auto [from, to] = range(first_x, grid.width, width, border[1]);
  const bool nearest = edge == Edge::Nearest;
  for (int r = 0; r < height; ++r) {
    T* row = lanes + r * shape.pitch;
    if (!nearest && (r < top || r >= bottom)) {
      std::fill_n(row, width, T(0));
      continue;
    }
    const int y =
        circular ? wrapped(first_y + r, grid.height) : std::clamp(first_y + r, 0, grid.height - 1);
    const T* source = column + std::int64_t{y} * grid.width;
    if (circular) {
      for (int x = from; x < to; ++x) row[x] = source[wrapped(first_x + x, grid.width)];
    } else {
      std::copy(source + first_x + from, source + first_x + to, row + from);
    }
    if (wraps) continue;
    std::fill_n(row, from, nearest ? source[0] : T(0));
    std::fill_n(row + to, width - to, nearest ? source[grid.width - 1] : T(0));
  }
  const std::int64_t used = height * shape.pitch;
  std::fill(lanes + used, lanes + shape.lanes, nearest ? lanes[used - 1] : T(0));
}

#define NTKFAST_INSTANTIATE(T)                                                        \
  template class ImageColumns<T>;                                                     \
  template void copy_window(const T*, const Grid&, const MapShape&, bool, Edge, bool, \
                            const std::array<int, 2>&, T*);
NTKFAST_INSTANTIATE(float)
NTKFAST_INSTANTIATE(double)
#undef NTKFAST_INSTANTIATE

}  // namespace ntkfast::spatial
