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

// Sum over the taps of every output position: along the height, then along the width.
Roots window_sums(const Roots& in, const Grid& from, const SpatialWindow& window) {
  const WindowAxis rows(window, 0, from.height), cols(window, 1, from.width);
  const std::array<int, 2> border{std::max(rows.before, rows.after()),
                                  std::max(cols.before, cols.after())};
  const Frame frame(from, border);
  Roots framed(static_cast<std::size_t>(frame.count()));
  write_framed(in, frame, Edge::Zero, window.padding == Padding::Circular, framed.data());
  const auto pitch = static_cast<std::size_t>(frame.pitch());
  Roots column(pitch), sum(static_cast<std::size_t>(rows.out) * static_cast<std::size_t>(cols.out));
  for (int y = 0; y < rows.out; ++y) {
    std::fill(column.begin(), column.end(), 0.0);
    for (int t = 0; t < rows.size; ++t) {
      const int r = rows.stride * y - rows.before + t + frame.border_y;
      const double* row = framed.data() + static_cast<std::size_t>(r) * pitch;
      for (std::size_t x = 0; x < pitch; ++x) column[x] += row[x];
    }
    double* out = sum.data() + std::int64_t{y} * cols.out;
    for (int t = 0; t < cols.size; ++t) {
      const double* tap = column.data() + frame.border_x - cols.before + t;
      for (int x = 0; x < cols.out; ++x) out[x] += tap[x * cols.stride];
    }
  }
  return sum;
}

std::size_t at(int value) { return static_cast<std::size_t>(value); }

// One walk through the program for one image: the roots of every value, and on the way the columns.
template <class T>
class ColumnWriter {
 public:
  ColumnWriter(const SpatialPlan& plan, const std::vector<std::int64_t>& first, T* data,
               double* entries, std::int64_t number, const char* argument)
      : plan_(plan),
        program_(plan.program()),
        first_(first),
        data_(data),
        entries_(entries),
        number_(number),
        argument_(argument),
        roots_(program_.values.size()) {}

  const Roots& roots(int value) const { return roots_[at(value)]; }

