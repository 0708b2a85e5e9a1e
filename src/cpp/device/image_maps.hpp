// All layers of a network on maps of one pair of images, for any network: a group of threads takes
// one offset after the other, the maps in memory of its own. The body of a CUDA kernel, which tests
// run on the CPU as it stands, with one thread or with many.
//
// Formulas are those of the CPU engine, and so are the numbers of an image. A thread takes one
// position at a time and reads what both images have there where it lies: nothing is copied, and
// maps have no border. Per entry and layer a 3 x 3 convolution reads 9 x (2 roots + 2 numbers of
// the map), with some 20 integer operations each for where they lie: several times the 42 issue
// slots that a kernel with maps in registers would take (sums along columns in registers, along
// rows by shuffles), which is not written.
#pragma once

#include <cstdint>

#include "device/device_code.hpp"
#include "device/image_program.hpp"
#include "device/interpreter.hpp"

namespace ntkfast::device {

// What a readout has summed up.
struct ImageSums {
  double nngp, ntk;
};

// Group: thread(), size() (a power of two), sync().
template <class T, class Group>
class ImageMaps {
 public:
  // left, right: the numbers of both images. maps: 2 slots map_numbers numbers, scratch: one per
  // thread, both shared by the group. `same`: one image with itself.
  NTKFAST_DEVICE ImageMaps(const ImageView<T>& program, const T* left, const T* right, bool same,
                           Group& group, T* maps, double* scratch)
      : program_(program),
        left_(left),
        right_(right),
        same_(same),
        group_(group),
        maps_(maps),
        scratch_(scratch) {}

  // What the offsets [begin, end) contribute to every readout.
  NTKFAST_DEVICE void run(int begin, int end, ImageSums* sums) {
    ImageSums own[kMaxReadouts] = {};
    for (int k = begin; k < end; ++k) {
      const ImageOffset& offset = program_.offsets[k];
      const int copies = same_ ? offset.copies : 1;
      if (copies > 0) add_offset(offset, copies, own);
    }
    for (int k = 0; k < program_.readouts; ++k) {
      const double nngp = total(own[k].nngp), ntk = total(own[k].ntk);
      if (group_.thread() == 0) sums[k] = {nngp, ntk};
    }
  }

 private:
  // The part of a value in which both images overlap at one offset.
  struct Window {
    int left[2], right[2], size[2];
    int grid[2];
  };
  // A position of both images.
  struct Place {
    int left[2], right[2];
  };

  static NTKFAST_HD int wrapped(int position, int size) {
    const int rest = position % size;
    return rest < 0 ? rest + size : rest;
  }

  NTKFAST_DEVICE Window window(int value, const ImageOffset& offset) const {
    const ImageValue& shape = program_.values[value];
    Window window{};
    for (int axis = 0; axis < 2; ++axis) {
      const int n = shape.size[axis], shift = shape.step[axis] * offset.shift[axis];
      window.grid[axis] = n;
      if (program_.circular) {
        window.right[axis] = shift;
        window.size[axis] = n;
      } else {
        window.left[axis] = shift < 0 ? -shift : 0;
        window.right[axis] = window.left[axis] + shift;
        window.size[axis] = shift < 0 ? n + shift : n - shift;
      }
    }
    return window;
  }

  NTKFAST_DEVICE Place place(const Window& window, int lane) const {
    const int at[2] = {lane / window.size[1], lane % window.size[1]};
    Place place{};
    for (int axis = 0; axis < 2; ++axis) {
      place.left[axis] = window.left[axis] + at[axis];
      place.right[axis] = window.right[axis] + at[axis];
      if (program_.circular) place.right[axis] = wrapped(place.right[axis], window.grid[axis]);
    }
    return place;
  }

  // Columns are stored with the border of the plan around them.
  NTKFAST_DEVICE std::int64_t pitch(const Window& window) const {
    return window.grid[1] + 2 * program_.border[1];
  }
  NTKFAST_DEVICE std::int64_t in_column(const Window& window, const int* position) const {
    return (position[0] + program_.border[0]) * pitch(window) + position[1] + program_.border[1];
  }

