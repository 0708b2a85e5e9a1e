#include "images_kernel.cuh"

namespace ntkfast::cuda {

template std::int64_t image_maps_numbers(const device::ImageView<double>&);
template void launch_images(const device::ImageBlock<double>&, cudaStream_t);

}  // namespace ntkfast::cuda
