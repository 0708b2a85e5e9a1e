// The one seam to BLAS.
#pragma once

#include <string>

namespace ntkfast {

// c(m x n) = a(m x k) b(n x k)^T + accumulate * c, all row-major, on the calling thread alone.
void multiply_transposed(int m, int n, int k, const float* a, int lda, const float* b, int ldb,
                         bool accumulate, float* c, int ldc);
void multiply_transposed(int m, int n, int k, const double* a, int lda, const double* b, int ldb,
                         bool accumulate, double* c, int ldc);

// c(m x n) = scale * a(m x k) b, b being (k x n), or (n x k) if transposed; likewise.
void multiply(int m, int n, int k, float scale, const float* a, int lda, const float* b, int ldb,
              bool transposed, float* c, int ldc);
void multiply(int m, int n, int k, double scale, const double* a, int lda, const double* b, int ldb,
              bool transposed, double* c, int ldc);

// c(m x n) = a(k x m)^T b(k x n), all row-major, on the calling thread alone.
void multiply_left_transposed(int m, int n, int k, const float* a, int lda, const float* b, int ldb,
                              float* c, int ldc);
void multiply_left_transposed(int m, int n, int k, const double* a, int lda, const double* b,
                              int ldb, double* c, int ldc);

// The lower triangle of c(n x n) = a(n x k) a^T + accumulate * c; the rest of c is left alone.
void multiply_by_own_transpose(int n, int k, const float* a, int lda, bool accumulate, float* c,
                               int ldc);
void multiply_by_own_transpose(int n, int k, const double* a, int lda, bool accumulate, double* c,
                               int ldc);

// Keeps BLAS on one thread per caller, because tiles are already dealt to threads. Called once
// before the first product; touches only the copy of BLAS that this library links.
void use_single_threaded_blas();

std::string blas_description();

}  // namespace ntkfast
