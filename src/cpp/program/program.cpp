#include "program/program.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "error.hpp"
#include "program/hermite_rows.hpp"

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

// Buffer of every value, and their number.
struct Buffers {
  std::vector<int> of;
  int count = 0;
};

// One forward walk: a value frees its buffer at its last reader, and an op whose input dies there
// writes in place. With `share`, LayerNorm's result lives in the buffer of its input: the two
// differ in their rows alone.
Buffers assign_buffers(const Program& program, bool share) {
  const auto index = [](int value) { return static_cast<std::size_t>(value); };
  const auto shares = [&](const Op& op) { return share && op.kind == OpKind::LayerNorm; };
  std::vector<int> owner(program.values.size()), last_reader(program.values.size(), -1);
  for (std::size_t v = 0; v < owner.size(); ++v) owner[v] = static_cast<int>(v);
  for (std::size_t k = 0; k < program.ops.size(); ++k) {
    const Op& op = program.ops[k];
    for (const int in : {op.in, op.in2}) {
      if (in >= 0) last_reader[index(owner[index(in)])] = static_cast<int>(k);
    }
    if (shares(op)) owner[index(op.out)] = owner[index(op.in)];
  }
  Buffers buffers{std::vector<int>(owner.size(), -1), 0};
  std::vector<int> free_buffers;
  buffers.of[0] = buffers.count++;
  for (std::size_t k = 0; k < program.ops.size(); ++k) {
    const Op& op = program.ops[k];
    const int first = owner[index(op.in)], second = op.in2 < 0 ? first : owner[index(op.in2)];
    const auto release = [&](int value) {
      if (last_reader[index(value)] == static_cast<int>(k)) {
        free_buffers.push_back(buffers.of[index(value)]);
      }
    };
    // A convolution reads the neighbours of what it writes: not in place.
    const bool in_place = op.kind != OpKind::Conv;
    const auto release_all = [&] {
      release(first);
      if (second != first) release(second);
    };
    if (in_place) release_all();
    if (op.kind == OpKind::Output) continue;
    if (shares(op)) {
      buffers.of[index(op.out)] = buffers.of[index(op.in)];
      continue;
    }
    if (free_buffers.empty()) free_buffers.push_back(buffers.count++);
    buffers.of[index(op.out)] = free_buffers.back();
    free_buffers.pop_back();
    if (!in_place) release_all();
  }
  return buffers;
}

// Stands for a zero weight or bias that is trained: its T may be positive where K is zero, but a
// state stores T / K. The square is far below all that counts, and its inverse is a float.
constexpr double kAlmostZero = 1e-17;

bool intersect(const std::vector<int>& a, const std::vector<int>& b) {
  return std::any_of(a.begin(), a.end(),
                     [&](int source) { return std::binary_search(b.begin(), b.end(), source); });
}

int common_width(const Value& a, const Value& b) {
  if (a.width == kAnyWidth) return b.width;
  return b.width == kAnyWidth || a.width == b.width ? a.width : kMixedWidths;
}

constexpr SpatialWindow kOnePosition{{1, 1}, {1, 1}, Padding::Valid};

void require_width(const std::string& name, const Value& in) {
  if (in.width != kMixedWidths) return;
  throw ArchitectureError(name + " needs the number of channels of " + in.produced +
                          ", before which branches of different widths are joined: give them one "
                          "out_dim");
}

std::vector<int> merge(const std::vector<int>& a, const std::vector<int>& b) {
  std::vector<int> both;
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return both;
}

bool is_degree(double number) {
  return number >= 0 && number <= RectifiedMonomial::kMaxDegree && number == std::floor(number);
}

}  // namespace

int ProgramBuilder::add(Op op, Value value) {
  ++program_.layers;
  const bool moves = op.kind == OpKind::Conv || op.kind == OpKind::Pool ||
                     op.kind == OpKind::Flatten || op.kind == OpKind::GlobalPool;
  if (!moves) value.grid = at(op.in).grid;
  value.pools = at(op.in).pools + (op.kind == OpKind::Pool ? 1 : 0);
  op.out = static_cast<int>(program_.values.size());
  program_.ops.push_back(op);
  program_.values.push_back(std::move(value));
  return op.out;
}

const Value& ProgramBuilder::at(int value) const {
  if (value < 0 || value >= static_cast<int>(program_.values.size())) {
    throw ArchitectureError("no value number " + std::to_string(value) + " in this program");
  }
  return program_.values[static_cast<std::size_t>(value)];
}

// Of the layer that comes next. Layer k makes value k.
std::string ProgramBuilder::label(std::string_view name) const {
  return std::string(name) + " (layer " + std::to_string(program_.layers + 1) + ")";
}

int ProgramBuilder::input(int columns) {
  if (!program_.values.empty()) throw ArchitectureError("a program has one input");
  program_.values.push_back({false, true, false, "the input", false, {0}, columns});
  return 0;
}