  NTKFAST_DEVICE T* deficits(int slot) const { return maps_ + 2 * slot * program_.map_numbers; }
  NTKFAST_DEVICE T* tangents(int slot) const { return deficits(slot) + program_.map_numbers; }

  // Every position of a window, shared among the threads.
  template <class Visit>
  NTKFAST_DEVICE void for_positions(const Window& window, const Visit& visit) const {
    const int lanes = window.size[0] * window.size[1];
    for (int lane = group_.thread(); lane < lanes; lane += group_.size()) {
      visit(lane, place(window, lane));
    }
  }

  NTKFAST_DEVICE void add_offset(const ImageOffset& offset, int copies, ImageSums* own) const {
    const bool zero = offset.shift[0] == 0 && offset.shift[1] == 0;
    group_.sync();  // the maps of the offset before have been read
    read_pixels(window(0, offset));
    for (int k = 0; k < program_.op_count; ++k) {
      const ImageOp<T>& op = program_.ops[k];
      const Window in = window(op.in, offset);
      group_.sync();
      switch (op.op.kind) {
        case OpKind::Conv:
          convolve(op, in, window(op.out, offset));
          break;
        case OpKind::Flatten:
          if (zero) read_out(op, in, copies, own[op.out]);
          break;
        case OpKind::GlobalPool:
          read_out(op, in, copies, own[op.out]);
          break;
        default:
          apply(op, in, same_ && zero);
      }
    }
  }

  NTKFAST_DEVICE void read_pixels(const Window& window) const {
    const std::int64_t step = program_.channel_step;
    T* const s = deficits(program_.input_slot);
    T* const tau = tangents(program_.input_slot);
    for_positions(window, [&](int lane, const Place& here) {
      const T* u = left_ + in_column(window, here.left);
      const T* v = right_ + in_column(window, here.right);
      T near = 0, far = 0;
      for (int c = 0; c < program_.channels; ++c) {
        const T minus = u[c * step] - v[c * step], plus = u[c * step] + v[c * step];
        near += minus * minus;
        far += plus * plus;
      }
      s[lane] = distance_deficit(near, far);
      tau[lane] = T(0);
    });
  }

  NTKFAST_DEVICE void convolve(const ImageOp<T>& op, const Window& in, const Window& out) const {
    if (op.op.signed1) {
      op.input_tau ? convolve_as<true, true>(op, in, out) : convolve_as<true, false>(op, in, out);
    } else {
      op.input_tau ? convolve_as<false, true>(op, in, out) : convolve_as<false, false>(op, in, out);
    }
  }

  template <bool kSigned, bool kTau>
  NTKFAST_DEVICE void convolve_as(const ImageOp<T>& op, const Window& in, const Window& out) const {
    const T* const s = deficits(op.op.in);
    const T* const tau = tangents(op.op.in);
    T* const s_out = deficits(op.op.out);
    T* const tau_out = tangents(op.op.out);
    const T* const left = left_ + op.column;
    const T* const right = right_ + op.column;
    const T bias_left = left_[op.bias], bias_right = right_[op.bias], bias = bias_left * bias_right;
    for_positions(out, [&](int lane, const Place& here) {
      const T inverse_left = left_[op.inverse + in_column(out, here.left)];
      const T inverse_right = right_[op.inverse + in_column(out, here.right)];
      const T inverse = inverse_left * inverse_right;
      T K = 0, T_sum = 0;
      for_taps(op, in, here, [&](const Place& from, int at) {
        // Beyond the window one of the images has ended: its root is zero there.
        if (at < 0) return;
        const T scale = left[in_column(in, from.left)] * right[in_column(in, from.right)];
        K += scale * correlation<T, kSigned>(s[at]);
        if constexpr (kTau) T_sum += scale * tau[at];
      });
      T next = summed_deficit<T, kSigned>(inverse * (K + bias));
      if ((kSigned ? std::fabs(next) : next) < kSmallDeficit<T>) {
        TapSums<T> sums{};
        for_taps(op, in, here, [&](const Place& from, int at) {
          add_tap<T, kSigned>(left[in_column(in, from.left)] * inverse_left,
                              right[in_column(in, from.right)] * inverse_right,
                              at < 0 ? T(1) : s[at], sums);
        });
        next =
            exact_deficit<T, kSigned>(bias_left * inverse_left, bias_right * inverse_right, sums);
      }
      s_out[lane] = next;
      tau_out[lane] = inverse * (T_sum + (op.own_ratio * K + op.own_bias * bias));
    });
  }

