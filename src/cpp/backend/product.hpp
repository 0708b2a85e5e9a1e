// Matrix products dealt to the threads of one call.
//
// For passes through a network between two contractions: NumPy's own BLAS threads would go on
// spinning for some time after each product, on the cores that the contraction wants next.
#pragma once

#include <cstdint>

#include "backend/parallel.hpp"

namespace ntkfast {

// c(m x n) = scale * a(m x k) b, where b is (k x n), or (n x k) if `transposed`; C-contiguous. The
// bits do not depend on the number of threads. Throws std::invalid_argument beyond BLAS's sizes.
template <class T>
void product(std::int64_t m, std::int64_t n, std::int64_t k, T scale, const T* a, const T* b,
             bool transposed, T* c, int threads, const Monitor& monitor);

}  // namespace ntkfast