int ProgramBuilder::dense(int value, double weight_std, double bias_std, bool trainable,
                          int width) {
  const Value& in = at(value);
  if (!std::isfinite(weight_std) || !std::isfinite(bias_std)) {
    throw ArchitectureError("Dense: W_std and b_std must be finite");
  }
  if (in.grid.has_positions()) {  // the same weights at every position
    return conv(value, weight_std, bias_std, trainable, kOnePosition, width, std::nullopt);
  }
  const Op op{OpKind::Dense, {}, trainable, value, 0, {std::fabs(weight_std), std::fabs(bias_std)}};
  const int out = static_cast<int>(program_.values.size());
  return add(op,
             {true, in.signed_rho, in.has_ntk || trainable, label("Dense"), true, {out}, width});
}

int ProgramBuilder::dense_standard(int value, double weight_std, std::optional<double> bias_std,
                                   bool trainable, int width, double scale) {
  const Value& in = at(value);
  require_width(label("Dense"), in);
  if (in.grid.has_positions()) {
    return conv(value, weight_std, bias_std, trainable, kOnePosition, width, scale);
  }
  if (!trainable) return dense(value, weight_std, bias_std.value_or(0), false, width);
  if (!(scale > 0) || !std::isfinite(scale)) {
    throw ArchitectureError("Dense: s must be finite and positive");
  }
  const double own = std::sqrt(std::abs(in.width) / scale);  // one input where not known yet
  const int out = dense(value, weight_std, bias_std.value_or(0), true, width);
  Op& op = program_.ops.back();
  op.kind = OpKind::StandardDense;
  op.params[0] = std::max(op.params[0], kAlmostZero * own);
  if (bias_std) op.params[1] = std::max(op.params[1], kAlmostZero);
  op.params[2] = own;
  op.params[3] = bias_std ? 1 : 0;
  return out;
}

void ProgramBuilder::require_gaussian(const std::string& name, const Value& in) const {
  if (in.gaussian) return;
  throw ArchitectureError(
      name + " follows " + in.produced +
      ", whose distribution is not a mean-zero Gaussian: put a Dense layer in between");
}

int ProgramBuilder::activation(int value, std::string_view name,
                               const std::vector<double>& params) {
  const ActivationEntry& entry = find_activation(name);
  const Value& in = at(value);
  const std::string own = label(name);
  require_gaussian(own, in);
  if (params.size() != entry.params) {
    throw ArchitectureError(own + " takes " + std::to_string(entry.params) + " parameters (" +
                            std::string(entry.param_names) + "), got " +
                            std::to_string(params.size()));
  }
  Op op{OpKind::Activation, entry.id, false, value, 0, {}};
  for (std::size_t k = 0; k < params.size(); ++k) {
    if (!std::isfinite(params[k])) throw ArchitectureError(own + ": parameters must be finite");
    op.params[k] = params[k];
  }
  if (entry.id == Activation::RectifiedMonomial && !is_degree(op.params[0])) {
    throw ArchitectureError(own + ": degree must be an integer from 0 to " +
                            std::to_string(RectifiedMonomial::kMaxDegree));
  }
  const bool signed_rho = in.signed_rho && !entry.nonnegative(op.params.data());
  return add(op, {false, signed_rho, in.has_ntk, own, false, in.sources, in.width});
}

int ProgramBuilder::hermite_series(int value, std::string_view name, double variance,
                                   const std::vector<double>& coefficients) {
  const Value& in = at(value);
  const std::string own = label(name);
  require_gaussian(own, in);
  for (const double c : coefficients) {
    if (!std::isfinite(c)) throw ArchitectureError(own + ": coefficients must be finite");
  }
  if (variance != 0 && variance != 1) {
    throw ArchitectureError(own + ": the variance of the basis must be 0 or 1");
  }
  Op op{OpKind::HermiteSeries, {}, false, value, 0, {variance}};
  op.numbers = coefficients;
  while (!op.numbers.empty() && op.numbers.back() == 0) op.numbers.pop_back();
  if (op.numbers.size() > kMaxHermiteDegree + 1) {
    throw ArchitectureError(own + ": degree must be at most " + std::to_string(kMaxHermiteDegree));
  }
  const bool signed_rho = hermite_signed(op, in.signed_rho);
  return add(op, {false, signed_rho, in.has_ntk, own, false, in.sources, in.width});
}

int ProgramBuilder::layer_norm(int value, double eps) {
  Value out = at(value);
  const std::string own = label("LayerNorm");
  if (!out.mean_zero) {
    throw ArchitectureError(own + " follows " + out.produced +
                            ", whose channels may have a mean that is not zero, which LayerNorm "
                            "would subtract: put a Dense layer in between");
  }
  if (!(eps >= 0) || !std::isfinite(eps)) {
    throw ArchitectureError(own + ": eps must be finite and not negative");
  }
  out.produced = own;
  return add({OpKind::LayerNorm, {}, false, value, 0, {eps}}, std::move(out));
}

int ProgramBuilder::dropout(int value, double keep) {
  Value out = at(value);
  const std::string own = label("Dropout");
  if (!(keep > 0 && keep <= 1)) {
    throw ArchitectureError(own + ": the keep probability must be in (0, 1]");
  }
  if (keep == 1) return value;
  if (intersect(out.sources, {0})) {
    throw ArchitectureError(own +
                            " drops columns of the input: they are finitely many, so that the "
                            "kernel would stay random: put a Dense layer in between");
  }
  out.gaussian = false;  // a mixture of a Gaussian and zero
  out.produced = own;
  return add({OpKind::Dropout, {}, false, value, 0, {keep}}, std::move(out));
}

