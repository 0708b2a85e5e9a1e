// Jobs of images for devices: what another extension module computes with, and the results it
// fills.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "bindings/bindings.hpp"
#include "bindings/job_capsule.hpp"
#include "bindings/monitor.hpp"
#include "bindings/results.hpp"
#include "device/image_job.hpp"

namespace py = pybind11;
using ntkfast::Program;
using ntkfast::bindings::Outputs;
using ntkfast::bindings::Results;
using ntkfast::bindings::Rows;

namespace {

// All that a capsule keeps alive: what the job reads and writes.
template <class T>
struct OwnedImages {
  py::object program;
  Rows<T> x;
  std::optional<Rows<T>> z;
  Outputs<T> outputs;
  std::unique_ptr<ntkfast::device::HostImages<T>> job;
};

template <class T>
std::tuple<py::capsule, Results, Results> image_job(const py::object& program, const Rows<T>& x,
                                                    const std::optional<Rows<T>>& z, bool nngp,
                                                    bool ntk, int threads, const std::string& isa,
                                                    bool reuse_memory) {
  const auto& network = program.cast<const Program&>();
  if (!ntkfast::bindings::is_images(network, x) ||
      (z && !ntkfast::bindings::is_images(network, *z))) {
    throw py::value_error("x and z must be images");
  }
  const py::ssize_t n = x.shape(0), m = z ? z->shape(0) : n;
  std::unique_ptr<OwnedImages<T>> owned(new OwnedImages<T>{
      program, x, z, Outputs<T>(network, {n, m}, nngp, ntk, reuse_memory), nullptr});
  const ntkfast::cpu::GramOptions options{threads, isa, make_monitor(nullptr)};
  const T* const images_x = x.data();
  const T* const images_z = z ? z->data() : nullptr;
  {
    const py::gil_scoped_release release;
    owned->job = ntkfast::device::make_image_job<T>(network, images_x, n, images_z, m,
                                                    owned->outputs.pointers, options);
  }
  Results K = owned->outputs.nngp, T_results = owned->outputs.ntk;
  // The capsule points to the job, its context to what owns it.
  PyObject* const capsule = PyCapsule_New(
      owned->job.get(), ntkfast::device::image_capsule_name<T>(),
      [](PyObject* self) { delete static_cast<OwnedImages<T>*>(PyCapsule_GetContext(self)); });
  if (capsule == nullptr) throw py::error_already_set();
  (void)PyCapsule_SetContext(capsule, owned.release());
  return {py::reinterpret_steal<py::capsule>(capsule), std::move(K), std::move(T_results)};
}

template <class T>
void register_for_dtype(py::module_& module) {
  module.def("image_job", &image_job<T>, py::arg("program"), py::arg("x").noconvert(),
             py::arg("z").noconvert(), py::arg("nngp"), py::arg("ntk"), py::arg("threads"),
             py::arg("isa"), py::arg("reuse_memory"));
}

}  // namespace

void register_images(py::module_& module) {
  register_for_dtype<float>(module);
  register_for_dtype<double>(module);
  module.def("image_job_bytes", &ntkfast::device::image_job_bytes, py::arg("program"), py::arg("n"),
             py::arg("m"), py::arg("itemsize"));
}
