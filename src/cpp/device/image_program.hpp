// Networks over images as plain data for a device: which maps each layer reads and writes, and
// where the numbers of one image lie. Made from the plan of the CPU engine.
//
// A map holds all pairs (p, p + offset) of positions of two images, without a border here: what
// lies outside of both images is found out where it is read.
#pragma once

#include <cstdint>
#include <vector>

#include "device/flat_program.hpp"
#include "math/conv_map.hpp"
#include "spatial/map_runner.hpp"
#include "spatial/spatial_plan.hpp"

namespace ntkfast::device {

// Readouts of one network, at most: a thread keeps their sums.
inline constexpr int kMaxReadouts = 8;

// Positions of a value, and how many of them one position of an offset stands for.
struct ImageValue {
  int size[2], step[2];
};

template <class T>
struct ImageOp {
  FlatOp op;    // columns count from `column`
  int in, out;  // values; of a readout, `out` is its number
  // Where its first column begins in the numbers of an image, and how far the next one is. Of a
  // convolution: the roots of its input (cpu::ConvMap), the inverse of those of its output, and one
  // number, its bias.
  std::int64_t column, column_step, inverse, bias;
  int taps[2], stride[2], before[2];
  T own_ratio, own_bias;  // as in cpu::ConvMap
  bool input_tau;
  double weight;  // of the sum of a readout
};

// copies: how many maps of an image with itself this one stands for (SpatialPlan::copies).
struct ImageOffset {
  int shift[2];
  int copies;
};

// All pointers in one address space.
template <class T>
struct ImageView {
  const ImageOp<T>* ops;
  int op_count;
  const ImageValue* values;
  const T* constants;
  const ImageOffset* offsets;
  int offset_count;
  int channels, border[2];
  std::int64_t channel_step;  // from channel to channel of the pixels
  int input_slot, slots, readouts;
  bool circular;
  std::int64_t image_numbers;  // of one image
  std::int64_t map_numbers;    // of one array of the largest map
};

template <class T>
struct ImageProgram {
  std::vector<ImageOp<T>> ops;
  std::vector<ImageValue> values;
  std::vector<T> constants;
  std::vector<ImageOffset> offsets;
  ImageView<T> sizes{};  // without pointers

  ImageView<T> view() const;
};

// Throws ArchitectureError for more than kMaxReadouts readouts, and for layers that no device
// knows.
template <class T>
ImageProgram<T> flatten_images(const spatial::SpatialPlan& plan,
                               const spatial::StoredLayout& stored, bool ntk);

}  // namespace ntkfast::device
