#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "program/program.hpp"

namespace py = pybind11;
using ntkfast::Program;
using ntkfast::ProgramBuilder;

void register_program(py::module_& module) {
  py::class_<Program>(module, "Program", "A network as operations over numbered values.");
  py::class_<ProgramBuilder>(module, "Builder", "Makes a Program, checking that it is legal.")
      .def(py::init<>())
      .def("input", &ProgramBuilder::input, py::arg("columns") = ntkfast::kAnyWidth)
      .def("dense", &ProgramBuilder::dense, py::arg("value"), py::arg("W_std"), py::arg("b_std"),
           py::arg("trainable"), py::arg("width") = 1)
      .def("dense_standard", &ProgramBuilder::dense_standard, py::arg("value"), py::arg("W_std"),
           py::arg("b_std"), py::arg("trainable"), py::arg("width"), py::arg("scale"))
      .def("activation", &ProgramBuilder::activation, py::arg("value"), py::arg("name"),
           py::arg("params"))
      .def("hermite_series", &ProgramBuilder::hermite_series, py::arg("value"), py::arg("name"),
           py::arg("variance"), py::arg("coefficients"))
      .def("layer_norm", &ProgramBuilder::layer_norm, py::arg("value"), py::arg("eps"))
      .def("dropout", &ProgramBuilder::dropout, py::arg("value"), py::arg("keep"))
      .def("fan_in_sum", &ProgramBuilder::fan_in_sum, py::arg("value"), py::arg("other"))
      .def("fan_in_product", &ProgramBuilder::fan_in_product, py::arg("value"), py::arg("other"))
      .def("fan_in_concat", &ProgramBuilder::fan_in_concat, py::arg("value"), py::arg("other"))
      .def("table", &ProgramBuilder::table, py::arg("value"), py::arg("table"), py::arg("name"))
      .def("output", &ProgramBuilder::output, py::arg("value"))
      .def("build", &ProgramBuilder::build);
  module.def("activations", &ntkfast::activation_names);
}
