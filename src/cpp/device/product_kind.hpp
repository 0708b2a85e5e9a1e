// How the product of the rows is made on a device.
#pragma once

#include <type_traits>

namespace ntkfast::device {

enum class ProductKind {
  Plain,   // fused multiplications of single threads, in the dtype of the rows
  Tensor,  // float64 on tensor cores: IEEE arithmetic too, in another order
  Tf32x3,  // float32 on tensor cores, every number split in two: three products
  Tf32,    // float32 rounded to 10 bits of mantissa
};

// Calls visit(kind as a type) for the kinds that rows of T know.
template <class T, class Visit>
void for_kind(ProductKind kind, const Visit& visit) {
  using K = ProductKind;
  if constexpr (sizeof(T) == 4) {
    if (kind == K::Tf32x3) return visit(std::integral_constant<K, K::Tf32x3>());
    if (kind == K::Tf32) return visit(std::integral_constant<K, K::Tf32>());
  } else {
    if (kind == K::Tensor) return visit(std::integral_constant<K, K::Tensor>());
  }
  visit(std::integral_constant<K, K::Plain>());
}

}  // namespace ntkfast::device
