#include "bindings/bindings.hpp"
#include "error.hpp"

// KernelOverflow is a std::overflow_error and std::bad_alloc is itself: pybind11 maps both.
void register_errors(pybind11::module_& module) {
  pybind11::register_exception<ntkfast::ArchitectureError>(module, "ArchitectureError",
                                                           PyExc_ValueError);
}
