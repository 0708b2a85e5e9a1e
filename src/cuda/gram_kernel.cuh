// The kernels for one dtype: gram_float.cu and gram_double.cu each make them, to be compiled side
// by side.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "check.hpp"
#include "gram_kernel.hpp"
#include "tile_sizes.hpp"

namespace ntkfast::cuda {

// The threads of one block of the grid.
class ThreadGroup {
 public:
  __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ void sync() const { __syncthreads(); }
  __device__ std::uint32_t ballot(bool vote) const { return __ballot_sync(0xffffffffu, vote); }
  __device__ double shuffle_xor(double number, int mask) const {
    return __shfl_xor_sync(0xffffffffu, number, mask);
  }
  // Past the registers; zero where not valid.
  template <class T>
  __device__ void copy_async(T* to, const T* from, bool valid) const {
    const auto shared = static_cast<unsigned>(__cvta_generic_to_shared(to));
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared), "l"(from),
                 "n"(sizeof(T)), "r"(valid ? static_cast<int>(sizeof(T)) : 0)
                 : "memory");
  }
  __device__ void commit() const { asm volatile("cp.async.commit_group;" ::: "memory"); }
  __device__ void wait() const { asm volatile("cp.async.wait_group 0;" ::: "memory"); }
  __device__ void add(std::int64_t* to, std::int64_t number) const {
    atomicAdd(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(number));
  }
  __device__ void mma(float (&c)[4], const std::uint32_t (&a)[4],
                      const std::uint32_t (&b)[2]) const {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
  __device__ void mma(double (&c)[4], const double (&a)[2], const double (&b)[1]) const {
#if __CUDA_ARCH__ >= 900
    asm("mma.sync.aligned.m16n8k4.row.col.f64.f64.f64.f64 {%0, %1, %2, %3}, {%4, %5}, {%6}, "
        "{%0, %1, %2, %3};"
        : "+d"(c[0]), "+d"(c[1]), "+d"(c[2]), "+d"(c[3])
        : "d"(a[0]), "d"(a[1]), "d"(b[0]));
#else
    for (int half = 0; half < 2; ++half) {
      asm("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%0, %1};"
          : "+d"(c[2 * half]), "+d"(c[2 * half + 1])
          : "d"(a[half]), "d"(b[0]));
    }
#endif
  }
};

template <class T, device::ProductKind kKind>
__global__ void __launch_bounds__(Shape<T>::kThreads, kGroupsPerProcessor<T>)
    gram_kernel(const __grid_constant__ device::GramBlock<T> block, std::int64_t first_tile) {
#if defined(__CUDA_ARCH__)
  using Here = DeepShape<T, panel_depth(__CUDA_ARCH__ / 100)>;
  extern __shared__ __align__(16) unsigned char shared[];
  auto& memory = *reinterpret_cast<device::TileMemory<T, Here>*>(shared);
  ThreadGroup group;
  device::GramTile<T, Here, kKind, ThreadGroup>(
      block, first_tile + static_cast<std::int64_t>(blockIdx.x), group, memory)
      .run();
#endif
}

// Shared memory that the machine code for the current device takes.
template <class T>
std::size_t shared_bytes() {
  int device = 0, major = 0;
  NTKFAST_CUDA_CHECK(cudaGetDevice(&device));
  NTKFAST_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  return panel_depth(major) == 8 ? sizeof(device::TileMemory<T, DeepShape<T, 8>>)
                                 : sizeof(device::TileMemory<T, DeepShape<T, 16>>);
}

template <class T>
__global__ void contraction_kernel(const __grid_constant__ PairTable<T> table, const T* t,
                                   std::int64_t rows, T* contracted) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t at = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
       at < rows * table.stride; at += step) {
    contracted[at] =
        device::contracted_number(table, t[at / table.stride], static_cast<int>(at % table.stride));
  }
}

template <class T>
void launch_block(const device::GramBlock<T>& block, cudaStream_t stream) {
  const std::size_t bytes = shared_bytes<T>();
  const std::int64_t tiles = device::tile_count(block, Shape<T>::kEdge);
  constexpr std::int64_t most = std::numeric_limits<int>::max();  // what a grid holds
  device::for_kind<T>(block.kind, [&](auto kind) {
    const auto kernel = gram_kernel<T, kind()>;
    // More than 48 KB of shared memory must be asked for, once per device: it costs microseconds.
    NTKFAST_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            static_cast<int>(bytes)));
    for (std::int64_t first = 0; first < tiles; first += most) {
      const auto count = static_cast<unsigned>(std::min(most, tiles - first));
      kernel<<<count, Shape<T>::kThreads, bytes, stream>>>(block, first);
      NTKFAST_CUDA_CHECK(cudaGetLastError());
    }
  });
}

template <class T>
void launch_contraction(const PairTable<T>& table, const T* t, std::int64_t rows, T* contracted,
                        cudaStream_t stream) {
  constexpr int threads = 256;
  const std::int64_t blocks = (rows * table.stride + threads - 1) / threads;
  const auto count = static_cast<unsigned>(std::min<std::int64_t>(blocks, 1 << 20));
  contraction_kernel<T><<<count, threads, 0, stream>>>(table, t, rows, contracted);
  NTKFAST_CUDA_CHECK(cudaGetLastError());
}

}  // namespace ntkfast::cuda
