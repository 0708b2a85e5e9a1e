#include "cpu/dispatch.hpp"

#include <stdexcept>
#include <type_traits>

namespace ntkfast::cpu {
namespace {

struct IsaEntry {
  std::string_view name;
  bool (*supported)();
  const TileKernels<float>& (*float_kernels)();
  const TileKernels<double>& (*double_kernels)();
  const MapKernels<float>& (*float_maps)();
  const MapKernels<double>& (*double_maps)();
  const ContractionKernels<float>& (*float_contractions)();
  const ContractionKernels<double>& (*double_contractions)();
};

#if defined(NTKFAST_HAVE_AVX2)
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __builtin_cpu_supports("bmi2");
}
#endif
#if defined(NTKFAST_HAVE_AVX512)
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}
#endif

constexpr IsaEntry kIsas[] = {
    {"baseline", [] { return true; }, baseline::float_kernels, baseline::double_kernels,
     baseline::float_map_kernels, baseline::double_map_kernels, baseline::float_contraction_kernels,
     baseline::double_contraction_kernels},
#if defined(NTKFAST_HAVE_AVX2)
    {"avx2", has_avx2, avx2::float_kernels, avx2::double_kernels, avx2::float_map_kernels,
     avx2::double_map_kernels, avx2::float_contraction_kernels, avx2::double_contraction_kernels},
#endif
#if defined(NTKFAST_HAVE_AVX512)
    {"avx512", has_avx512, avx512::float_kernels, avx512::double_kernels, avx512::float_map_kernels,
     avx512::double_map_kernels, avx512::float_contraction_kernels,
     avx512::double_contraction_kernels},
#endif
};

const IsaEntry& find_isa(std::string_view name) {
  const IsaEntry* best = nullptr;
  std::string known;
  for (const auto& isa : kIsas) {
    if (!isa.supported()) continue;
    if (name.empty() || isa.name == name) best = &isa;
    known += (known.empty() ? "" : ", ") + std::string(isa.name);
  }
  if (best == nullptr) {
    throw std::invalid_argument("isa: expected one of " + known + " on this machine, got '" +
                                std::string(name) + "'");
  }
  return *best;
}

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const auto& isa : kIsas) {
    if (isa.supported()) names.emplace_back(isa.name);
  }
  return names;
}

template <class T>
const TileKernels<T>& tile_kernels(std::string_view isa) {
  if constexpr (std::is_same_v<T, float>) {
    return find_isa(isa).float_kernels();
  } else {
    return find_isa(isa).double_kernels();
  }
}

template <class T>
const MapKernels<T>& map_kernels(std::string_view isa) {
  if constexpr (std::is_same_v<T, float>) {
    return find_isa(isa).float_maps();
  } else {
    return find_isa(isa).double_maps();
  }
}

template <class T>
const ContractionKernels<T>& contraction_kernels(std::string_view isa) {
  if constexpr (std::is_same_v<T, float>) {
    return find_isa(isa).float_contractions();
  } else {
    return find_isa(isa).double_contractions();
  }
}

template const ContractionKernels<float>& contraction_kernels<float>(std::string_view);
template const ContractionKernels<double>& contraction_kernels<double>(std::string_view);
template const MapKernels<float>& map_kernels<float>(std::string_view);
template const MapKernels<double>& map_kernels<double>(std::string_view);
template const TileKernels<float>& tile_kernels<float>(std::string_view);
template const TileKernels<double>& tile_kernels<double>(std::string_view);

}  // namespace ntkfast::cpu
