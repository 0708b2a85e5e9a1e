// The builder: what it refuses and with which words, what it records, and the buffers it assigns.
#include "program/program.hpp"

#include <algorithm>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "doctest.h"
#include "error.hpp"

namespace {

using ntkfast::Activation;
using ntkfast::ArchitectureError;
using ntkfast::OpKind;
using ntkfast::Program;
using ntkfast::ProgramBuilder;

const std::vector<double> kRelu = {0, 1}, kLeaky = {0.1, 1}, kErf = {1, 1, 0};

// Walks the ops and checks that every op finds in its buffer the value that it reads.
void check_buffers(const Program& program) {
  std::vector<int> held(static_cast<std::size_t>(program.slots), -1);
  held[static_cast<std::size_t>(program.values[0].slot)] = 0;
  for (const auto& op : program.ops) {
    const int slot = program.values[static_cast<std::size_t>(op.in)].slot;
    REQUIRE(slot >= 0);
    REQUIRE(slot < program.slots);
    CHECK(held[static_cast<std::size_t>(slot)] == op.in);
    if (op.kind == OpKind::Output) continue;
    const int target = program.values[static_cast<std::size_t>(op.out)].slot;
    REQUIRE(target >= 0);
    REQUIRE(target < program.slots);
    held[static_cast<std::size_t>(target)] = op.out;
  }
}

// Most values alive at one time: an op that is the last to read its input writes in place.
int most_alive(const Program& program) {
  const auto count = static_cast<int>(program.ops.size());
  int most = 1;
  for (int at = 0; at < count; ++at) {
    int alive = 0;
    for (int value = 0; value < static_cast<int>(program.values.size()); ++value) {
      int first = value == 0 ? -1 : count, last = -1;
      for (int k = 0; k < count; ++k) {
        const auto& op = program.ops[static_cast<std::size_t>(k)];
        if (op.kind != OpKind::Output && op.out == value) first = k;
        if (op.in == value) last = k;
      }
      if (first <= at && (last > at || first == at)) ++alive;
    }
    most = std::max(most, alive);
  }
  return most;
}

}  // namespace

TEST_CASE("the builder refuses what is not a program") {
  ProgramBuilder empty;
  CHECK_THROWS_WITH_AS(empty.build(), "the program has no input", ArchitectureError);
  ProgramBuilder silent;
  const int x = silent.input();
  CHECK_THROWS_WITH_AS(silent.build(), "the program has no output", ArchitectureError);
  CHECK_THROWS_WITH_AS(silent.input(), "a program has one input", ArchitectureError);
  silent.output(x);
  CHECK(silent.build().outputs == 1);
  CHECK_THROWS_WITH_AS(silent.build(), "the program has no input", ArchitectureError);  // spent
}

