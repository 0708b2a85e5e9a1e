// ntkfast._cuda: separate from _core, so that the package works where CUDA does not.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <tuple>

#include "bindings.hpp"
#include "devices.hpp"

namespace py = pybind11;

namespace {

using DeviceTuple = std::tuple<int, std::string, std::tuple<int, int>, std::size_t, std::size_t>;

std::vector<DeviceTuple> device_tuples() {
  std::vector<DeviceTuple> tuples;
  for (const ntkfast::cuda::Device& d : ntkfast::cuda::devices()) {
    tuples.emplace_back(d.index, d.name, std::tuple(d.major, d.minor), d.total_bytes, d.free_bytes);
  }
  return tuples;
}

}  // namespace

PYBIND11_MODULE(_cuda, m) {
  // The first call of each may wait seconds for the driver: let other Python threads run meanwhile.
  using NoGil = py::call_guard<py::gil_scoped_release>;
  m.doc() = "CUDA devices and kernels (private: use ntkfast.cuda)";
  m.def("device_count", &ntkfast::cuda::device_count, NoGil());
  m.def("devices", &device_tuples, NoGil());
  m.def("unavailable_reason", &ntkfast::cuda::unavailable_reason, NoGil());
  m.def("memory_seconds", &ntkfast::cuda::memory_seconds, py::arg("device"), py::arg("n_bytes"),
        py::arg("copy"), py::arg("repeats"), NoGil());
  register_contraction(m);
  register_gram(m);
  register_images(m);
  register_product(m);
  m.attr("architectures") = NTKFAST_CUDA_ARCHITECTURES;
}
