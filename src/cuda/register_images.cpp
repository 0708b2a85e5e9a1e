// Kernels of images for Python. Jobs come from ntkfast._core as capsules, with their results.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <vector>

#include "bindings.hpp"
#include "bindings/job_capsule.hpp"
#include "bindings/monitor.hpp"
#include "images.hpp"

namespace py = pybind11;

namespace {

// Fills the results that belong to the job.
void images(const py::capsule& job, const std::vector<int>& devices, const py::object& progress) {
  if (devices.empty()) throw py::value_error("no device");
  const ntkfast::cuda::ImageSettings settings{devices, 0, 0, make_monitor(&progress)};
  const auto* single = ntkfast::device::images_in_capsule<float>(job);
  const auto* twofold = ntkfast::device::images_in_capsule<double>(job);
  if (single == nullptr && twofold == nullptr) {
    throw py::type_error("job must come from ntkfast._core of the same build");
  }
  const py::gil_scoped_release release;
  single != nullptr ? ntkfast::cuda::run_images(*single, settings)
                    : ntkfast::cuda::run_images(*twofold, settings);
}

}  // namespace

void register_images(py::module_& module) {
  module.def("images", &images, py::arg("job"), py::arg("devices"), py::arg("progress"));
}
