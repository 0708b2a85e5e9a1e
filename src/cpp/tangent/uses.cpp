#include "tangent/uses.hpp"

#include <algorithm>

#include "backend/blas.hpp"
#include "cpu/aligned.hpp"

namespace ntkfast::tangent {
namespace {

// One count of progress over passes that count from zero each.
class Passes {
 public:
  Passes(const ContractionOptions& options, std::int64_t passes, bool overwrite)
      : options_(options), passes_(passes), overwrite_(overwrite) {}

  ContractionOptions next() {
    if (!options_.monitor) return {options_.threads, {}, overwrite_};
    const std::int64_t before = kSteps * pass_++, all = kSteps * passes_;
    return {options_.threads,
            [this, before, all](std::int64_t done, std::int64_t total) {
              options_.monitor(before + kSteps * done / std::max<std::int64_t>(1, total), all);
            },
            overwrite_};
  }

 private:
  static constexpr std::int64_t kSteps = 1000;
  const ContractionOptions& options_;
  std::int64_t passes_, pass_ = 0;
  bool overwrite_;
};

// Some rows of the weight gradients of one side, or the signals summed over uses.
template <class T>
class Gradients {
 public:
  // Sized for the larger side, `samples`, and `inputs` rows of the weight matrix.
  Gradients(const Layer<T>& layer, std::int64_t samples, std::int64_t outputs, std::int64_t inputs)
      : layer_(layer),
        outputs_(outputs),
        data_(cpu::aligned_array<T>(
            static_cast<std::size_t>(samples * outputs * inputs * layer.units))) {}

  const T* data() const { return data_.get(); }

  // (samples, O, inputs * units): of rows [first, first + inputs) of the weight matrix.
  void of_weights(const T* a, const T* s, std::int64_t samples, std::int64_t first,
                  std::int64_t inputs, const ContractionOptions& options) {
    const std::int64_t uses = layer_.uses, units = layer_.units, fan_in = layer_.fan_in;
    each_sample(samples, options, [=, this](std::int64_t i, std::int64_t c) {
      multiply_left_transposed(
          static_cast<int>(inputs), static_cast<int>(units), static_cast<int>(uses),
          a + i * uses * fan_in + first, static_cast<int>(fan_in),
          s + (i * outputs_ + c) * uses * units, static_cast<int>(units),
          data_.get() + (i * outputs_ + c) * inputs * units, static_cast<int>(units));
    });
  }

  // (samples, O, units)
  void of_bias(const T* s, std::int64_t samples, const ContractionOptions& options) {
    const std::int64_t uses = layer_.uses, units = layer_.units;
    each_sample(samples, options, [=, this](std::int64_t i, std::int64_t c) {
      const T* from = s + (i * outputs_ + c) * uses * units;
      T* to = data_.get() + (i * outputs_ + c) * units;
      for (std::int64_t k = 0; k < units; ++k) {
        double sum = 0.0;
        for (std::int64_t u = 0; u < uses; ++u) sum += static_cast<double>(from[u * units + k]);
        to[k] = static_cast<T>(sum);
      }
    });
  }

 private:
  template <class Body>
  void each_sample(std::int64_t samples, const ContractionOptions& options, const Body& body) {
    Tasks tasks(samples, options.threads, options.monitor);
    tasks.run([&](int worker, std::int64_t i) {
      for (std::int64_t c = 0; c < outputs_; ++c) {
        tasks.checkpoint(worker);
        body(i, c);
      }
    });
  }

