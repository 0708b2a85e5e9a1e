#include "spatial/image_columns.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <utility>

#include "error.hpp"
#include "program/row_steps.hpp"
#include "program/spatial_window.hpp"

namespace ntkfast::spatial {
namespace {

// Patches this much darker than the brightest of their image are black for all purposes: their
// products with others would leave the range of T.
template <class T>
constexpr double kLargestInverse = std::is_same_v<T, float> ? 0x1p50 : 0x1p400;

using Roots = std::vector<double>;  // sqrt(K(p, p)) of every position

int wrapped(int position, int size) { return (position % size + size) % size; }

// An array of positions with a border around it.
struct Frame {
  int height, width, border_y, border_x;

  Frame(const Grid& grid, const std::array<int, 2>& border)
      : height(grid.height), width(grid.width), border_y(border[0]), border_x(border[1]) {}
  std::int64_t pitch() const { return width + 2 * border_x; }
  std::int64_t rows() const { return height + 2 * border_y; }
  std::int64_t count() const { return rows() * pitch(); }
};

// values, and around them zeros, the opposite side, or what is nearest.
template <class Out>
void write_framed(const Roots& values, const Frame& frame, Edge edge, bool circular, Out* out) {
  const bool zero = edge == Edge::Border || (edge == Edge::Zero && !circular);
  const auto source = [&](int position, int size) {
    if (zero && (position < 0 || position >= size)) return -1;
    return circular ? wrapped(position, size) : std::clamp(position, 0, size - 1);
  };
  for (int r = 0; r < frame.rows(); ++r) {
    const int y = source(r - frame.border_y, frame.height);
    Out* row = out + r * frame.pitch();
    if (y < 0) {
      std::fill_n(row, frame.pitch(), Out(0));
      continue;
    }
    const double* from = values.data() + std::int64_t{y} * frame.width;
    for (int x = 0; x < frame.border_x; ++x) {
      const int left = source(x - frame.border_x, frame.width);
      const int right = source(frame.width + x, frame.width);
      row[x] = left < 0 ? Out(0) : static_cast<Out>(from[left]);
      row[frame.border_x + frame.width + x] = right < 0 ? Out(0) : static_cast<Out>(from[right]);
    }
    std::transform(from, from + frame.width, row + frame.border_x,
                   [](double value) { return static_cast<Out>(value); });
  }
}

// Sum of q over the taps of every output position: along the height, then along the width.
Roots summed_squares(const Roots& in, const Grid& from, const Grid& to, const SpatialWindow& window,
                     const SpatialPlan& plan) {
  const Frame frame(from, plan.border());
  const WindowAxis rows(window, 0, from.height), cols(window, 1, from.width);
  Roots square(in.size()), framed(static_cast<std::size_t>(frame.count()));
  std::transform(in.begin(), in.end(), square.begin(), [](double p) { return p * p; });
  write_framed(square, frame, Edge::Zero, plan.circular(), framed.data());
  const auto pitch = static_cast<std::size_t>(frame.pitch());
  Roots column(pitch), sum(static_cast<std::size_t>(to.count()));
  for (int y = 0; y < to.height; ++y) {
    std::fill(column.begin(), column.end(), 0.0);
    for (int t = 0; t < rows.size; ++t) {
      const int r = rows.stride * y - rows.before + t + frame.border_y;
      const double* row = framed.data() + static_cast<std::size_t>(r) * pitch;
      for (std::size_t x = 0; x < pitch; ++x) column[x] += row[x];
    }
    double* out = sum.data() + std::int64_t{y} * to.width;
    for (int t = 0; t < cols.size; ++t) {
      const double* tap = column.data() + frame.border_x - cols.before + t;
      for (int x = 0; x < to.width; ++x) out[x] += tap[x * cols.stride];
    }
  }
  return sum;
}

std::size_t at(int value) { return static_cast<std::size_t>(value); }

// What vectors may read behind the `used` numbers of a column.
template <class T>
void fill_rest(Edge edge, std::int64_t used, std::int64_t size, T* column) {
  std::fill(column + used, column + size, edge == Edge::Nearest ? column[used - 1] : T(0));
}

// One walk through the program for one image: the roots of every value, and on the way the columns.
template <class T>
class ColumnWriter {
 public:
  ColumnWriter(const SpatialPlan& plan, const OffsetLayout& layout, T* data, std::int64_t number,
               const char* argument)
      : plan_(plan),
        program_(plan.program()),
        layout_(layout),
        data_(data),
        number_(number),
        argument_(argument),
        roots_(program_.values.size()) {}

