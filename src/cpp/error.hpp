// Typed exceptions. The bindings map each to one Python exception; nothing else crosses the border.
#pragma once

#include <stdexcept>

namespace ntkfast {

// A network that is not a legal kernel program: the message gives the reason.
struct ArchitectureError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// A kernel entry that would not be finite in the requested dtype.
struct KernelOverflow : std::overflow_error {
  using std::overflow_error::overflow_error;
};

// The caller asked to stop (Ctrl-C).
struct Interrupted : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace ntkfast