  const Layer<T>& layer_;
  std::int64_t outputs_;
  cpu::AlignedArray<T> data_;
};

// How many rows of the weight matrix have their gradients formed at a time.
template <class T, class R>
std::int64_t inputs_at_a_time(const Layer<T>& layer, const KernelView<R>& out) {
  const std::int64_t row =
      std::max(out.n, out.m) * out.outputs * layer.units * static_cast<std::int64_t>(sizeof(T));
  return std::clamp<std::int64_t>(kGradientBytes / std::max<std::int64_t>(1, row), 1,
                                  std::max<std::int64_t>(1, layer.fan_in));
}

// Passes over samples and tiles that contract_gradients() makes.
template <class T, class R>
std::int64_t gradient_passes(const Layer<T>& layer, const KernelView<R>& out) {
  const std::int64_t at_a_time = inputs_at_a_time(layer, out);
  const std::int64_t parts = (layer.fan_in + at_a_time - 1) / at_a_time + (layer.bias != 0 ? 1 : 0);
  return parts * (layer.s_other == nullptr ? 2 : 3);
}

template <class T, class R>
void contract_gradients(const Layer<T>& layer, const KernelView<R>& out, Passes& passes) {
  const bool symmetric = layer.s_other == nullptr;
  const std::int64_t at_a_time = inputs_at_a_time(layer, out);
  Gradients<T> left(layer, out.n, out.outputs, at_a_time);
  Gradients<T> right(layer, symmetric ? 0 : out.m, out.outputs, at_a_time);
  // An explicit block of the Jacobian: signals without inputs.
  const auto add = [&](std::int64_t columns, double factor) {
    const Layer<T> block{nullptr, left.data(), nullptr, symmetric ? nullptr : right.data(), 1, 0,
                         columns, 0.0,         factor};
    contract<T, R>({block}, out, passes.next());
  };
  for (std::int64_t first = 0; first < layer.fan_in; first += at_a_time) {
    const std::int64_t inputs = std::min(at_a_time, layer.fan_in - first);
    left.of_weights(layer.a, layer.s, out.n, first, inputs, passes.next());
    if (!symmetric) {
      right.of_weights(layer.a_other, layer.s_other, out.m, first, inputs, passes.next());
    }
    add(inputs * layer.units, layer.weight);
  }
  if (layer.bias != 0) {
    left.of_bias(layer.s, out.n, passes.next());
    if (!symmetric) right.of_bias(layer.s_other, out.m, passes.next());
    add(layer.units, layer.bias);
  }
}

}  // namespace

template <class T, class R>
Order cheaper_order(const Layer<T>& layer, const KernelView<R>& out) {
  if (layer.uses == 1) return Order::kPairsOfUses;
  const auto real = [](std::int64_t value) { return static_cast<double>(value); };
  const bool symmetric = layer.s_other == nullptr;
  const double samples = real(symmetric ? out.n : out.n + out.m);
  const double pairs = symmetric ? 0.5 * real(out.n) * real(out.n + 1) : real(out.n) * real(out.m);
  const double output_pairs =
      real(out.mode == Mode::kFull ? out.outputs * out.outputs : out.outputs);
  const double uses = real(layer.uses), fan_in = real(layer.fan_in), units = real(layer.units);
  const double by_pairs = pairs * uses * uses * (fan_in + output_pairs * (units + 1));
  const double by_gradients =
      pairs * output_pairs * fan_in * units + samples * uses * real(out.outputs) * fan_in * units;
  return by_pairs <= by_gradients ? Order::kPairsOfUses : Order::kWeightGradients;
}

template <class T, class R>
void contract_uses(const std::vector<Layer<T>>& layers, const std::vector<Order>& orders,
                   const KernelView<R>& out, const ContractionOptions& options) {
  if (out.n == 0 || out.m == 0 || out.outputs == 0) return;
  if (layers.empty()) {
    if (options.overwrite) clear_kernel(out);
    return;
  }
  use_single_threaded_blas();
  // Apart, because many uses make tiles small.
  std::vector<Layer<T>> once, pairs, gradients;
  for (std::size_t k = 0; k < layers.size(); ++k) {
    const auto& layer = layers[k];
    (orders[k] == Order::kWeightGradients ? gradients
     : layer.uses == 1                    ? once
                                          : pairs)
        .push_back(layer);
  }
  std::int64_t count = (once.empty() ? 0 : 1) + (pairs.empty() ? 0 : 1);
  for (const auto& layer : gradients) count += gradient_passes(layer, out);
  // One pass writes the kernel, several ones have to add.
  const bool direct = options.overwrite && count == 1;
  if (options.overwrite && !direct) clear_kernel(out);
  Passes passes(options, count, direct);
  if (!once.empty()) contract<T, R>(once, out, passes.next());
  if (!pairs.empty()) contract<T, R>(pairs, out, passes.next());
  for (const auto& layer : gradients) contract_gradients(layer, out, passes);
  if (options.overwrite && !direct && layers.front().s_other == nullptr) {
    mirror_kernel(out, {options.threads, {}});
  }
}

#define NTKFAST_INSTANTIATE(T, R)                                                      \
  template Order cheaper_order(const Layer<T>&, const KernelView<R>&);                 \
  template void contract_uses(const std::vector<Layer<T>>&, const std::vector<Order>&, \
                              const KernelView<R>&, const ContractionOptions&);
NTKFAST_INSTANTIATE(float, float)
NTKFAST_INSTANTIATE(float, double)
NTKFAST_INSTANTIATE(double, double)
#undef NTKFAST_INSTANTIATE

}  // namespace ntkfast::tangent
