// How a job travels from one extension module to another: a capsule with plain data. The name
// carries the dtype and the size of what is inside, so that modules of different builds, whose
// layouts may differ, do not read each other's.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

#include "device/gram_job.hpp"
#include "device/image_job.hpp"

namespace ntkfast::device {

template <class T>
const char* job_capsule_name() {
  static const std::string name = "ntkfast.device.HostJob:" + std::to_string(sizeof(T)) + ":" +
                                  std::to_string(sizeof(HostJob<T>)) + ":" +
                                  std::to_string(sizeof(FlatOp)) + ":" +
                                  std::to_string(sizeof(PairTable<T>));
  return name.c_str();
}

// Null if the capsule holds something else.
template <class T>
const HostJob<T>* job_in_capsule(const pybind11::capsule& capsule) {
  if (!PyCapsule_IsValid(capsule.ptr(), job_capsule_name<T>())) return nullptr;
  return static_cast<const HostJob<T>*>(PyCapsule_GetPointer(capsule.ptr(), job_capsule_name<T>()));
}

template <class T>
const char* image_capsule_name() {
  static const std::string name = "ntkfast.device.HostImages:" + std::to_string(sizeof(T)) + ":" +
                                  std::to_string(sizeof(HostImages<T>)) + ":" +
                                  std::to_string(sizeof(ImageOp<T>)) + ":" +
                                  std::to_string(sizeof(ImageSums));
  return name.c_str();
}

template <class T>
const HostImages<T>* images_in_capsule(const pybind11::capsule& capsule) {
  if (!PyCapsule_IsValid(capsule.ptr(), image_capsule_name<T>())) return nullptr;
  return static_cast<const HostImages<T>*>(
      PyCapsule_GetPointer(capsule.ptr(), image_capsule_name<T>()));
}

}  // namespace ntkfast::device
