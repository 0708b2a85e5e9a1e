// Table of contents of ntkfast._core.
#include "bindings/bindings.hpp"

PYBIND11_MODULE(_core, module) {
  module.doc() = "C++ core of ntkfast (private: use the package's functions).";
  register_errors(module);
  register_table(module);
  register_program(module);
  register_gram(module);
  register_operator(module);
  register_product(module);
  register_tangent(module);
  register_device(module);
  register_images(module);
  register_info(module);
}
