// Tangent kernels from inputs and signals, for Python.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.hpp"
#include "contraction.hpp"

namespace py = pybind11;
using ntkfast::cuda::ContractionSettings;
using ntkfast::cuda::ContractionShape;
using ntkfast::tangent::Layer;
using ntkfast::tangent::Mode;

namespace {

using Pair = std::pair<py::array, py::array>;  // inputs (n, U, fan_in), signals (n, O, U, units)
using Sides = std::vector<Pair>;
using Scales = std::vector<std::pair<double, double>>;

Mode read_mode(const std::string& mode) {
  if (mode == "full") return Mode::kFull;
  if (mode == "trace") return Mode::kTrace;
  if (mode == "diagonal") return Mode::kDiagonal;
  throw py::value_error("mode must be 'full', 'trace' or 'diagonal', got '" + mode + "'");
}

template <class T>
const T* read(const py::array& array, const std::vector<py::ssize_t>& shape) {
  if (!py::isinstance<py::array_t<T, py::array::c_style>>(array)) {
    throw py::type_error("inputs and signals must be C-contiguous arrays of one dtype");
  }
  if (std::vector<py::ssize_t>(array.shape(), array.shape() + array.ndim()) != shape) {
    throw py::value_error("inputs and signals must have matching shapes");
  }
  for (py::ssize_t k = 1, row = 1; k < array.ndim(); ++k) {
    row *= std::max<py::ssize_t>(1, array.shape(k));
    if (row > std::numeric_limits<int>::max() / static_cast<py::ssize_t>(sizeof(T))) {
      throw py::value_error("a sample's inputs or signals must have fewer than 2^31 bytes");
    }
  }
  return static_cast<const T*>(array.data());
}

template <class T>
py::array contract(const Sides& left, const std::optional<Sides>& right, const Scales& scales,
                   Mode mode, const ContractionSettings& settings) {
  const py::ssize_t outputs = left[0].second.shape(1), n = left[0].second.shape(0);
  const py::ssize_t m = right ? (*right)[0].second.shape(0) : n;
  std::vector<Layer<T>> layers;
  for (std::size_t k = 0; k < left.size(); ++k) {
    const auto& [a, s] = left[k];
    if (a.ndim() != 3 || s.ndim() != 4) throw py::value_error("inputs or signals of another rank");
    const py::ssize_t uses = a.shape(1), fan_in = a.shape(2), units = s.shape(3);
    Layer<T> layer{read<T>(a, {n, uses, fan_in}),
                   read<T>(s, {n, outputs, uses, units}),
                   nullptr,
                   nullptr,
                   uses,
                   fan_in,
                   units,
                   scales[k].first,
                   scales[k].second};
    if (right) {
      layer.a_other = read<T>((*right)[k].first, {m, uses, fan_in});
      layer.s_other = read<T>((*right)[k].second, {m, outputs, uses, units});
    }
    layers.push_back(layer);
  }
  std::vector<py::ssize_t> shape{n, m};
  if (mode == Mode::kFull) shape = {n, outputs, m, outputs};
  if (mode == Mode::kDiagonal) shape = {outputs, n, m};
  py::array_t<T> out(shape);
  T* const to = out.mutable_data();
  {
    const py::gil_scoped_release release;
    ntkfast::cuda::contract(layers, {mode, n, m, outputs}, to, settings);
  }
  return out;
}

py::array contract_uses(const Sides& left, const std::optional<Sides>& right, const Scales& scales,
                        const std::string& mode, int device, std::int64_t block_edge,
                        const py::object& progress) {
  if (left.empty() || scales.size() != left.size() || (right && right->size() != left.size())) {
    throw py::value_error("left, right and scales must have one entry for each weight");
  }
  for (const auto* side : {&left, right ? &*right : nullptr}) {
    if (side != nullptr && (*side)[0].second.ndim() != 4) {
      throw py::value_error("inputs or signals of another rank");
    }
  }
  const auto monitor = [&progress](std::int64_t done, std::int64_t total) {
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (!progress.is_none()) progress(done, total);
  };
  const ContractionSettings settings{device, block_edge, monitor};
  const Mode which = read_mode(mode);
  if (py::isinstance<py::array_t<float>>(left[0].second)) {
    return contract<float>(left, right, scales, which, settings);
  }
  return contract<double>(left, right, scales, which, settings);
}

}  // namespace

void register_contraction(py::module_& module) {
  module.def("contract_uses", &contract_uses, py::arg("left"), py::arg("right"), py::arg("scales"),
             py::arg("mode"), py::arg("device"), py::arg("block_edge"), py::arg("progress"));
}
