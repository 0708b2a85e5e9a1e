// What the benchmark times: read from the command line.
#pragma once

#include <cstdint>
#include <string>

namespace ntkfast::bench {

struct Options {
  std::int64_t n = 4096;
  std::int64_t m = 0;  // 0: the symmetric Gram of n rows
  std::int64_t d = 784;
  int depth = 3;  // hidden layers, each a Dense and an activation; a Dense reads out
  std::string activation = "relu";
  std::string dtype = "float32";
  int threads = 0;  // 0: all this process may use
  std::string isa;  // empty: the fastest
  int repeat = 10;
  bool json = false;
  bool help = false;

  bool symmetric() const { return m == 0; }
  std::int64_t columns() const { return symmetric() ? n : m; }
};

constexpr double kWeightStd = 1.4142135623730951;  // chi = 1 for ReLU
constexpr double kBiasStd = 0.1;

// Throws std::invalid_argument with the option's name, what was expected and what was got.
Options parse(int argc, char** argv);

// What --help prints.
const char* usage();

}  // namespace ntkfast::bench
