#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/monitor.hpp"
#include "bindings/result_array.hpp"
#include "tangent/contraction.hpp"
#include "tangent/uses.hpp"

namespace py = pybind11;
using ntkfast::tangent::ContractionOptions;
using ntkfast::tangent::KernelView;
using ntkfast::tangent::Layer;
using ntkfast::tangent::Mode;
using ntkfast::tangent::Order;

namespace {

using Pair = std::pair<py::array, py::array>;  // inputs and signals of one weight

Mode read_mode(const std::string& mode) {
  if (mode == "full") return Mode::kFull;
  if (mode == "trace") return Mode::kTrace;
  if (mode == "diagonal") return Mode::kDiagonal;
  throw py::value_error("mode must be 'full', 'trace' or 'diagonal', got '" + mode + "'");
}

std::string shape_text(const py::array& array) {
  std::string text = "(";
  for (py::ssize_t k = 0; k < array.ndim(); ++k) {
    text += std::to_string(array.shape(k)) + (k + 1 < array.ndim() ? ", " : "");
  }
  return text + ")";
}

template <class T>
const T* read_input(const py::array& array, const std::string& name,
                    const std::vector<py::ssize_t>& shape) {
  if (!py::isinstance<py::array_t<T, py::array::c_style>>(array)) {
    throw py::type_error(name + " must be a C-contiguous array of one dtype with all others");
  }
  if (std::vector<py::ssize_t>(array.shape(), array.shape() + array.ndim()) != shape) {
    std::string wanted;
    for (const auto extent : shape) wanted += (wanted.empty() ? "" : ", ") + std::to_string(extent);
    throw py::value_error(name + " must have shape (" + wanted + "), got " + shape_text(array));
  }
  return static_cast<const T*>(array.data());
}

// The kernel that `out` holds, for the given number of outputs (0: from its shape, or any).
template <class R>
KernelView<R> read_kernel(py::array& out, Mode mode, std::int64_t outputs) {
  const py::ssize_t dimensions = mode == Mode::kFull ? 4 : mode == Mode::kDiagonal ? 3 : 2;
  if (out.ndim() != dimensions) {
    throw py::value_error("out must have " + std::to_string(dimensions) +
                          " dimensions in this mode, got shape " + shape_text(out));
  }
  std::vector<std::int64_t> strides;
  for (py::ssize_t k = 0; k < dimensions; ++k) {
    if (out.strides(k) % out.itemsize() != 0) {
      throw py::value_error("out must have strides that are multiples of its itemsize");
    }
    strides.push_back(out.strides(k) / out.itemsize());
    if (k >= 2 && outputs == 0) outputs = out.shape(k);
    if (k >= 2 && out.shape(k) != outputs) {
      throw py::value_error("out must have " + std::to_string(outputs) +
                            " outputs on its last axes, got shape " + shape_text(out));
    }
  }
  strides.resize(4, 0);
  return {static_cast<R*>(out.mutable_data()),
          mode,
          out.shape(0),
          out.shape(1),
          outputs,
          strides[0],
          strides[1],
          strides[2],
          strides[3]};
}

// Shapes (n, U, fan_in) and (n, O, U, units) of one weight, as its left side has them.
template <class T>
Layer<T> read_layer(const Pair& left, const Pair* right, std::pair<double, double> scale,
                    py::ssize_t n, py::ssize_t m, py::ssize_t outputs, const std::string& place) {
  const auto& [a, s] = left;
  if (a.ndim() != 3 || s.ndim() != 4) {
    throw py::value_error("left" + place +
                          " must have shapes (n, uses, fan_in) and (n, outputs, "
                          "uses, units), got " +
                          shape_text(a) + " and " + shape_text(s));
  }
  const py::ssize_t uses = a.shape(1), fan_in = a.shape(2), units = s.shape(3);
  Layer<T> layer{read_input<T>(a, "inputs of left" + place, {n, uses, fan_in}),
                 read_input<T>(s, "signals of left" + place, {n, outputs, uses, units}),
                 nullptr,
                 nullptr,
                 uses,
                 fan_in,
                 units,
                 scale.first,
                 scale.second};
  if (right != nullptr) {
    layer.a_other = read_input<T>(right->first, "inputs of right" + place, {m, uses, fan_in});
    layer.s_other =
        read_input<T>(right->second, "signals of right" + place, {m, outputs, uses, units});
  }
  return layer;
}

std::vector<Order> read_orders(const std::string& order, std::vector<Order> cheaper) {
  if (order == "auto") return cheaper;
  if (order == "pairs") return std::vector(cheaper.size(), Order::kPairsOfUses);
  if (order == "gradients") return std::vector(cheaper.size(), Order::kWeightGradients);
  throw py::value_error("order must be 'auto', 'pairs' or 'gradients', got '" + order + "'");
}

template <class T, class R>
void uses_into(const std::vector<Pair>& left, const std::optional<std::vector<Pair>>& right,
               const std::vector<std::pair<double, double>>& scales, Mode mode, py::array& out,
               const std::string& order, const ContractionOptions& options) {
  if (left.empty()) return;
  const py::ssize_t outputs = left[0].second.ndim() == 4 ? left[0].second.shape(1) : 0;
  const auto kernel = read_kernel<R>(out, mode, outputs);
  std::vector<Layer<T>> layers;
  std::vector<Order> cheaper;
  for (std::size_t k = 0; k < left.size(); ++k) {
    layers.push_back(read_layer<T>(left[k], right ? &(*right)[k] : nullptr, scales[k], kernel.n,
                                   kernel.m, outputs, "[" + std::to_string(k) + "]"));
    cheaper.push_back(ntkfast::tangent::cheaper_order(layers.back(), kernel));
  }
  const auto orders = read_orders(order, std::move(cheaper));
  const py::gil_scoped_release release;
  ntkfast::tangent::contract_uses(layers, orders, kernel, options);
}

template <class T, class R>
void jacobians_into(const py::array& left, const std::optional<py::array>& right, Mode mode,
                    py::array& out, const ContractionOptions& options) {
  if (left.ndim() != 3) {
    throw py::value_error("left must have shape (n, outputs, parameters), got " + shape_text(left));
  }
  const auto kernel = read_kernel<R>(out, mode, left.shape(1));
  const py::ssize_t outputs = left.shape(1), columns = left.shape(2);
  Layer<T> block{nullptr, read_input<T>(left, "left", {kernel.n, outputs, columns}),
                 nullptr, nullptr,
                 1,       0,
                 columns, 0.0,
                 1.0};
  if (right) block.s_other = read_input<T>(*right, "right", {kernel.m, outputs, columns});
  const py::gil_scoped_release release;
  ntkfast::tangent::contract<T, R>({block}, kernel, options);
}

// Calls body with values of the types of inputs and kernel.
template <class Body>
void for_dtypes(const py::array& input, const py::array& out, const Body& body) {
  const bool narrow = py::isinstance<py::array_t<float>>(input);
  const bool narrow_out = py::isinstance<py::array_t<float>>(out);
  if ((!narrow && !py::isinstance<py::array_t<double>>(input)) ||
      (!narrow_out && !py::isinstance<py::array_t<double>>(out)) || (!narrow && narrow_out)) {
    throw py::type_error(
        "inputs must be float32 or float64, and out float64, or float32 for "
        "float32 inputs");
  }
  if (!narrow) {
    body(double{}, double{});
  } else if (narrow_out) {
    body(float{}, float{});
  } else {
    body(float{}, double{});
  }
}

void check_square(const py::array& out, bool symmetric) {
  if (symmetric && out.ndim() >= 2 && out.shape(0) != out.shape(1)) {
    throw py::value_error("out of a symmetric kernel must be square, got shape " + shape_text(out));
  }
}

void contract_uses(const std::vector<Pair>& left, const std::optional<std::vector<Pair>>& right,
                   const std::vector<std::pair<double, double>>& scales, const std::string& mode,
                   py::array out, int threads, const py::object& progress, const std::string& order,
                   bool overwrite) {
  if (scales.size() != left.size() || (right && right->size() != left.size())) {
    throw py::value_error("left, right and scales must have one entry for each weight, got " +
                          std::to_string(left.size()) + ", " +
                          std::to_string(right ? right->size() : left.size()) + " and " +
                          std::to_string(scales.size()));
  }
  if (left.empty()) {
    if (overwrite) out.attr("fill")(0);
    return;
  }
  check_square(out, !right);
  const ContractionOptions options{threads, make_monitor(&progress), overwrite};
  for_dtypes(left[0].second, out, [&](auto input, auto result) {
    uses_into<decltype(input), decltype(result)>(left, right, scales, read_mode(mode), out, order,
                                                 options);
  });
}

void contract_jacobians(const py::array& left, const std::optional<py::array>& right,
                        const std::string& mode, py::array out, int threads,
                        const py::object& progress) {
  check_square(out, !right);
  const ContractionOptions options{threads, make_monitor(&progress), false};
  for_dtypes(left, out, [&](auto input, auto result) {
    jacobians_into<decltype(input), decltype(result)>(left, right, read_mode(mode), out, options);
  });
}

template <class R>
void mirror(py::array& out, Mode mode, const ContractionOptions& options) {
  const auto kernel = read_kernel<R>(out, mode, 0);
  const py::gil_scoped_release release;
  ntkfast::tangent::mirror_kernel(kernel, options);
}

py::array large_array(std::vector<py::ssize_t> shape, bool narrow, bool reuse) {
  if (narrow) return ntkfast::result_array<float>(std::move(shape), reuse);
  return ntkfast::result_array<double>(std::move(shape), reuse);
}

void mirror_kernel(py::array out, const std::string& mode, int threads) {
  check_square(out, true);
  const ContractionOptions options{threads, make_monitor(nullptr), false};
  if (py::isinstance<py::array_t<float>>(out)) {
    mirror<float>(out, read_mode(mode), options);
  } else if (py::isinstance<py::array_t<double>>(out)) {
    mirror<double>(out, read_mode(mode), options);
  } else {
    throw py::type_error("out must be float32 or float64");
  }
}

}  // namespace

void register_tangent(py::module_& module) {
  module.def("contract_uses", &contract_uses, py::arg("left"), py::arg("right"), py::arg("scales"),
             py::arg("mode"), py::arg("out").noconvert(), py::arg("threads"),
             py::arg("progress") = py::none(), py::arg("order") = "auto",
             py::arg("overwrite") = false);
  module.def("large_array", &large_array, py::arg("shape"), py::arg("narrow"), py::arg("reuse"));
  module.def("contract_jacobians", &contract_jacobians, py::arg("left").noconvert(),
             py::arg("right").noconvert(), py::arg("mode"), py::arg("out").noconvert(),
             py::arg("threads"), py::arg("progress") = py::none());
  module.def("mirror_kernel", &mirror_kernel, py::arg("out").noconvert(), py::arg("mode"),
             py::arg("threads"));
}
