// A network as a list of operations over numbered values, each assigned once.
//
// Engines walk `ops` in order. A value needs storage from the op that writes it to the last op that
// reads it; `slot` gives it a buffer number, and buffers are reused as soon as they are free.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "program/op.hpp"

namespace ntkfast {

// What the builder knows of a value beyond its numbers.
struct Value {
  bool gaussian;         // mean-zero Gaussian, fresh weights: an activation may follow
  bool signed_rho;       // some pair may have a negative correlation
  bool has_ntk;          // a trainable layer lies before it: T is not identically zero
  int slot;              // buffer that holds it
  std::string produced;  // "Dense (layer 3)", for messages
};

struct Program {
  std::vector<Op> ops;
  std::vector<Value> values;
  int slots = 0;
  int outputs = 0;
  int layers = 0;  // ops that are not outputs
};

class ProgramBuilder {
 public:
  // The input: K = x.x'/d, T = 0. Called once, first.
  int input();
  // z = W_std / sqrt(n_in) W a + b_std b with fresh weights.
  int dense(int value, double weight_std, double bias_std, bool trainable);
  int activation(int value, std::string_view name, const std::vector<double>& params);
  void output(int value);
  // Checks what only the whole can show, assigns slots. The builder is spent afterwards.
  Program build();

 private:
  int add_value(Value value);
  const Value& at(int value) const;
  Program program_;
};

// Names of all activations, in the order of the list.
std::vector<std::string> activation_names();

}  // namespace ntkfast
