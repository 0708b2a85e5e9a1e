// One operation of a program: plain data, the same for every engine.
#pragma once

#include <array>
#include <cstdint>

#include "math/activation_list.hpp"

namespace ntkfast {

enum class Activation : std::uint8_t {
#define NTKFAST_ENUM(name, dual, params) name,
  NTKFAST_ACTIVATIONS(NTKFAST_ENUM)
#undef NTKFAST_ENUM
};

enum class OpKind : std::uint8_t {
  Dense,       // params: |W_std|, b_std
  Activation,  // params: those of the activation
  Output,      // hands value `in` to the sink as output number `out`
};

struct Op {
  static constexpr int kMaxParams = 4;
  OpKind kind;
  Activation activation;  // OpKind::Activation only
  bool trainable;         // OpKind::Dense only: its weights contribute to the NTK
  int in;                 // value read
  int out;                // value written (or the output's number)
  std::array<double, kMaxParams> params;
  int in2 = -1;  // second value read, of ops that join two; -1: none
};

}  // namespace ntkfast
