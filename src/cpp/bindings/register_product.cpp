#include <pybind11/numpy.h>

#include "backend/product.hpp"
#include "bindings/bindings.hpp"
#include "bindings/monitor.hpp"
#include "bindings/result_array.hpp"

namespace py = pybind11;

namespace {

template <class T>
using Matrix = py::array_t<T, py::array::c_style>;

template <class T>
Matrix<T> product(const Matrix<T>& a, const Matrix<T>& b, bool transposed, double scale,
                  int threads, bool reuse) {
  if (a.ndim() != 2 || b.ndim() != 2 || a.shape(1) != b.shape(transposed ? 1 : 0)) {
    throw py::value_error("a and b must be matrices that can be multiplied");
  }
  const py::ssize_t m = a.shape(0), k = a.shape(1), n = b.shape(transposed ? 0 : 1);
  Matrix<T> c = ntkfast::result_array<T>({m, n}, reuse);
  const T *left = a.data(), *right = b.data();
  T* result = c.mutable_data();
  const auto monitor = make_monitor(nullptr);
  const py::gil_scoped_release release;
  ntkfast::product<T>(m, n, k, static_cast<T>(scale), left, right, transposed, result, threads,
                      monitor);
  return c;
}

template <class T>
void register_for_dtype(py::module_& module) {
  module.def("product", &product<T>, py::arg("a").noconvert(), py::arg("b").noconvert(),
             py::arg("transposed"), py::arg("scale"), py::arg("threads"), py::arg("reuse") = false);
}

}  // namespace

void register_product(py::module_& module) {
  register_for_dtype<float>(module);
  register_for_dtype<double>(module);
}
