#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings/bindings.hpp"
#include "bindings/monitor.hpp"
#include "bindings/results.hpp"
#include "cpu/gram.hpp"
#include "program/row_tables.hpp"
#include "spatial/gram.hpp"
#include "spatial/root_range.hpp"

namespace py = pybind11;
using ntkfast::Program;
using ntkfast::bindings::is_images;
using ntkfast::bindings::Outputs;
using ntkfast::bindings::Results;
using ntkfast::bindings::Rows;

namespace {

template <class T>
std::pair<Results, Results> gram(const Program& program, const Rows<T>& x,
                                 const std::optional<Rows<T>>& z, bool nngp, bool ntk, int threads,
                                 const std::string& isa, bool reuse_memory,
                                 const py::object& progress) {
  const bool images = is_images(program, x);
  if (z && is_images(program, *z) != images) throw py::value_error("x and z must have one rank");
  const py::ssize_t n = x.shape(0), d = x.shape(1), m = z ? z->shape(0) : n;
  if (z && z->shape(1) != d) throw py::value_error("x and z must have the same number of columns");
  Outputs<T> outputs(program, {n, m}, nngp, ntk, reuse_memory);
  const ntkfast::cpu::GramOptions options{threads, isa, make_monitor(&progress)};
  const T* rows_x = x.data();
  const T* rows_z = z ? z->data() : nullptr;
  {
    const py::gil_scoped_release release;  // minutes of pure C++: other Python threads go on
    if (images) {
      ntkfast::spatial::gram<T>(program, rows_x, n, rows_z, m, outputs.pointers, options);
    } else {
      ntkfast::cpu::gram<T>(program, rows_x, n, rows_z, m, d, outputs.pointers, options);
    }
  }
  return {std::move(outputs.nngp), std::move(outputs.ntk)};
}

template <class T>
std::pair<Results, Results> diag(const Program& program, const Rows<T>& x, bool nngp, bool ntk,
                                 int threads, const std::string& isa) {
  Outputs<T> outputs(program, {x.shape(0)}, nngp, ntk, false);
  const ntkfast::cpu::GramOptions options{threads, isa, make_monitor(nullptr)};
  const T* rows = x.data();
  const bool images = is_images(program, x);
  const py::ssize_t n = x.shape(0), d = x.shape(1);
  {
    const py::gil_scoped_release release;
    if (images) {
      ntkfast::spatial::diagonal<T>(program, rows, n, outputs.pointers, options);
    } else {
      ntkfast::cpu::diagonal<T>(program, rows, n, d, outputs.pointers, options);
    }
  }
  return {std::move(outputs.nngp), std::move(outputs.ntk)};
}

template <class T>
double conditioning(const Program& program, const Rows<T>& x, int threads, const std::string& isa) {
  const ntkfast::cpu::GramOptions options{threads, isa, make_monitor(nullptr)};
  const T* rows = x.data();
  const py::ssize_t n = x.shape(0), d = x.shape(1);
  const py::gil_scoped_release release;
  return ntkfast::cpu::conditioning<T>(program, rows, n, d, options);
}

// Smallest and largest root of the first output over images; see spatial/root_range.hpp.
template <class T>
std::pair<double, double> root_range(const Program& program, const Rows<T>& x,
                                     const std::string& name, int threads, const std::string& isa) {
  if (!is_images(program, x)) throw py::value_error("x must hold images");
  const ntkfast::cpu::GramOptions options{threads, isa, make_monitor(nullptr)};
  const T* images = x.data();
  const py::ssize_t n = x.shape(0);
  const py::gil_scoped_release release;
  const auto range = ntkfast::spatial::root_range<T>(program, images, n, name.c_str(), options);
  return {range.low, range.high};
}

template <class T>
std::vector<double> input_roots(const Rows<T>& x, int threads, const std::string& isa) {
  const ntkfast::cpu::GramOptions options{threads, isa, make_monitor(nullptr)};
  const T* rows = x.data();
  const py::ssize_t n = x.shape(0), d = x.shape(1);
  const py::gil_scoped_release release;
  return ntkfast::cpu::input_roots<T>(rows, n, d, options);
}

// sqrt(K_ii) of the first output for rows of the given sqrt(q): in double.
std::vector<double> output_roots(const Program& program, const std::vector<double>& p,
                                 const std::string& name) {
  const auto rows = static_cast<std::int64_t>(p.size());
  const py::gil_scoped_release release;
  const ntkfast::RowTables<double> table(program, p.data(), rows, 0, name.c_str());
  return {table.root(0), table.root(0) + rows};
}

template <class T>
void register_for_dtype(py::module_& module) {
  module.def("gram", &gram<T>, py::arg("program"), py::arg("x").noconvert(),
             py::arg("z").noconvert(), py::arg("nngp"), py::arg("ntk"), py::arg("threads"),
             py::arg("isa"), py::arg("reuse_memory"), py::arg("progress"));
  module.def("diag", &diag<T>, py::arg("program"), py::arg("x").noconvert(), py::arg("nngp"),
             py::arg("ntk"), py::arg("threads") = 1, py::arg("isa") = "");
  module.def("input_roots", &input_roots<T>, py::arg("x").noconvert(), py::arg("threads") = 1,
             py::arg("isa") = "");
  module.def("root_range", &root_range<T>, py::arg("program"), py::arg("x").noconvert(),
             py::arg("name"), py::arg("threads") = 1, py::arg("isa") = "");
  module.def("conditioning", &conditioning<T>, py::arg("program"), py::arg("x").noconvert(),
             py::arg("threads") = 1, py::arg("isa") = "");
}

}  // namespace

void register_gram(py::module_& module) {
  register_for_dtype<float>(module);
  register_for_dtype<double>(module);
  module.def("output_roots", &output_roots, py::arg("program"), py::arg("p"), py::arg("name"));
  module.def(
      "spatial_cost",
      [](const Program& program, std::int64_t n, std::int64_t m, std::int64_t itemsize,
         int threads) {
        const auto cost = ntkfast::spatial::plan_cost(program, n, m, itemsize, threads);
        return std::tuple{cost.offsets, cost.lanes, cost.workspace_bytes, cost.stages};
      },
      py::arg("program"), py::arg("n"), py::arg("m"), py::arg("itemsize"), py::arg("threads"));
  module.def("workspace_bytes", &ntkfast::cpu::workspace_bytes, py::arg("program"), py::arg("n"),
             py::arg("m"), py::arg("d"), py::arg("itemsize"), py::arg("threads"));
}
