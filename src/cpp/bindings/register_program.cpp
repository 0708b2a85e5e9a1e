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
      .def("input", &ProgramBuilder::input)
      .def("dense", &ProgramBuilder::dense, py::arg("value"), py::arg("W_std"), py::arg("b_std"),
           py::arg("trainable"))
      .def("activation", &ProgramBuilder::activation, py::arg("value"), py::arg("name"),
           py::arg("params"))
      .def("output", &ProgramBuilder::output, py::arg("value"))
      .def("build", &ProgramBuilder::build);
  module.def("activations", &ntkfast::activation_names);
}
