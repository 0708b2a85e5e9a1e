// Products of a kernel with vectors, for Python. Jobs come from ntkfast._core as capsules.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <mutex>
#include <vector>

#include "bindings.hpp"
#include "bindings/job_capsule.hpp"
#include "gram_product.hpp"

namespace py = pybind11;
using ntkfast::cuda::GramProduct;
using ntkfast::cuda::ProductSettings;

namespace {

// Keeps the job alive that its product reads. Calls of several threads take turns.
class Operator {
  template <class F>
  auto visit(const F& function) {
    return float_ ? function(*float_) : function(*double_);
  }

 public:
  Operator(py::capsule job, bool ntk, const std::vector<int>& devices, std::int64_t block_edge)
      : job_(std::move(job)) {
    if (devices.empty()) throw py::value_error("no device");
    const ProductSettings settings{devices, ntk, block_edge};
    const auto* single = ntkfast::device::job_in_capsule<float>(job_);
    const auto* twofold = ntkfast::device::job_in_capsule<double>(job_);
    if (single == nullptr && twofold == nullptr) {
      throw py::type_error("job must come from ntkfast._core of the same build");
    }
    const py::gil_scoped_release release;
    if (single != nullptr) {
      float_ = std::make_unique<GramProduct<float>>(*single, settings);
    } else {
      double_ = std::make_unique<GramProduct<double>>(*twofold, settings);
    }
  }

  py::array_t<double> multiply(const py::array_t<double, py::array::c_style>& v, bool transposed,
                               const py::object& progress) {
    return visit([&](auto& product) {
      const py::ssize_t rows = transposed ? product.columns() : product.rows();
      const py::ssize_t met = transposed ? product.rows() : product.columns();
      if (v.ndim() != 2 || v.shape(0) != met) throw py::value_error("v has the wrong shape");
      const py::ssize_t count = v.shape(1);
      py::array_t<double> out({rows, count});
      const double* const from = v.data();
      double* const to = out.mutable_data();
      const auto monitor = [&progress](std::int64_t done, std::int64_t total) {
        const py::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
        if (!progress.is_none()) progress(done, total);
      };
      const py::gil_scoped_release release;
      const std::lock_guard lock(mutex_);
      product.multiply(from, count, transposed, to, monitor);
      return out;
    });
  }

  std::vector<double> time(std::int64_t count, int repeats) {
    return visit([&](auto& product) {
      const py::gil_scoped_release release;
      const std::lock_guard lock(mutex_);
      return product.time(count, repeats);
    });
  }

 private:
  py::capsule job_;
  std::mutex mutex_;
  std::unique_ptr<GramProduct<float>> float_;
  std::unique_ptr<GramProduct<double>> double_;
};

}  // namespace

void register_product(py::module_& module) {
  py::class_<Operator>(module, "Operator")
      .def(py::init<py::capsule, bool, const std::vector<int>&, std::int64_t>(), py::arg("job"),
           py::arg("ntk"), py::arg("devices"), py::arg("block_edge"))
      .def("multiply", &Operator::multiply, py::arg("v").noconvert(), py::arg("transposed"),
           py::arg("progress"))
      .def("time", &Operator::time, py::arg("count"), py::arg("repeats"));
}