TEST_CASE("the builder refuses values that do not exist") {
  ProgramBuilder builder;
  CHECK_THROWS_WITH_AS(builder.dense(0, 1, 0, true), "no value number 0 in this program",
                       ArchitectureError);
  const int x = builder.input();
  for (const int value :
       {-1, x + 1, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    const std::string message = "no value number " + std::to_string(value) + " in this program";
    CHECK_THROWS_WITH_AS(builder.dense(value, 1, 0, true), message.c_str(), ArchitectureError);
    CHECK_THROWS_WITH_AS(builder.activation(value, "Erf", kErf), message.c_str(),
                         ArchitectureError);
    CHECK_THROWS_WITH_AS(builder.output(value), message.c_str(), ArchitectureError);
  }
}

TEST_CASE("an activation needs a Gaussian input") {
  ProgramBuilder builder;
  const int x = builder.input();
  CHECK_THROWS_WITH_AS(builder.activation(x, "ABRelu", kRelu),
                       doctest::Contains("follows the input, whose distribution is not a "
                                         "mean-zero Gaussian: put a Dense layer in between"),
                       ArchitectureError);
  ProgramBuilder second;
  const int hidden = second.activation(second.dense(second.input(), 1, 0, true), "ABRelu", kRelu);
  CHECK_THROWS_WITH_AS(second.activation(hidden, "Erf", kErf),
                       doctest::Contains("Erf (layer 3) follows ABRelu (layer 2)"),
                       ArchitectureError);
}

TEST_CASE("the builder checks names and numbers") {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  ProgramBuilder builder;
  const int x = builder.input();
  for (const double bad : {kInf, -kInf, kNan}) {
    CHECK_THROWS_WITH_AS(builder.dense(x, bad, 0, true), "Dense: W_std and b_std must be finite",
                         ArchitectureError);
    CHECK_THROWS_WITH_AS(builder.dense(x, 1, bad, true), "Dense: W_std and b_std must be finite",
                         ArchitectureError);
  }
  const int z = builder.dense(x, 1, 0, true);
  CHECK_THROWS_WITH_AS(builder.activation(z, "relu", kRelu), "unknown activation 'relu'",
                       ArchitectureError);
  CHECK_THROWS_WITH_AS(builder.activation(z, "", {}), "unknown activation ''", ArchitectureError);
  CHECK_THROWS_WITH_AS(builder.activation(z, "ABRelu", {1}),
                       doctest::Contains("takes 2 parameters (a, b), got 1"), ArchitectureError);
  CHECK_THROWS_WITH_AS(builder.activation(z, "Erf", {1, 1, 0, 0, 0}),
                       doctest::Contains("takes 3 parameters (a, b, c), got 5"), ArchitectureError);
  CHECK_THROWS_WITH_AS(builder.activation(z, "Erf", {1, kNan, 0}),
                       doctest::Contains("parameters must be finite"), ArchitectureError);
}

TEST_CASE("every activation has a name") {
  const std::vector<std::string> names = ntkfast::activation_names();
  CHECK(std::set<std::string>(names.begin(), names.end()).size() == names.size());
  for (const std::string name : {"ABRelu", "Clip", "Erf", "Gelu"}) {
    CHECK(std::count(names.begin(), names.end(), name) == 1);
  }
}

TEST_CASE("the program records what it was told") {
  ProgramBuilder builder;
  const int x = builder.input();
  const int z = builder.dense(x, -1.5, -0.25, false);
  const int a = builder.activation(z, "ABRelu", kLeaky);
  const int y = builder.dense(a, 2, 0, true);
  builder.output(y);
  builder.output(a);
  const Program program = builder.build();
  CHECK(program.layers == 3);
  CHECK(program.outputs == 2);
  REQUIRE(program.ops.size() == 5);
  CHECK(program.ops[0].kind == OpKind::Dense);
  CHECK(program.ops[0].params[0] == 1.5);  // only the square counts
  CHECK(program.ops[0].params[1] == 0.25);
  CHECK_FALSE(program.ops[0].trainable);
  CHECK(program.ops[1].activation == Activation::ABRelu);
  CHECK(program.ops[1].params[0] == 0.1);
  CHECK(program.ops[2].trainable);
  CHECK(program.ops[3].in == y);
  CHECK(program.ops[3].out == 0);
  CHECK(program.ops[4].in == a);
  CHECK(program.ops[4].out == 1);
}

TEST_CASE("the program knows where T starts, what is Gaussian and which signs occur") {
  ProgramBuilder builder;
  const int x = builder.input();
  const int fixed = builder.dense(x, 1, 0, false);
  const int leaky = builder.activation(fixed, "ABRelu", kLeaky);
  const int trained = builder.dense(leaky, 1, 0.5, true);
  const int relu = builder.activation(trained, "ABRelu", kRelu);
  const int last = builder.dense(relu, 1, 0, false);
  const int odd = builder.activation(last, "Erf", kErf);
  const int shifted = builder.activation(trained, "Erf", {1, 1, 2});
  builder.output(odd);
  builder.output(shifted);
  const Program program = builder.build();
  const auto value = [&](int k) { return program.values[static_cast<std::size_t>(k)]; };
  for (const int k : {x, fixed, leaky}) CHECK_FALSE(value(k).has_ntk);
  for (const int k : {trained, relu, last, odd, shifted}) CHECK(value(k).has_ntk);
  for (const int k : {fixed, trained, last}) CHECK(value(k).gaussian);
  for (const int k : {x, leaky, relu, odd}) CHECK_FALSE(value(k).gaussian);
  for (const int k : {x, fixed, leaky, trained}) CHECK(value(k).signed_rho);
  for (const int k : {relu, last, odd, shifted}) CHECK_FALSE(value(k).signed_rho);
  CHECK(value(trained).produced == "Dense (layer 3)");
  CHECK(value(odd).produced == "Erf (layer 6)");
}

TEST_CASE("a chain runs in one buffer, every-depth outputs included") {
  ProgramBuilder builder;
  int value = builder.input();
  for (int layer = 0; layer < 5; ++layer) {
    value = builder.activation(builder.dense(value, 1, 0.1, true), "ABRelu", kRelu);
    builder.output(value);
  }
  builder.output(value);  // the same value twice
  const Program program = builder.build();
  CHECK(program.slots == 1);
  CHECK(program.outputs == 6);
  check_buffers(program);
}

TEST_CASE("a value that is read twice keeps its buffer until the second reader") {
  ProgramBuilder builder;
  const int x = builder.input();
  const int trunk = builder.dense(x, 1, 0, true);
  const int relu = builder.activation(trunk, "ABRelu", kRelu);
  builder.output(relu);
  builder.output(builder.activation(trunk, "Erf", kErf));
  builder.output(x);
  const Program program = builder.build();
  CHECK(program.slots == 3);  // x, trunk and relu live together
  check_buffers(program);
}

TEST_CASE("random branching programs keep every value until its last reader") {
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    ProgramBuilder builder;
    std::vector<int> values = {builder.input()}, gaussian;
    for (int k = 0; k < 12; ++k) {
      const int from = values[random() % values.size()];
      if (random() % 2 == 0 || gaussian.empty()) {
        values.push_back(builder.dense(from, 1, 0.1, true));
        gaussian.push_back(values.back());
      } else {
        values.push_back(builder.activation(gaussian[random() % gaussian.size()], "ABRelu", kRelu));
      }
      if (random() % 3 == 0) builder.output(values[random() % values.size()]);
    }
    for (const int value : values) builder.output(value);
    const Program program = builder.build();
    check_buffers(program);
    CHECK(program.slots == most_alive(program));
  }
}

TEST_CASE("a value that nothing reads does no harm") {
  ProgramBuilder builder;
  const int x = builder.input();
  builder.dense(x, 1, 0, true);
  const int used = builder.dense(x, 2, 0, true);
  builder.output(used);
  check_buffers(builder.build());
}
