#include "backend/build_info.hpp"

#include "backend/blas.hpp"

namespace ntkfast {

std::vector<std::pair<std::string, std::string>> build_info() {
  return {
      {"version", NTKFAST_VERSION},
#if defined(__VERSION__)
      {"compiler", __VERSION__},
#endif
      {"blas", NTKFAST_BLAS_NAME},
      {"blas_detail", blas_description()},
  };
}

}  // namespace ntkfast
