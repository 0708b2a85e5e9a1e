// Products of a kernel with vectors, for Python.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>

#include "bindings/bindings.hpp"
#include "bindings/monitor.hpp"
#include "cpu/gram_operator.hpp"

namespace py = pybind11;
using ntkfast::Program;

namespace {

template <class T>
using Rows = py::array_t<T, py::array::c_style>;

// Keeps the arrays and the program alive that the operator reads.
template <class T>
class Operator {
 public:
  Operator(py::object program, Rows<T> x, std::optional<Rows<T>> z, bool ntk, int threads,
           const std::string& isa)
      : program_(std::move(program)), x_(std::move(x)), z_(std::move(z)) {
    const py::ssize_t n = x_.shape(0), d = x_.shape(1), m = z_ ? z_->shape(0) : n;
    if (z_ && z_->shape(1) != d) {
      throw py::value_error("x and z must have the same number of columns");
    }
    const auto& network = program_.cast<const Program&>();
    const T* const rows_x = x_.data();
    const T* const rows_z = z_ ? z_->data() : nullptr;
    const ntkfast::cpu::GramOptions options{threads, isa, make_monitor(nullptr)};
    const py::gil_scoped_release release;
    operator_ = std::make_unique<ntkfast::cpu::GramOperator<T>>(network, rows_x, n, rows_z, m, d,
                                                                ntk, options);
  }

  py::array_t<double> multiply(const Rows<double>& v, bool transposed,
                               const py::object& progress) const {
    const py::ssize_t rows = transposed ? operator_->columns() : operator_->rows();
    const py::ssize_t met = transposed ? operator_->rows() : operator_->columns();
    if (v.ndim() != 2 || v.shape(0) != met) throw py::value_error("v has the wrong shape");
    const py::ssize_t count = v.shape(1);
    py::array_t<double> out({rows, count});
    const double* const from = v.data();
    double* const to = out.mutable_data();
    {
      const py::gil_scoped_release release;
      operator_->multiply(from, count, transposed, to, make_monitor(&progress));
    }
    return out;
  }

 private:
  py::object program_;
  Rows<T> x_;
  std::optional<Rows<T>> z_;
  std::unique_ptr<ntkfast::cpu::GramOperator<T>> operator_;
};

template <class T>
void register_for_dtype(py::module_& module, const char* name) {
  py::class_<Operator<T>>(module, name)
      .def(py::init<py::object, Rows<T>, std::optional<Rows<T>>, bool, int, const std::string&>(),
           py::arg("program"), py::arg("x").noconvert(), py::arg("z").noconvert(), py::arg("ntk"),
           py::arg("threads"), py::arg("isa"))
      .def("multiply", &Operator<T>::multiply, py::arg("v").noconvert(), py::arg("transposed"),
           py::arg("progress"));
}

}  // namespace

void register_operator(py::module_& module) {
  register_for_dtype<float>(module, "FloatOperator");
  register_for_dtype<double>(module, "DoubleOperator");
  module.def("operator_bytes", &ntkfast::cpu::operator_bytes, py::arg("program"), py::arg("n"),
             py::arg("m"), py::arg("d"), py::arg("itemsize"), py::arg("threads"), py::arg("count"));
}
