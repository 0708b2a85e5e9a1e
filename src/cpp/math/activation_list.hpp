// The one list of activations: X(name, dual, parameter names). Enum, names, dispatch tables and the
// Python listing are made from it.
#pragma once

#include "math/duals/abrelu.hpp"
#include "math/duals/clip.hpp"
#include "math/duals/erf.hpp"
#include "math/duals/exp.hpp"
#include "math/duals/gabor.hpp"
#include "math/duals/gaussian.hpp"
#include "math/duals/gelu.hpp"
#include "math/duals/rectified_monomial.hpp"
#include "math/duals/sign.hpp"
#include "math/duals/sinusoid.hpp"

#define NTKFAST_ACTIVATIONS(X)                      \
  X(ABRelu, AbRelu, "a, b")                         \
  X(Clip, Clip, "min, max")                         \
  X(Erf, Erf, "a, b, c")                            \
  X(Gelu, Gelu, "none")                             \
  X(RectifiedMonomial, RectifiedMonomial, "degree") \
  X(Sign, Sign, "none")                             \
  X(Sinusoid, Sinusoid, "s, c, b")                  \
  X(Rbf, Rbf, "gamma")                              \
  X(Exp, Exp, "a, b")                               \
  X(ExpNormalized, ExpNormalized, "gamma, shift")   \
  X(Gaussian, Gaussian, "a, b")                     \
  X(Gabor, Gabor, "none")
