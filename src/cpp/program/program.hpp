// A network as a list of operations over numbered values, each assigned once.
//
// Engines walk `ops` in order. A value needs storage from the op that writes it to the last op that
// reads it; `slot` gives it a buffer number, and buffers are reused as soon as they are free.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "program/dual_table.hpp"
#include "program/op.hpp"

namespace ntkfast {

// Widths that are no number: not known yet, and that of a sum or product of different widths.
inline constexpr int kAnyWidth = -1, kMixedWidths = 0;

// Height and width of an image of channels; {0, 0}: a value without positions.
struct Grid {
  int height = 0, width = 0;
  bool has_positions() const { return height != 0; }
  std::int64_t count() const { return std::int64_t{height} * width; }
  friend bool operator==(const Grid&, const Grid&) = default;
};

// What the builder knows of a value beyond its numbers.
struct Value {
  bool gaussian;         // mean-zero Gaussian, fresh weights: an activation may follow
  bool signed_rho;       // some pair may have a negative correlation
  bool has_ntk;          // a trainable layer lies before it: T is not identically zero
  std::string produced;  // "Dense (layer 3)", for messages
  bool mean_zero;        // the mean over channels is zero: LayerNorm and a sum may follow
  // The Dense outputs (or the input) of which channel i of this value is a function, channel i of
  // each alone: values without a common source are independent. Sorted.
  std::vector<int> sources;
  int width;          // channels, or one of the two below
  Grid grid = {};     // kAnyWidth on both sides where the size is not known yet
  int pools = 0;      // that leave positions, before it
  int slot = -1;      // buffer of the pairs of this value, shared with what LayerNorm makes of it
  int row_slot = -1;  // buffer of its rows
};

struct Program {
  std::vector<Op> ops;
  std::vector<Value> values;
  int slots = 0;
  int row_slots = 0;
  int outputs = 0;
  std::vector<std::shared_ptr<const DualTable>> tables;  // that ops point into
  int layers = 0;                                        // ops that are not outputs
};

class ProgramBuilder {
 public:
  // The input: K = x.x'/d, T = 0. Called once, first.
  int input(int columns = kAnyWidth);
  // The input is an image: K = x.x'/C of every pair of positions. kAnyWidth: not known yet.
  int image(int height, int width, int channels);
  // z = W_std / sqrt(n_in) W a + b_std b with fresh weights.
  int dense(int value, double weight_std, double bias_std, bool trainable, int width = 1);
  // z = W a + b with entries of standard deviation W_std / sqrt(n_in) and b_std, which are trained
  // themselves: T' = n_in / scale K + [bias] + W_std^2 T.
  int dense_standard(int value, double weight_std, std::optional<double> bias_std, bool trainable,
                     int width, double scale);
  // A convolution of positions with fresh weights, W_std / sqrt(taps n_in) W a + b_std b. `scale`
  // is that of dense_standard(), empty for the NTK parameterization.
  int conv(int value, double weight_std, std::optional<double> bias_std, bool trainable,
           const SpatialWindow& window, int channels, std::optional<double> scale);
  // Sums over windows of positions, or their means: over all of the window, or, with
  // `normalize_edges`, over what of it lies inside of the image.
  int pool(int value, bool mean, const SpatialWindow& window, bool normalize_edges);
  // Positions become channels.
  int flatten(int value);
  // Sum over all positions, or their mean.
  int global_pool(int value, bool mean);
  int activation(int value, std::string_view name, const std::vector<double>& params);
  // phi as a finite series of Hermite polynomials; see hermite_rows.hpp for both arguments.
  int hermite_series(int value, std::string_view name, double variance,
                     const std::vector<double>& coefficients);
  // (z - mean) / sqrt(variance + eps), mean and variance over the channels of each sample.
  int layer_norm(int value, double eps);
  // Keeps each channel of each sample with probability `keep`, divided by it; drops the others.
  int dropout(int value, double keep);
  int fan_in_sum(int value, int other);
  int fan_in_product(int value, int other);
  // Channels of one after those of the other.
  int fan_in_concat(int value, int other);
  // The activation `name`, without closed form, over the range of rows of its table.
  int table(int value, std::shared_ptr<const DualTable> table, std::string_view name);
  void output(int value);
  // An output that may still have positions, of a program that is not run but asked for its roots.
  void probe(int value);
  // Checks what only the whole can show, assigns slots. The builder is spent afterwards.
  Program build();

 private:
  int add(Op op, Value value);
  const Value& at(int value) const;
  std::string label(std::string_view name) const;
  void require_gaussian(const std::string& name, const Value& in) const;
  void require_positions(const std::string& name, const Value& in, bool wanted) const;
  void require_one_grid(const std::string& name, const Value& a, const Value& b) const;
  void require_independent(const std::string& name, const Value& a, const Value& b) const;
  Program program_;
};

// Names of all activations, in the order of the list.
std::vector<std::string> activation_names();

}  // namespace ntkfast
