#include "backend/build_info.hpp"

#include "backend/blas.hpp"

namespace ntkfast {
namespace {

// __VERSION__ names the compiler for clang only.
#if defined(__clang__)
constexpr const char* kCompiler = "clang " __clang_version__;
#elif defined(__GNUC__)
constexpr const char* kCompiler = "gcc " __VERSION__;
#else
constexpr const char* kCompiler = "unknown";
#endif

}  // namespace

std::vector<std::pair<std::string, std::string>> build_info() {
  return {
      {"version", NTKFAST_VERSION},
      {"compiler", kCompiler},
      {"blas", NTKFAST_BLAS_NAME},
      {"blas_detail", blas_description()},
  };
}

}  // namespace ntkfast
