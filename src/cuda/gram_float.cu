#include "gram_kernel.cuh"

namespace ntkfast::cuda {

template void launch_block(const device::GramBlock<float>&, cudaStream_t);
template void launch_contraction(const PairTable<float>&, const float*, std::int64_t, float*,
                                 cudaStream_t);

}  // namespace ntkfast::cuda
