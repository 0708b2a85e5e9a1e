#include <pybind11/stl.h>

#include "bindings/bindings.hpp"
#include "program/program.hpp"

namespace py = pybind11;
using ntkfast::Padding;
using ntkfast::Program;
using ntkfast::ProgramBuilder;
using ntkfast::SpatialWindow;

namespace {

SpatialWindow make_window(std::array<int, 2> size, std::array<int, 2> strides,
                          const std::string& padding) {
  return {size, strides,
          padding == "VALID"  ? Padding::Valid
          : padding == "SAME" ? Padding::Same
                              : Padding::Circular};
}

}  // namespace

void register_program(py::module_& module) {
  py::class_<Program>(module, "Program", "A network as operations over numbered values.");
  py::class_<ProgramBuilder>(module, "Builder", "Makes a Program, checking that it is legal.")
      .def(py::init<>())
      .def("input", &ProgramBuilder::input, py::arg("columns") = ntkfast::kAnyWidth)
      .def("image", &ProgramBuilder::image, py::arg("height"), py::arg("width"),
           py::arg("channels"))
      .def(
          "conv",
          [](ProgramBuilder& builder, int value, double weight_std, std::optional<double> bias_std,
             bool trainable, std::array<int, 2> filter, std::array<int, 2> strides,
             const std::string& padding, int channels, std::optional<double> scale) {
            return builder.conv(value, weight_std, bias_std, trainable,
                                make_window(filter, strides, padding), channels, scale);
          },
          py::arg("value"), py::arg("W_std"), py::arg("b_std"), py::arg("trainable"),
          py::arg("filter_shape"), py::arg("strides"), py::arg("padding"), py::arg("out_chan"),
          py::arg("scale"))
      .def(
          "pool",
          [](ProgramBuilder& builder, int value, bool mean, std::array<int, 2> window,
             std::array<int, 2> strides, const std::string& padding, bool normalize_edges) {
            return builder.pool(value, mean, make_window(window, strides, padding),
                                normalize_edges);
          },
          py::arg("value"), py::arg("mean"), py::arg("window_shape"), py::arg("strides"),
          py::arg("padding"), py::arg("normalize_edges"))
      .def("flatten", &ProgramBuilder::flatten, py::arg("value"))
      .def("global_pool", &ProgramBuilder::global_pool, py::arg("value"), py::arg("mean"))
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
      .def("probe", &ProgramBuilder::probe, py::arg("value"))
      .def("build", &ProgramBuilder::build);
  module.def("activations", &ntkfast::activation_names);
}
