#include "program/program.hpp"

#include <cmath>

#include "error.hpp"

namespace ntkfast {
namespace {

struct ActivationEntry {
  Activation id;
  std::string_view name;
  std::size_t params;
  std::string_view param_names;
  bool (*nonnegative)(const double*);
};

constexpr ActivationEntry kActivations[] = {
#define NTKFAST_ENTRY(name, dual, params) \
  {Activation::name, #name, dual::kParams, params, &dual::nonnegative},
    NTKFAST_ACTIVATIONS(NTKFAST_ENTRY)
#undef NTKFAST_ENTRY
};

const ActivationEntry& find_activation(std::string_view name) {
  for (const auto& entry : kActivations) {
    if (entry.name == name) return entry;
  }
  throw ArchitectureError("unknown activation '" + std::string(name) + "'");
}

// Assigns buffers in one forward walk: a value frees its slot at its last reader, and an op whose
// input dies there writes in place.
void assign_slots(Program& program) {
  std::vector<int> last_reader(program.values.size(), -1);
  for (std::size_t k = 0; k < program.ops.size(); ++k) {
    last_reader[static_cast<std::size_t>(program.ops[k].in)] = static_cast<int>(k);
  }
  std::vector<int> free_slots;
  program.values.front().slot = program.slots++;
  for (std::size_t k = 0; k < program.ops.size(); ++k) {
    const Op& op = program.ops[k];
    const auto in = static_cast<std::size_t>(op.in);
    if (last_reader[in] == static_cast<int>(k)) free_slots.push_back(program.values[in].slot);
    if (op.kind == OpKind::Output) continue;
    if (free_slots.empty()) free_slots.push_back(program.slots++);
    program.values[static_cast<std::size_t>(op.out)].slot = free_slots.back();
    free_slots.pop_back();
  }
}

}  // namespace

int ProgramBuilder::add_value(Value value) {
  program_.values.push_back(std::move(value));
  return static_cast<int>(program_.values.size()) - 1;
}

const Value& ProgramBuilder::at(int value) const {
  if (value < 0 || value >= static_cast<int>(program_.values.size())) {
    throw ArchitectureError("no value number " + std::to_string(value) + " in this program");
  }
  return program_.values[static_cast<std::size_t>(value)];
}

int ProgramBuilder::input() {
  if (!program_.values.empty()) throw ArchitectureError("a program has one input");
  return add_value({false, true, false, -1, "the input"});
}

int ProgramBuilder::dense(int value, double weight_std, double bias_std, bool trainable) {
  const Value in = at(value);
  if (!std::isfinite(weight_std) || !std::isfinite(bias_std)) {
    throw ArchitectureError("Dense: W_std and b_std must be finite");
  }
  ++program_.layers;
  const int out = add_value({true, in.signed_rho, in.has_ntk || trainable, -1,
                             "Dense (layer " + std::to_string(program_.layers) + ")"});
  program_.ops.push_back({OpKind::Dense,
                          {},
                          trainable,
                          value,
                          out,
                          {std::fabs(weight_std), std::fabs(bias_std), 0, 0}});
  return out;
}

int ProgramBuilder::activation(int value, std::string_view name,
                               const std::vector<double>& params) {
  const ActivationEntry& entry = find_activation(name);
  const Value in = at(value);
  const std::string label =
      std::string(name) + " (layer " + std::to_string(program_.layers + 1) + ")";
  if (!in.gaussian) {
    throw ArchitectureError(
        label + " follows " + in.produced +
        ", whose distribution is not a mean-zero Gaussian: put a Dense layer in between");
  }
  if (params.size() != entry.params) {
    throw ArchitectureError(label + " takes " + std::to_string(entry.params) + " parameters (" +
                            std::string(entry.param_names) + "), got " +
                            std::to_string(params.size()));
  }
  Op op{OpKind::Activation, entry.id, false, value, 0, {}};
  for (std::size_t k = 0; k < params.size(); ++k) {
    if (!std::isfinite(params[k])) throw ArchitectureError(label + ": parameters must be finite");
    op.params[k] = params[k];
  }
  ++program_.layers;
  op.out = add_value(
      {false, in.signed_rho && !entry.nonnegative(op.params.data()), in.has_ntk, -1, label});
  program_.ops.push_back(op);
  return op.out;
}

void ProgramBuilder::output(int value) {
  at(value);
  program_.ops.push_back({OpKind::Output, {}, false, value, program_.outputs++, {}});
}

Program ProgramBuilder::build() {
  if (program_.values.empty()) throw ArchitectureError("the program has no input");
  if (program_.outputs == 0) throw ArchitectureError("the program has no output");
  assign_slots(program_);
  return std::move(program_);
}

std::vector<std::string> activation_names() {
  std::vector<std::string> names;
  for (const auto& entry : kActivations) names.emplace_back(entry.name);
  return names;
}

}  // namespace ntkfast
