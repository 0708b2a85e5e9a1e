// Jobs for devices: what another extension module computes with.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>

#include "bindings/bindings.hpp"
#include "bindings/job_capsule.hpp"
#include "device/gram_job.hpp"

namespace py = pybind11;
using ntkfast::Program;

namespace {

template <class T>
using Rows = py::array_t<T, py::array::c_style>;

// All that a capsule keeps alive: the arrays and the program that the job points into.
template <class T>
struct OwnedJob {
  py::object program;
  Rows<T> x;
  std::optional<Rows<T>> z;
  std::unique_ptr<ntkfast::device::GramJob<T>> owner;
  ntkfast::device::HostJob<T> job;
};

template <class T>
py::capsule device_job(const py::object& program, const Rows<T>& x, const std::optional<Rows<T>>& z,
                       bool ntk, int threads, const std::string& isa, int kind) {
  const py::ssize_t n = x.shape(0), d = x.shape(1), m = z ? z->shape(0) : n;
  if (z && z->shape(1) != d) throw py::value_error("x and z must have the same number of columns");
  auto owned = std::make_unique<OwnedJob<T>>();
  owned->program = program;
  owned->x = x;
  owned->z = z;
  const auto& network = program.cast<const Program&>();
  const T* const rows_x = x.data();
  const T* const rows_z = z ? z->data() : nullptr;
  const ntkfast::Monitor monitor = [](std::int64_t, std::int64_t) {
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  };
  {
    const py::gil_scoped_release release;
    owned->owner = std::make_unique<ntkfast::device::GramJob<T>>(
        network, rows_x, n, rows_z, m, d, ntk,
        ntkfast::device::GramJobOptions{threads, isa, monitor,
                                        static_cast<ntkfast::device::ProductKind>(kind)});
    owned->job = owned->owner->job();
  }
  // The capsule points to the job, its context to what owns it.
  OwnedJob<T>* const raw = owned.get();
  PyObject* const capsule = PyCapsule_New(
      &raw->job, ntkfast::device::job_capsule_name<T>(),
      [](PyObject* self) { delete static_cast<OwnedJob<T>*>(PyCapsule_GetContext(self)); });
  if (capsule == nullptr) throw py::error_already_set();
  (void)PyCapsule_SetContext(capsule, owned.release());
  return py::reinterpret_steal<py::capsule>(capsule);
}

template <class T>
void register_for_dtype(py::module_& module) {
  module.def("device_job", &device_job<T>, py::arg("program"), py::arg("x").noconvert(),
             py::arg("z").noconvert(), py::arg("ntk"), py::arg("threads"), py::arg("isa"),
             py::arg("kind") = 0);
}

}  // namespace

void register_device(py::module_& module) {
  register_for_dtype<float>(module);
  register_for_dtype<double>(module);
  module.def("device_job_bytes", &ntkfast::device::job_bytes, py::arg("program"), py::arg("n"),
             py::arg("m"), py::arg("d"), py::arg("itemsize"));
}