  void run(const T* image) {
    read_pixels(image);
    for (std::size_t index = 0; index < program_.ops.size(); ++index) {
      const Op& op = program_.ops[index];
      if (op.kind == OpKind::Output || !plan_.on_maps(op)) continue;
      if (is_readout(op)) {
        write(plan_.first_column(index), roots_[at(op.in)]);
      } else if (op.kind == OpKind::Conv) {
        convolve(op, plan_.first_column(index));
      } else if (is_homogeneous(op)) {
        const double factor = step_row(op, {1, 0, 1, 1}, {1, 0, 1, 1}, nullptr).p;
        roots_[at(op.out)] = scaled(roots_[at(op.in)], factor);
      } else {
        step_positions(op, plan_.first_column(index));
      }
    }
  }

 private:
  Grid grid(int value) const { return program_.values[at(value)].grid; }

  void write(std::size_t k, const Roots& values) {
    const ColumnPlan& column = plan_.columns()[k];
    const Frame frame(grid(column.value), plan_.border());
    T* out = data_ + layout_.column[k];
    write_framed(values, frame, column.edge, plan_.circular(), out);
    fill_rest(column.edge, frame.count(), layout_.stride[at(column.value)], out);
  }

  static Roots scaled(const Roots& values, double factor) {
    Roots result(values.size());
    std::transform(values.begin(), values.end(), result.begin(),
                   [=](double value) { return factor * value; });
    return result;
  }

  // Unit vectors of the channels; a black pixel has none, and its root is zero.
  void read_pixels(const T* image) {
    const auto channels = at(program_.values[0].width);
    const auto pixels = static_cast<std::size_t>(grid(0).count());
    Roots factor(pixels), channel(pixels);
    roots_[0].resize(pixels);
    const auto pixel = [&](std::size_t p, std::size_t c) {
      return static_cast<double>(image[p * channels + c]);
    };
    for (std::size_t p = 0; p < pixels; ++p) {
      double square = 0;
      for (std::size_t c = 0; c < channels; ++c) square += pixel(p, c) * pixel(p, c);
      const double norm = std::sqrt(square);
      factor[p] = norm > 0 ? 1 / norm : 0;
      roots_[0][p] = norm / std::sqrt(static_cast<double>(channels));
    }
    for (std::size_t c = 0; c < channels; ++c) {
      for (std::size_t p = 0; p < pixels; ++p) channel[p] = pixel(p, c) * factor[p];
      write(c, channel);
    }
  }

  void convolve(const Op& op, std::size_t first) {
    const Roots& in = roots_[at(op.in)];
    Roots& out = roots_[at(op.out)];
    const double taps = 1.0 * op.window.size[0] * op.window.size[1];
    const double weight = op.params[0] / std::sqrt(taps), bias = op.params[1];
    out = summed_squares(in, grid(op.in), grid(op.out), op.window, plan_);
    double largest = 0;
    for (double& p : out) {
      p = std::sqrt(weight * weight * p + bias * bias);
      if (!std::isfinite(p)) refuse(op, p);
      largest = std::max(largest, p);
    }
    // Roots that no tap reads count as well.
    for (const double p : in) largest = std::max(largest, weight * p);
    const double unit = largest > 0 ? std::scalbn(1.0, std::ilogb(largest)) : 1;
    write(first, scaled(in, weight / unit));
    Roots inverse(out.size());
    for (std::size_t p = 0; p < out.size(); ++p) {
      inverse[p] = unit / out[p] <= kLargestInverse<T> ? unit / out[p] : 0;
    }
    write(first + 1, inverse);
    data_[layout_.column[first + 2]] = static_cast<T>(bias / unit);
  }

