// Memory for matrices: aligned to cache lines, and on huge pages where the system has them, because
// touching fresh memory is a large part of writing a Gram matrix.
#pragma once

#include <cstddef>

namespace ntkfast {

void* allocate_aligned(std::size_t bytes);  // throws std::bad_alloc
void free_aligned(void* memory);

}  // namespace ntkfast
