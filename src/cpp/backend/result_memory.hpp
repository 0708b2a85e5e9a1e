// Memory for kernel matrices: aligned to cache lines, and on huge pages where the system has them,
// because touching fresh memory is a large part of writing a Gram matrix.
#pragma once

#include <cstddef>

namespace ntkfast {

void* allocate_result(std::size_t bytes);  // throws std::bad_alloc
void free_result(void* memory);

}  // namespace ntkfast
