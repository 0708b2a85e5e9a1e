// Run-time choice of the instruction set.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cpu/contraction_kernels.hpp"
#include "cpu/map_kernels.hpp"
#include "cpu/tile_kernels.hpp"

namespace ntkfast::cpu {

// What this build holds and this processor runs, slowest first; always starts with "baseline".
std::vector<std::string> available_isas();

// The loops for one set; an empty name means the fastest available. Throws std::invalid_argument
// for a name that this machine cannot run.
template <class T>
const MapKernels<T>& map_kernels(std::string_view isa);
template <class T>
const TileKernels<T>& tile_kernels(std::string_view isa);
template <class T>
const ContractionKernels<T>& contraction_kernels(std::string_view isa);

}  // namespace ntkfast::cpu
