// Products of a kernel with vectors on the CPU: the kernel never exists, memory grows with its
// rows.
#pragma once

#include <cstdint>
#include <memory>

#include "cpu/gram.hpp"

namespace ntkfast::cpu {

// K or T of every pair of rows of x and z (null: the symmetric Gram of x), prepared once; x, z and
// the program, of which the first output counts, must outlive this. Row tables of up to
// `table_bytes` per side (0: about the size of the rows) are kept between products. Throws what
// gram() throws.
template <class T>
class GramOperator {
 public:
  GramOperator(const Program& program, const T* x, std::int64_t n, const T* z, std::int64_t m,
               std::int64_t d, bool ntk, const GramOptions& options, std::int64_t table_bytes = 0);
  ~GramOperator();

  // out (n x count) = kernel v (m x count), or out (m x count) = kernel' v (n x count); row-major.
  // Bit-identical for every number of threads; may be called by several threads at once. Throws
  // Interrupted, std::bad_alloc, and std::invalid_argument for a v that is not finite.
  void multiply(const double* v, std::int64_t count, bool transposed, double* out,
                const Monitor& monitor) const;

  std::int64_t rows() const;
  std::int64_t columns() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

// Upper bound in bytes of what an operator holds and takes for a product with `count` vectors,
// beside inputs and result; m is 0 for a symmetric Gram.
std::int64_t operator_bytes(const Program& program, std::int64_t n, std::int64_t m, std::int64_t d,
                            std::int64_t itemsize, int threads, std::int64_t count);

}  // namespace ntkfast::cpu