  // Layers that know rows alone: every position is one.
  void step_positions(const Op& op, std::size_t first) {
    const Roots &in = roots_[at(op.in)], &in2 = op.in2 < 0 ? in : roots_[at(op.in2)];
    const double largest = std::sqrt(variance_limit(op));
    Roots numbers(at(column_count(op))), next(in.size());
    std::vector<Roots> columns(numbers.size(), Roots(in.size()));
    for (std::size_t p = 0; p < in.size(); ++p) {
      if (in[p] >= largest) refuse(op, in[p]);
      next[p] = step_row(op, {in[p], 0, 1, 1}, {in2[p], 0, 1, 1}, numbers.data()).p;
      if (!std::isfinite(next[p])) refuse(op, next[p]);
      for (std::size_t k = 0; k < numbers.size(); ++k) columns[k][p] = numbers[k];
    }
    for (std::size_t k = 0; k < columns.size(); ++k) write(first + k, columns[k]);
    roots_[at(op.out)] = std::move(next);
  }

  [[noreturn]] void refuse(const Op& op, double p) const {
    char text[64];
    std::snprintf(text, sizeof text, "K(x, x) = %.3g^2", p);
    throw KernelOverflow("image " + std::to_string(number_) + " of " + argument_ + " has " + text +
                         " at " + program_.values[at(op.out)].produced +
                         ", which is too large: scale the inputs or W_std down");
  }

  const SpatialPlan& plan_;
  const Program& program_;
  const OffsetLayout& layout_;
  T* data_;
  std::int64_t number_;
  const char* argument_;
  std::vector<Roots> roots_;
};

}  // namespace

template <class T>
ImageColumns<T>::ImageColumns(const SpatialPlan& plan, const OffsetLayout& equal_positions,
                              const T* image, std::int64_t number, const char* argument)
    : first_(equal_positions.column),
      data_(
          cpu::aligned_array<T>(static_cast<std::size_t>(equal_positions.size + cpu::kCopySlack))) {
  ColumnWriter<T>(plan, equal_positions, data_.get(), number, argument).run(image);
}

template <class T>
std::int64_t ImageColumns<T>::bytes(const SpatialPlan& plan) {
  return (OffsetLayout(plan, {0, 0}).size + cpu::kCopySlack) * static_cast<std::int64_t>(sizeof(T));
}

template <class T>
void ImageColumns<T>::copy_window(const SpatialPlan& plan, const cpu::MapKernels<T>& kernels,
                                  std::size_t k, const OffsetLayout& layout, bool left,
                                  T* lanes) const {
  const ColumnPlan& column = plan.columns()[k];
  const T* first = data_.get() + first_[k];
  if (column.value == kOneNumber) {
    *lanes = *first;
    return;
  }
  const MapShape& shape = layout.shape[at(column.value)];
  if (plan.circular()) return copy_circular(plan, column, first, shape, left, lanes);
  const Frame frame(plan.program().values[at(column.value)].grid, plan.border());
  // Position p lies behind the border, where the window starts a border before it.
  const MapAxis& cols = shape.axis[1];
  kernels.copy_block(first + (left ? cols.left : cols.right), frame.pitch(),
                     static_cast<int>(frame.rows()), static_cast<int>(shape.pitch), lanes);
  fill_rest(column.edge, frame.rows() * shape.pitch, layout.stride[at(column.value)], lanes);
}

// The right window may begin anywhere and goes around.
template <class T>
void ImageColumns<T>::copy_circular(const SpatialPlan& plan, const ColumnPlan& column,
                                    const T* first, const MapShape& shape, bool left,
                                    T* lanes) const {
  const Frame frame(plan.program().values[at(column.value)].grid, plan.border());
  const MapAxis &rows = shape.axis[0], &cols = shape.axis[1];
  const int height = rows.size + 2 * frame.border_y, width = cols.size + 2 * frame.border_x;
  const T* inside = first + frame.border_y * frame.pitch() + frame.border_x;
  for (int r = 0; r < height; ++r) {
    const int y = wrapped((left ? rows.left : rows.right) + r - frame.border_y, frame.height);
    const bool zero_row = r < frame.border_y || r >= frame.border_y + rows.size;
    for (int c = 0; c < width; ++c) {
      const int x = wrapped((left ? cols.left : cols.right) + c - frame.border_x, frame.width);
      const bool zero = zero_row || c < frame.border_x || c >= frame.border_x + cols.size;
      lanes[r * shape.pitch + c] =
          zero && column.edge == Edge::Border ? T(0) : inside[y * frame.pitch() + x];
    }
  }
  fill_rest(column.edge, height * shape.pitch, shape.lanes, lanes);
}

template class ImageColumns<float>;
template class ImageColumns<double>;

}  // namespace ntkfast::spatial
