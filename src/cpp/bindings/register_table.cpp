#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <vector>

#include "bindings/bindings.hpp"
#include "program/dual_table.hpp"

namespace py = pybind11;
using ntkfast::DualTable;

void register_table(py::module_& module) {
  py::class_<DualTable, std::shared_ptr<DualTable>>(module, "DualTable",
                                                    "An activation fitted over a range of rows.")
      .def(py::init([](double low, double high, double stretch, double at_zero,
                       std::array<std::vector<double>, 5> rows, bool odd, bool even, bool pure,
                       bool mixed, bool nonnegative, int degree_t, int degree_x, bool kinked,
                       int roots, double kappa, std::vector<double> pair,
                       std::vector<double> excess) {
             return std::make_shared<DualTable>(DualTable::Data{
                 low, high, stretch, at_zero, std::move(rows), odd, even, pure, mixed, nonnegative,
                 degree_t, degree_x, kinked, roots, kappa, std::move(pair), std::move(excess)});
           }),
           py::kw_only(), py::arg("low"), py::arg("high"), py::arg("stretch"), py::arg("at_zero"),
           py::arg("rows"), py::arg("odd"), py::arg("even"), py::arg("pure"), py::arg("mixed"),
           py::arg("nonnegative"), py::arg("degree_t"), py::arg("degree_x"), py::arg("kinked"),
           py::arg("roots"), py::arg("kappa"), py::arg("pair"), py::arg("excess"))
      .def(
          "map_numbers",
          [](const DualTable& table, bool single) {
            return single ? table.map_numbers<float>() : table.map_numbers<double>();
          },
          py::arg("single"))
      .def_static(
          "map_error",
          [](bool single) {
            return single ? DualTable::kLeftOut<float> : DualTable::kLeftOut<double>;
          },
          py::arg("single"));
}