  // visit(place, lane of the input's map), the lane being -1 outside of it.
  template <class Visit>
  NTKFAST_DEVICE void for_taps(const ImageOp<T>& op, const Window& in, const Place& here,
                               const Visit& visit) const {
    for (int y = 0; y < op.taps[0]; ++y) {
      for (int x = 0; x < op.taps[1]; ++x) {
        const int tap[2] = {y, x};
        Place from{};
        int row[2];
        bool inside = true;
        for (int axis = 0; axis < 2; ++axis) {
          const int shift = tap[axis] - op.before[axis];
          from.left[axis] = op.stride[axis] * here.left[axis] + shift;
          from.right[axis] = op.stride[axis] * here.right[axis] + shift;
          if (program_.circular) {
            from.left[axis] = wrapped(from.left[axis], in.grid[axis]);
            from.right[axis] = wrapped(from.right[axis], in.grid[axis]);
          }
          row[axis] = from.left[axis] - in.left[axis];
          inside = inside && row[axis] >= 0 && row[axis] < in.size[axis];
        }
        visit(from, inside ? row[0] * in.size[1] + row[1] : -1);
      }
    }
  }

  // Layers that know rows alone: every position is one.
  NTKFAST_DEVICE void apply(const ImageOp<T>& op, const Window& window, bool same_place) const {
    const FlatView<T> rows{nullptr,
                           0,
                           program_.constants,
                           nullptr,
                           left_ + op.column,
                           right_ + op.column,
                           op.column_step,
                           op.column_step,
                           0,
                           Chain::None};
    const bool keep = op.op.kind == OpKind::Dropout && same_place;  // the same units
    for_positions(window, [&](int lane, const Place& here) {
      const auto state = [&](int slot) {
        return PairState<T>{deficits(slot)[lane], tangents(slot)[lane]};
      };
      const PairRows<T> pair{rows, in_column(window, here.left), in_column(window, here.right)};
      const PairState<T> first = state(op.op.in);
      PairState<T> next = first;
      if (op.op.kind == OpKind::Sum) {
        next = sum_pair(op.op, pair, first, state(op.op.in2));
      } else if (op.op.kind == OpKind::Product) {
        next = product_pair(op.op, first, state(op.op.in2));
      } else if (!keep) {
        next = step_pair(op.op, pair, first, static_cast<const PairState<T>*>(nullptr));
      }
      deficits(op.op.out)[lane] = next.s;
      tangents(op.op.out)[lane] = next.tau;
    });
  }

  NTKFAST_DEVICE void read_out(const ImageOp<T>& op, const Window& window, int copies,
                               ImageSums& sums) const {
    const T* const s = deficits(op.op.in);
    const T* const tau = tangents(op.op.in);
    const double weight = copies * op.weight;
    for_positions(window, [&](int lane, const Place& here) {
      const T scale = left_[op.column + in_column(window, here.left)] *
                      right_[op.column + in_column(window, here.right)];
      sums.nngp += weight * static_cast<double>(scale * correlation_of(op.op.signed1, s[lane]));
      if (op.op.tau != TauMode::None) sums.ntk += weight * static_cast<double>(scale * tau[lane]);
    });
  }

  // Over all threads, in an order that does not depend on anything.
  NTKFAST_DEVICE double total(double own) const {
    scratch_[group_.thread()] = own;
    for (int half = group_.size() / 2; half > 0; half /= 2) {
      group_.sync();
      if (group_.thread() < half) {
        scratch_[group_.thread()] += scratch_[group_.thread() + half];
      }
    }
    group_.sync();
    const double sum = scratch_[0];
    group_.sync();  // before it is overwritten
    return sum;
  }

  const ImageView<T>& program_;
  const T *left_, *right_;
  bool same_;
  Group& group_;
  T* maps_;
  double* scratch_;
};

}  // namespace ntkfast::device
