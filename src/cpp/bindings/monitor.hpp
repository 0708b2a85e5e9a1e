// The bridge from a core that reports progress to Python that may stop it.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

#include "backend/parallel.hpp"

// Runs on the calling thread without the GIL: takes it for a moment, so that Ctrl-C works.
inline ntkfast::Monitor make_monitor(const pybind11::object* progress) {
  return [progress](std::int64_t done, std::int64_t total) {
    const pybind11::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
    if (progress != nullptr && !progress->is_none()) (*progress)(done, total);
  };
}
