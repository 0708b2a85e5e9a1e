#include "backend/blas.hpp"

#include <mutex>

#if defined(NTKFAST_BLAS_SCIPY_OPENBLAS)
// scipy-openblas32 prefixes every symbol, so it can live beside NumPy's and SciPy's copies.
#define NTKFAST_BLAS(name) scipy_##name
extern "C" {
void scipy_openblas_set_num_threads(int);
char* scipy_openblas_get_config();
char* scipy_openblas_get_corename();
}
#else
#define NTKFAST_BLAS(name) name
#endif

extern "C" {
void NTKFAST_BLAS(cblas_sgemm)(int order, int trans_a, int trans_b, int m, int n, int k,
                               float alpha, const float* a, int lda, const float* b, int ldb,
                               float beta, float* c, int ldc);
void NTKFAST_BLAS(cblas_dgemm)(int order, int trans_a, int trans_b, int m, int n, int k,
                               double alpha, const double* a, int lda, const double* b, int ldb,
                               double beta, double* c, int ldc);
void NTKFAST_BLAS(cblas_ssyrk)(int order, int triangle, int trans, int n, int k, float alpha,
                               const float* a, int lda, float beta, float* c, int ldc);
void NTKFAST_BLAS(cblas_dsyrk)(int order, int triangle, int trans, int n, int k, double alpha,
                               const double* a, int lda, double beta, double* c, int ldc);
#if !defined(NTKFAST_BLAS_SCIPY_OPENBLAS) && defined(__GNUC__)
// Present in a system OpenBLAS, absent elsewhere.
void openblas_set_num_threads(int) __attribute__((weak));
#endif
}

namespace ntkfast {
namespace {
constexpr int kRowMajor = 101, kNoTranspose = 111, kTranspose = 112, kLower = 122;
}

void multiply_transposed(int m, int n, int k, const float* a, int lda, const float* b, int ldb,
                         bool accumulate, float* c, int ldc) {
  NTKFAST_BLAS(cblas_sgemm)
  (kRowMajor, kNoTranspose, kTranspose, m, n, k, 1.0F, a, lda, b, ldb, accumulate ? 1.0F : 0.0F, c,
   ldc);
}

void multiply_transposed(int m, int n, int k, const double* a, int lda, const double* b, int ldb,
                         bool accumulate, double* c, int ldc) {
  NTKFAST_BLAS(cblas_dgemm)
  (kRowMajor, kNoTranspose, kTranspose, m, n, k, 1.0, a, lda, b, ldb, accumulate ? 1.0 : 0.0, c,
   ldc);
}

void multiply(int m, int n, int k, double scale, const double* a, int lda, const double* b, int ldb,
              bool transposed, double* c, int ldc) {
  NTKFAST_BLAS(cblas_dgemm)
  (kRowMajor, kNoTranspose, transposed ? kTranspose : kNoTranspose, m, n, k, scale, a, lda, b, ldb,
   0.0, c, ldc);
}

void multiply(int m, int n, int k, float scale, const float* a, int lda, const float* b, int ldb,
              bool transposed, float* c, int ldc) {
  NTKFAST_BLAS(cblas_sgemm)
  (kRowMajor, kNoTranspose, transposed ? kTranspose : kNoTranspose, m, n, k, scale, a, lda, b, ldb,
   0.0F, c, ldc);
}

void multiply_left_transposed(int m, int n, int k, const float* a, int lda, const float* b, int ldb,
                              float* c, int ldc) {
  NTKFAST_BLAS(cblas_sgemm)
  (kRowMajor, kTranspose, kNoTranspose, m, n, k, 1.0F, a, lda, b, ldb, 0.0F, c, ldc);
}

void multiply_left_transposed(int m, int n, int k, const double* a, int lda, const double* b,
                              int ldb, double* c, int ldc) {
  NTKFAST_BLAS(cblas_dgemm)
  (kRowMajor, kTranspose, kNoTranspose, m, n, k, 1.0, a, lda, b, ldb, 0.0, c, ldc);
}

void multiply_by_own_transpose(int n, int k, const float* a, int lda, bool accumulate, float* c,
                               int ldc) {
  NTKFAST_BLAS(cblas_ssyrk)
  (kRowMajor, kLower, kNoTranspose, n, k, 1.0F, a, lda, accumulate ? 1.0F : 0.0F, c, ldc);
}

void multiply_by_own_transpose(int n, int k, const double* a, int lda, bool accumulate, double* c,
                               int ldc) {
  NTKFAST_BLAS(cblas_dsyrk)
  (kRowMajor, kLower, kNoTranspose, n, k, 1.0, a, lda, accumulate ? 1.0 : 0.0, c, ldc);
}

void use_single_threaded_blas() {
  static std::once_flag once;
  std::call_once(once, [] {
#if defined(NTKFAST_BLAS_SCIPY_OPENBLAS)
    scipy_openblas_set_num_threads(1);
#elif defined(__GNUC__)
    if (openblas_set_num_threads != nullptr) openblas_set_num_threads(1);
#endif
  });
}

std::string blas_description() {
#if defined(NTKFAST_BLAS_SCIPY_OPENBLAS)
  return std::string(scipy_openblas_get_config()) + " (kernels: " + scipy_openblas_get_corename() +
         ")";
#else
  return "system BLAS";
#endif
}

}  // namespace ntkfast
