// A matrix in memory of a device as DLPack hands it on: JAX and others take it without a copy.
// https://dmlc.github.io/dlpack/latest/c_api.html; the structures are fixed by that standard.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <utility>

namespace ntkfast::cuda {

namespace dlpack {

inline constexpr std::int32_t kCuda = 2;   // kDLCUDA
inline constexpr std::uint8_t kFloat = 2;  // kDLFloat

struct Device {
  std::int32_t type, id;
};

struct DataType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null: row-major
  std::uint64_t byte_offset;
};

struct ManagedTensor {
  Tensor tensor;
  void* context;
  void (*deleter)(ManagedTensor*);
};

}  // namespace dlpack

// Names the memory until whoever takes the tensor calls its deleter, from any thread.
inline dlpack::ManagedTensor* make_dlpack(std::shared_ptr<void> memory, std::int64_t rows,
                                          std::int64_t cols, bool is_double, int device) {
  struct Holder {
    dlpack::ManagedTensor managed;
    std::shared_ptr<void> memory;
    std::array<std::int64_t, 2> shape, strides;
  };
  auto holder = std::make_unique<Holder>();
  holder->memory = std::move(memory);
  holder->shape = {rows, cols};
  holder->strides = {cols, 1};
  const auto bits = static_cast<std::uint8_t>(is_double ? 64 : 32);
  holder->managed.tensor = {
      holder->memory.get(), {dlpack::kCuda, device}, 2, {dlpack::kFloat, bits, 1},
      holder->shape.data(), holder->strides.data(),  0};
  holder->managed.context = holder.get();
  holder->managed.deleter = [](dlpack::ManagedTensor* self) {
    delete static_cast<Holder*>(self->context);
  };
  return &holder.release()->managed;
}

}  // namespace ntkfast::cuda