  // All columns of one stage, from pixels or from the roots behind the pools before it.
  void run(std::size_t stage, const T* image) {
    if (stage == 0) read_pixels(image);
    for (std::size_t index = 0; index < program_.ops.size(); ++index) {
      const Op& op = program_.ops[index];
      if (op.kind == OpKind::Output || !plan_.on_maps(op) || plan_.stage_of(op.in) != stage) {
        continue;
      }
      if (is_readout(op) || op.kind == OpKind::Pool) {
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

  // From what a pool has added up of the image with itself at coarse offset 0: p p' (1 - rho).
  void pool(std::size_t number, const cpu::PoolKernels<T>& kernels, const double* deficit) {
    const Op& op = plan_.pool(number);
    const std::int64_t count = grid(op.out).count();
    double* inverse = entries_ + plan_.pools()[number].entry;
    double *total = inverse + count, *half = total + count;
    Roots in = roots_[at(op.in)], ones(in.size(), 1.0);
    for (double& p : in) p = static_cast<double>(static_cast<T>(p));  // as maps read it
    const Roots sum = window_sums(in, grid(op.in), op.window),
                inside = window_sums(ones, grid(op.in), op.window);
    Roots& out = roots_[at(op.out)];
    out.resize(at(static_cast<int>(count)));
    for (std::size_t p = 0; p < out.size(); ++p) {
      const double weight = op.params[1] != 0 ? 1 / inside[p] : op.params[0];
      const double variance = sum[p] * sum[p] - deficit[p];
      out[p] = variance > 0 ? weight * std::sqrt(variance) : 0;
      if (!std::isfinite(out[p])) refuse(op, out[p]);
      inverse[p] = out[p] > 0 ? weight / out[p] : 0;
      total[p] = inverse[p] * sum[p];
    }
    std::copy_n(deficit, count, half);
    kernels.scale(inverse, inverse, count, half);
    for (std::int64_t p = 0; p < count; ++p) half[p] *= 0.5;
  }

 private:
  Grid grid(int value) const { return program_.values[at(value)].grid; }

  void write(std::size_t k, const Roots& values) {
    const ColumnPlan& column = plan_.columns()[k];
    const Stage& stage = plan_.stage(column.value);
    write_framed(values, Frame(grid(column.value), stage.border), column.edge, stage.circular,
                 data_ + first_[k]);
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
    write(first, in);
    const double taps = 1.0 * op.window.size[0] * op.window.size[1];
    const double weight = op.params[0] / std::sqrt(taps), bias = op.params[1];
    Roots square(in.size());
    std::transform(in.begin(), in.end(), square.begin(), [](double p) { return p * p; });
    out = window_sums(square, grid(op.in), op.window);
    Roots inverse(out.size());
    for (std::size_t p = 0; p < out.size(); ++p) {
      out[p] = std::sqrt(weight * weight * out[p] + bias * bias);
      if (!std::isfinite(out[p])) refuse(op, out[p]);
      // A root too small to be inverted in T is zero for all purposes, as its image is.
      inverse[p] =
          1 / out[p] <= static_cast<double>(std::numeric_limits<T>::max()) ? 1 / out[p] : 0;
    }
    write(first + 1, inverse);
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
  const std::vector<std::int64_t>& first_;
  T* data_;
  double* entries_;
  std::int64_t number_;
  const char* argument_;
  std::vector<Roots> roots_;
};

}  // namespace

template <class T>
ImageColumns<T>::ImageColumns(const SpatialPlan& plan, const Sweep& own, MapRunner<T>& runner,
                              const T* image, std::int64_t number, const char* argument,
                              const WantedRoots& wanted) {
  std::int64_t size = 0;
  for (const ColumnPlan& column : plan.columns()) {
    const Grid& grid = plan.program().values[at(column.value)].grid;
    first_.push_back(size);
    size += Frame(grid, plan.stage(column.value).border).count();
  }
  data_.resize(static_cast<std::size_t>(size + cpu::kCopySlack));
  entries_.resize(static_cast<std::size_t>(plan.entry_size()));
  ColumnWriter<T> writer(plan, first_, data_.data(), entries_.data(), number, argument);
  std::vector<double> in, out;
  cpu::AlignedArray<T> left, right;
  if (!plan.pools().empty()) {
    const auto lanes = static_cast<std::size_t>(largest_layout(plan) + cpu::kCopySlack);
    left = cpu::aligned_array<T>(lanes);
    right = cpu::aligned_array<T>(lanes);
  }
  const cpu::MapKernels<T>& kernels = runner.kernels();
  for (std::size_t stage = 0; stage < plan.stages().size(); ++stage) {
    writer.run(stage, image);
    if (plan.stages()[stage].pools.empty()) continue;
    out.assign(static_cast<std::size_t>(own.numbers(stage)), 0.0);
    for (const Sweep::Point& point : own.offsets(stage)) {
      const OffsetLayout layout(plan, stage, point);
      copy_windows(plan, kernels, layout, true, left.get());
      copy_windows(plan, kernels, layout, false, right.get());
      runner.run(own, layout, {left.get(), entries()}, {right.get(), entries()}, true,
                 {in.data(), out.data(), nullptr});
    }
    for (const std::size_t pool : plan.stages()[stage].pools) {
      writer.pool(pool, *kernels.pools, out.data() + own.equal_positions(pool));
    }
    in.swap(out);
  }
  if (wanted.roots != nullptr) *wanted.roots = writer.roots(wanted.value);
}

template <class T>
std::int64_t ImageColumns<T>::bytes(const SpatialPlan& plan) {
  std::int64_t size = cpu::kCopySlack;
  for (const ColumnPlan& column : plan.columns()) {
    const Grid& grid = plan.program().values[static_cast<std::size_t>(column.value)].grid;
    size += Frame(grid, plan.stage(column.value).border).count();
  }
  return size * static_cast<std::int64_t>(sizeof(T)) +
         plan.entry_size() * static_cast<std::int64_t>(sizeof(double));
}

template <class T>
void ImageColumns<T>::copy_windows(const SpatialPlan& plan, const cpu::MapKernels<T>& kernels,
                                   const OffsetLayout& layout, bool left, T* lanes) const {
  for (const std::size_t k : plan.stages()[layout.stage].columns) {
    const MapShape& shape = layout.shape[at(plan.columns()[k].value)];
    if (shape.lanes != 0) copy_window(plan, kernels, k, shape, left, lanes + layout.column[k]);
  }
}

template <class T>
void ImageColumns<T>::copy_window(const SpatialPlan& plan, const cpu::MapKernels<T>& kernels,
                                  std::size_t k, const MapShape& shape, bool left, T* lanes) const {
  const ColumnPlan& column = plan.columns()[k];
  const T* first = data_.data() + first_[k];
  if (plan.stage(column.value).circular)
    return copy_circular(plan, column, first, shape, left, lanes);
  const Frame frame(plan.program().values[static_cast<std::size_t>(column.value)].grid,
                    plan.stage(column.value).border);
  const MapAxis &rows = shape.axis[0], &cols = shape.axis[1];
  // Position p lies behind the border, where the window starts a border before it.
  const std::int64_t y = left ? rows.left : rows.right, x = left ? cols.left : cols.right;
  const int height = rows.size + 2 * frame.border_y;
  kernels.copy_block(first + y * frame.pitch() + x, frame.pitch(), height,
                     static_cast<int>(shape.pitch), lanes);
  const std::int64_t used = height * shape.pitch;
  std::fill(lanes + used, lanes + shape.lanes,
            column.edge == Edge::Nearest ? lanes[used - 1] : T(0));
}

// The right window may begin anywhere and goes around.
template <class T>
void ImageColumns<T>::copy_circular(const SpatialPlan& plan, const ColumnPlan& column,
                                    const T* first, const MapShape& shape, bool left,
                                    T* lanes) const {
  const Frame frame(plan.program().values[static_cast<std::size_t>(column.value)].grid,
                    plan.stage(column.value).border);
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
  const std::int64_t used = height * shape.pitch;
  std::fill(lanes + used, lanes + shape.lanes,
            column.edge == Edge::Nearest ? lanes[used - 1] : T(0));
}

template class ImageColumns<float>;
template class ImageColumns<double>;

}  // namespace ntkfast::spatial
