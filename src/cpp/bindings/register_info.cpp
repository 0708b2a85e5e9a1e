#include <pybind11/stl.h>

#include <atomic>

#include "backend/build_info.hpp"
#include "bindings/bindings.hpp"
#include "cpu/dispatch.hpp"

namespace py = pybind11;

namespace {
// Limit set from outside, 0 for none. threadpoolctl looks for these two C functions.
std::atomic<int> thread_limit{0};
}  // namespace

extern "C" {
__attribute__((visibility("default"))) int ntkfast_get_num_threads() { return thread_limit.load(); }
__attribute__((visibility("default"))) void ntkfast_set_num_threads(int threads) {
  thread_limit.store(threads > 0 ? threads : 0);
}
}

void register_info(py::module_& module) {
  module.def("isa_available", &ntkfast::cpu::available_isas);
  module.def("build_info", [] {
    py::dict info;
    for (const auto& [key, value] : ntkfast::build_info()) info[py::str(key)] = value;
    return info;
  });
  module.def("thread_limit", &ntkfast_get_num_threads);
}
