// Gram matrices of images on the CPU, tile by tile: Source (pixels) -> maps of a program -> Sink.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/gram.hpp"
#include "program/program.hpp"
#include "spatial/map_runner.hpp"

namespace ntkfast::spatial {

// K and T of every pair of images. x is (n, height, width, channels) as the program's input says, z
// is (m, ...); z null means the symmetric Gram of x, in which image i and image i are the same
// sample. All entries finite. Results are (n, m), one pair of pointers per program output.
// Bit-identical for every number of threads. Throws as cpu::gram does.
template <class T>
void gram(const Program& program, const T* x, std::int64_t n, const T* z, std::int64_t m,
          const std::vector<cpu::GramOutput<T>>& outputs, const cpu::GramOptions& options);

// K_ii and T_ii of every image.
template <class T>
void diagonal(const Program& program, const T* x, std::int64_t n,
              const std::vector<cpu::GramOutput<T>>& outputs, const cpu::GramOptions& options);

// Readouts of every image with itself, image by image; `argument` is what messages call them.
template <class T>
std::vector<Readout> own_readouts(const SpatialPlan& plan, const T* images, std::int64_t n,
                                  const char* argument, bool ntk, const cpu::GramOptions& options);

// What a call costs, known beforehand.
struct Cost {
  std::int64_t offsets;          // maps of each pair of images
  double lanes;                  // entries of all maps of a pair and all layers
  std::int64_t workspace_bytes;  // beside inputs and outputs, at most
  std::int64_t stages;           // that pools divide the network into
};
Cost plan_cost(const Program& program, std::int64_t n, std::int64_t m, std::int64_t itemsize,
               int threads);

}  // namespace ntkfast::spatial
