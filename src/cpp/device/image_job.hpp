// Kernels of images for a device: the host makes the numbers of single images, the device what
// pairs of them give at their readouts, and the host the layers behind those.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "cpu/gram.hpp"
#include "device/image_block.hpp"
#include "device/image_program.hpp"
#include "program/program.hpp"

namespace ntkfast::device {

struct ImageTile {
  std::int64_t i0, rows, j0, cols;
};

// What the device code of another module works with: plain data, and two functions of the core.
template <class T>
class HostImages {
 public:
  virtual ~HostImages() = default;
  // Numbers of the images [first, first + count) of one side, image after image. Throws
  // KernelOverflow.
  virtual void columns(bool left, std::int64_t first, std::int64_t count, T* to) const = 0;
  // Takes the sums of all pairs of a tile, as an ImageBlock has them, to the results. Throws
  // KernelOverflow.
  virtual void finish(const ImageTile& tile, const ImageSums* sums) const = 0;

  ImageView<T> program{};  // pointers into host memory
  int value_count = 0, constant_count = 0;
  std::int64_t n = 0, m = 0;
  bool symmetric = true;
};

// x is (n, height, width, channels) as the program's input says; z null means the symmetric Gram of
// x. Everything that is passed must outlive the result. Throws what spatial::gram() throws, and
// ArchitectureError for what a device cannot do.
template <class T>
std::unique_ptr<HostImages<T>> make_image_job(const Program& program, const T* x, std::int64_t n,
                                              const T* z, std::int64_t m,
                                              const std::vector<cpu::GramOutput<T>>& outputs,
                                              const cpu::GramOptions& options);

// Numbers of images on their way to a device.
inline constexpr std::int64_t kImageChunkBytes = std::int64_t{64} << 20;

// Images per side of a launch, for any device: some millions of maps.
inline std::int64_t image_tile_edge(std::int64_t offsets) {
  constexpr double maps = 1 << 22;
  const double edge = std::sqrt(maps / static_cast<double>(std::max<std::int64_t>(1, offsets)));
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(edge), 16, 512);
}

// Bytes on the host beside inputs and results.
std::int64_t image_job_bytes(const Program& program, std::int64_t n, std::int64_t m,
                             std::int64_t itemsize);

}  // namespace ntkfast::device
