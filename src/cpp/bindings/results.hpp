// Arrays that come from Python and go back there.
#pragma once

#include <pybind11/numpy.h>

#include <optional>
#include <utility>
#include <vector>

#include "bindings/result_array.hpp"
#include "cpu/gram.hpp"
#include "program/program.hpp"

namespace ntkfast::bindings {

namespace py = pybind11;

template <class T>
using Rows = py::array_t<T, py::array::c_style>;

using Results = std::vector<std::optional<py::array>>;

// The outputs of one call: arrays for Python, pointers for the engine.
template <class T>
struct Outputs {
  Results nngp, ntk;
  std::vector<ntkfast::cpu::GramOutput<T>> pointers;

  Outputs(const Program& program, const std::vector<py::ssize_t>& shape, bool want_nngp,
          bool want_ntk, bool reuse) {
    for (int k = 0; k < program.outputs; ++k) {
      pointers.push_back({add(nngp, shape, want_nngp, reuse), add(ntk, shape, want_ntk, reuse)});
    }
  }

  static T* add(Results& results, const std::vector<py::ssize_t>& shape, bool wanted, bool reuse) {
    if (!wanted) {
      results.emplace_back(std::nullopt);
      return nullptr;
    }
    auto array = result_array<T>(shape, reuse);
    T* data = array.mutable_data();
    results.emplace_back(std::move(array));
    return data;
  }
};

// Whether x holds images of the size that the program was made for; else rows.
template <class T>
inline bool is_images(const Program& program, const Rows<T>& x) {
  const ntkfast::Value& input = program.values.front();
  const bool images = input.grid.has_positions();
  if (x.ndim() != (images ? 4 : 2)) throw py::value_error("x has another rank than the program");
  if (images && (x.shape(1) != input.grid.height || x.shape(2) != input.grid.width ||
                 x.shape(3) != input.width)) {
    throw py::value_error("x holds images of another size than the program");
  }
  return images;
}

}  // namespace ntkfast::bindings
