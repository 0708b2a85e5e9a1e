// Gram matrices on the CPU: Source (a product of centred rows) -> Program -> Sink, tile by tile.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "backend/parallel.hpp"
#include "program/program.hpp"

namespace ntkfast::cpu {

struct GramOptions {
  int threads = 1;
  std::string_view isa;  // empty: the fastest available
  Monitor monitor;       // progress and interrupts; may be empty
};

// Row-major results of one program output; null where not wanted.
template <class T>
struct GramOutput {
  T* nngp;
  T* ntk;
};

// K and T of every pair of rows. x is (n, d), z is (m, d); z null means the symmetric Gram of x, in
// which row i and column i are the same sample. All entries finite. Results are (n, m), one pair of
// pointers per program output. Bit-identical for every number of threads.
// Throws KernelOverflow, Interrupted, std::bad_alloc, std::invalid_argument (unknown isa).
template <class T>
void gram(const Program& program, const T* x, std::int64_t n, const T* z, std::int64_t m,
          std::int64_t d, const std::vector<GramOutput<T>>& outputs, const GramOptions& options);

// K_ii and T_ii of every row: O(n d).
template <class T>
void diagonal(const Program& program, const T* x, std::int64_t n, std::int64_t d,
              const std::vector<GramOutput<T>>& outputs, const GramOptions& options);

// p = sqrt(x.x / d) of every row, in double; refuses what is not finite.
template <class T>
std::vector<double> input_roots(const T* x, std::int64_t n, std::int64_t d,
                                const GramOptions& options);

// How much an error of the input correlation can grow: see RowTables::conditioning.
template <class T>
double conditioning(const Program& program, const T* x, std::int64_t n, std::int64_t d,
                    const GramOptions& options);

// Upper bound in bytes of what gram() allocates beside inputs and outputs.
std::int64_t workspace_bytes(const Program& program, std::int64_t n, std::int64_t m, std::int64_t d,
                             std::int64_t itemsize, int threads);

}  // namespace ntkfast::cpu
