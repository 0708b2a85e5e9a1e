// The one list of activations: X(name, dual, parameter names). Enum, names, dispatch tables and the
// Python listing are made from it.
#pragma once

#include "math/duals/abrelu.hpp"
#include "math/duals/erf.hpp"
#include "math/duals/gelu.hpp"
#include "math/duals/rectified_monomial.hpp"
#include "math/duals/sign.hpp"

#define NTKFAST_ACTIVATIONS(X)                      \
  X(ABRelu, AbRelu, "a, b")                         \
  X(Erf, Erf, "a, b, c")                            \
  X(Gelu, Gelu, "none")                             \
  X(RectifiedMonomial, RectifiedMonomial, "degree") \
  X(Sign, Sign, "none")
