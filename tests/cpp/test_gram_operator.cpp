// Products of a kernel with vectors on the CPU: against the kernel itself, symmetric, cross and
// transposed, with the same bits for every number of threads.
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

#include "cpu/gram_operator.hpp"
#include "doctest.h"
#include "gram_case.hpp"
#include "product_case.hpp"

namespace {

using gram_case::Program;
using ntkfast::cpu::GramOperator;
using ntkfast::cpu::GramOptions;

template <class T>
std::vector<double> multiply(const Program& program, const std::vector<T>& x,
                             const std::vector<T>* z, std::int64_t d, bool ntk,
                             const std::vector<double>& v, std::int64_t count, bool transposed,
                             int threads = 1) {
  const auto n = static_cast<std::int64_t>(x.size()) / d;
  const auto m = z == nullptr ? n : static_cast<std::int64_t>(z->size()) / d;
  GramOptions options;
  options.threads = threads;
  const GramOperator<T> kernel(program, x.data(), n, z == nullptr ? nullptr : z->data(), m, d, ntk,
                               options);
  std::vector<double> out(static_cast<std::size_t>((transposed ? m : n) * count),
                          std::numeric_limits<double>::quiet_NaN());
  kernel.multiply(v.data(), count, transposed, out.data(), {});
  return out;
}

template <class T>
void check(const Program& program, const std::vector<T>& x, const std::vector<T>* z, std::int64_t d,
           std::int64_t count) {
  const auto kernels = gram_case::gram<T>(program, x, z, d, {}, 1);
  for (const bool ntk : {false, true}) {
    for (const bool transposed : {false, true}) {
      const auto v = product_case::vectors(transposed ? kernels.n : kernels.m, count, 5);
      const auto got = multiply(program, x, z, d, ntk, v, count, transposed);
      CAPTURE(ntk);
      CAPTURE(transposed);
      CHECK(product_case::worst_error(ntk ? kernels.ntk[0] : kernels.nngp[0], kernels.n, kernels.m,
                                      v, count, transposed, got) <= 1);
      CHECK(multiply(program, x, z, d, ntk, v, count, transposed, 3) == got);
    }
  }
}

TEST_CASE_TEMPLATE("every network, symmetric and cross", T, float, double) {
  const std::int64_t d = 9;
  const auto x = gram_case::rows<T>(61, d, 1, true), z = gram_case::rows<T>(40, d, 2, true);
  for (const char* name : gram_case::kNetworks) {
    CAPTURE(name);
    check<T>(gram_case::network(name), x, nullptr, d, 3);
    check<T>(gram_case::network(name), x, &z, d, 3);
  }
}

TEST_CASE_TEMPLATE("several tiles, more vectors than one call of BLAS takes", T, float, double) {
  const std::int64_t d = 5;
  const auto x = gram_case::rows<T>(700, d, 3, true), z = gram_case::rows<T>(530, d, 4);
  const Program program = gram_case::network("relu with bias");
  for (const std::int64_t count : {1, 7, 70}) {
    CAPTURE(count);
    check<T>(program, x, nullptr, d, count);
    check<T>(program, x, &z, d, count);
    check<T>(program, z, &x, d, count);
  }
}

TEST_CASE_TEMPLATE("one row, no rows, no vectors", T, float, double) {
  const std::int64_t d = 4;
  const auto one = gram_case::rows<T>(1, d, 5), x = gram_case::rows<T>(7, d, 6);
  const Program program = gram_case::network("erf");
  check<T>(program, one, nullptr, d, 2);
  check<T>(program, one, &x, d, 2);
  check<T>(program, x, &one, d, 2);
  std::vector<T> none;
  none.reserve(1);  // a null pointer would mean a symmetric Gram
  CHECK(multiply<T>(program, none, nullptr, d, true, {}, 2, false).empty());
  CHECK(multiply<T>(program, x, &none, d, true, {}, 2, false) == std::vector<double>(14, 0.0));
  CHECK(multiply<T>(program, x, nullptr, d, true, {}, 0, false).empty());
}

TEST_CASE_TEMPLATE("rows and vectors of any size", T, float, double) {
  const std::int64_t d = 6;
  auto x = gram_case::rows<T>(300, d, 7, true);
  const T sizes[] = {T(1e-15), T(1), T(1e15), T(0)};
  for (std::size_t k = 0; k < x.size(); ++k) x[k] *= sizes[k / static_cast<std::size_t>(d) % 4];
  const Program program = gram_case::network("relu");
  check<T>(program, x, nullptr, d, 3);
  const auto v = product_case::vectors(300, 3, 5);
  const auto got = multiply<T>(program, x, nullptr, d, true, v, 3, false);
  for (const int exponent : {-900, 900}) {
    auto scaled = v;
    for (double& entry : scaled) entry = std::ldexp(entry, exponent);
    const auto large = multiply<T>(program, x, nullptr, d, true, scaled, 3, false);
    for (std::size_t k = 0; k < got.size(); ++k) {
      CHECK(large[k] == std::ldexp(got[k], exponent));
    }
  }
}

TEST_CASE("tables that are made slab by slab in every product change no bit") {
  const std::int64_t d = 3, n = 1300, m = 1100;
  const auto x = gram_case::rows<double>(n, d, 8), z = gram_case::rows<double>(m, d, 9);
  const Program program = gram_case::network("relu with bias");
  for (const double* other : {static_cast<const double*>(nullptr), z.data()}) {
    const auto v = product_case::vectors(other == nullptr ? n : m, 2, 5);
    std::vector<double> got[2];
    for (const std::int64_t bytes : {0, 1}) {
      const GramOperator<double> kernel(program, x.data(), n, other, m, d, true, {}, bytes);
      got[bytes].resize(static_cast<std::size_t>(2 * n));
      kernel.multiply(v.data(), 2, false, got[bytes].data(), {});
    }
    CHECK(got[0] == got[1]);
  }
}

TEST_CASE("vectors that are not finite are refused") {
  const auto x = gram_case::rows<float>(3, 2, 9);
  for (const double bad :
       {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_AS((void)multiply<float>(gram_case::network("relu"), x, nullptr, 2, true,
                                          {1, bad, 2}, 1, false),
                    std::invalid_argument);
  }
}

}  // namespace
