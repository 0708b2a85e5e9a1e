#include "gram_kernel.cuh"

namespace ntkfast::cuda {

template void launch_block(const device::GramBlock<double>&, cudaStream_t);
template void launch_contraction(const PairTable<double>&, const double*, std::int64_t, double*,
                                 cudaStream_t);

}  // namespace ntkfast::cuda