void ProgramBuilder::require_independent(const std::string& name, const Value& a,
                                         const Value& b) const {
  if (!intersect(a.sources, b.sources)) return;
  throw ArchitectureError(
      name + " joins " + a.produced + " and " + b.produced +
      ", which are not independent: both reach back to the same units without weights of their own "
      "in between. Put a Dense layer into all branches but one");
}

// Channel i of both branches, z_i = a_i + b_i: the mean of z_i z_i' over channels is K_a + K_b plus
// the means of a_i b_i' and b_i a_i', which vanish if the branches are independent and at least one
// of them has mean zero. The same for T, whose mixed terms are sums over products of the
// derivatives by common parameters: independent weights with mean zero in one factor.
int ProgramBuilder::fan_in_sum(int value, int other) {
  const Value &a = at(value), &b = at(other);
  const std::string own = label("FanInSum");
  require_one_grid(own, a, b);
  require_independent(own, a, b);
  if (!a.mean_zero && !b.mean_zero) {
    throw ArchitectureError(own + " adds " + a.produced + " and " + b.produced +
                            ", both of which may have a mean that is not zero: the product of the "
                            "means would enter the kernel. End all branches but one with a Dense "
                            "layer");
  }
  return add({OpKind::Sum, {}, false, value, 0, {1, 1}, other},
             {a.gaussian && b.gaussian, a.signed_rho || b.signed_rho, a.has_ntk || b.has_ntk, own,
              a.mean_zero && b.mean_zero, merge(a.sources, b.sources), common_width(a, b)});
}

// The mean of a_i b_i a_i' b_i' over channels is K_a K_b for independent branches.
int ProgramBuilder::fan_in_product(int value, int other) {
  const Value &a = at(value), &b = at(other);
  const std::string own = label("FanInProd");
  require_one_grid(own, a, b);
  require_independent(own, a, b);
  return add({OpKind::Product, {}, false, value, 0, {}, other},
             {false, a.signed_rho || b.signed_rho, a.has_ntk || b.has_ntk, own,
              a.mean_zero || b.mean_zero, merge(a.sources, b.sources), common_width(a, b)});
}

// Channels of different branches never meet, so nothing has to be independent; but not all have the
// same variance, so the whole is not Gaussian.
int ProgramBuilder::fan_in_concat(int value, int other) {
  const Value &a = at(value), &b = at(other);
  const std::string own = label("FanInConcat");
  require_one_grid(own, a, b);
  require_width(own, a);
  require_width(own, b);
  const bool known = a.width != kAnyWidth && b.width != kAnyWidth;
  const double left = std::abs(a.width), right = std::abs(b.width), width = left + right;
  if (width > std::numeric_limits<int>::max()) {
    throw ArchitectureError(own + ": more channels than an integer can count");
  }
  return add(
      {OpKind::Sum, {}, false, value, 0, {left / width, right / width}, other},
      {false, a.signed_rho || b.signed_rho, a.has_ntk || b.has_ntk, own, a.mean_zero && b.mean_zero,
       merge(a.sources, b.sources), known ? a.width + b.width : kAnyWidth});
}

int ProgramBuilder::table(int value, std::shared_ptr<const DualTable> table,
                          std::string_view name) {
  const Value& in = at(value);
  const std::string own = label(name);
  require_gaussian(own, in);
  const bool signed_rho = (in.signed_rho || table->mixed()) && !table->nonnegative();
  Op op{OpKind::Table, {}, false, value, 0, {}};
  op.table = table.get();
  program_.tables.push_back(std::move(table));
  return add(op, {false, signed_rho, in.has_ntk, own, false, in.sources, in.width});
}

void ProgramBuilder::output(int value) {
  // Sizes are not known while a network is put together, which may be part of a larger one.
  if (at(value).grid.height > 0) require_positions("the end of the network", at(value), false);
  probe(value);
}

void ProgramBuilder::probe(int value) {
  at(value);
  program_.ops.push_back({OpKind::Output, {}, false, value, program_.outputs++, {}});
}

Program ProgramBuilder::build() {
  if (program_.values.empty()) throw ArchitectureError("the program has no input");
  if (program_.outputs == 0) throw ArchitectureError("the program has no output");
  const Buffers pairs = assign_buffers(program_, true), rows = assign_buffers(program_, false);
  program_.slots = pairs.count;
  program_.row_slots = rows.count;
  for (std::size_t v = 0; v < program_.values.size(); ++v) {
    program_.values[v].slot = pairs.of[v];
    program_.values[v].row_slot = rows.of[v];
  }
  return std::move(program_);
}

std::vector<std::string> activation_names() {
  std::vector<std::string> names;
  for (const auto& entry : kActivations) names.emplace_back(entry.name);
  return names;
}

}  // namespace ntkfast
