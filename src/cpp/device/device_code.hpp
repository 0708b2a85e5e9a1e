// How functions are marked that run on a device, and on the CPU in tests.
#pragma once

#include "math/hostdev.hpp"

#if defined(__CUDACC__)
#define NTKFAST_DEVICE __device__
// A function of its own: one copy of it for all kernels of a file, compiled once, and registers of
// rare layers that do not crowd those of the caller.
#define NTKFAST_DEVICE_CALL __device__ __noinline__
// The next loop keeps an array in registers.
#define NTKFAST_DEVICE_UNROLL _Pragma("unroll")
#else
#define NTKFAST_DEVICE
#define NTKFAST_DEVICE_UNROLL
#define NTKFAST_DEVICE_CALL
#endif
