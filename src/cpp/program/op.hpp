// One operation of a program: plain data, the same for every engine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "math/activation_list.hpp"

namespace ntkfast {

class DualTable;

enum class Activation : std::uint8_t {
#define NTKFAST_ENUM(name, dual, params) name,
  NTKFAST_ACTIVATIONS(NTKFAST_ENUM)
#undef NTKFAST_ENUM
};

enum class OpKind : std::uint8_t {
  Dense,          // params: |W_std|, b_std; its own part of T, if trainable, is K
  StandardDense,  // params: |W_std|, b_std, g, e; trainable, its own part of T is g^2 K_in + e^2
  Activation,     // params: those of the activation
  HermiteSeries,  // params: variance s; numbers: coefficients in He_n(x; s) (hermite_rows.hpp)
  Table,          // an activation without closed form: `table`
  LayerNorm,      // params: eps; changes rows alone
  Dropout,        // params: keep probability, below 1
  Sum,            // params: w, w2; w K + w2 K2
  Product,        // K K2
  Output,         // hands value `in` to the sink as output number `out`
  // Of values with positions, below. The engine of src/cpp/spatial runs them.
  Conv,        // params: |W_std|, b_std, g, e; trainable, its own part of T is g^2 mean_o K + e^2
  Pool,        // params: w, n; w times the sum over a window, or, if n is not 0, its mean over what
               // lies inside of the image
  Flatten,     // K, T: the mean over equal positions
  GlobalPool,  // params: w; w times the sum over all pairs of positions
};

enum class Padding : std::uint8_t { Valid, Same, Circular };

// What Conv and Pool read at one output position, along the height and the width.
struct SpatialWindow {
  std::array<int, 2> size, stride;
  Padding padding;
};

// Numbers of one op that are the same for every pair, at most.
inline constexpr int kMaxConstants = 80;

struct Op {
  static constexpr int kMaxParams = 4;
  OpKind kind;
  Activation activation;  // OpKind::Activation only
  bool trainable;         // Dense layers only: the weights contribute to the NTK
  int in;                 // value read
  int out;                // value written (or the output's number)
  std::array<double, kMaxParams> params;
  int in2 = -1;                      // second value read, of ops that join two; -1: none
  std::vector<double> numbers = {};  // of ops with a list of parameters of any length
  const DualTable* table = nullptr;  // OpKind::Table only; the program owns it
  SpatialWindow window = {};         // OpKind::Conv and Pool only
};

}  // namespace ntkfast
