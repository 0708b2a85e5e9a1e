// Gram matrices for Python. Jobs come from ntkfast._core as capsules of plain data.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bindings.hpp"
#include "bindings/job_capsule.hpp"
#include "dlpack.hpp"
#include "errors.hpp"
#include "gram.hpp"

namespace py = pybind11;
using ntkfast::cuda::GramSettings;
using ntkfast::device::HostJob;

namespace {

// A matrix in memory of a device; other libraries take it without a copy.
struct DeviceArray {
  std::shared_ptr<void> memory;
  py::ssize_t rows, cols;
  bool is_double;
  int device;

  // https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html. All work on the matrix
  // has been waited for: there is no stream to name.
  py::dict interface() const {
    py::dict result;
    result["shape"] = py::make_tuple(rows, cols);
    result["typestr"] = is_double ? "<f8" : "<f4";
    result["data"] = py::make_tuple(reinterpret_cast<std::uintptr_t>(memory.get()), false);
    result["strides"] = py::none();
    result["stream"] = py::none();
    result["version"] = 3;
    return result;
  }

  // For the same reason every stream of a consumer will do. No copies are made for it.
  py::capsule dlpack(const py::object&, const py::object&, const py::object& dl_device,
                     const py::object& copy) const {
    if (!copy.is_none() && py::cast<bool>(copy)) throw py::buffer_error("no copies are made");
    if (!dl_device.is_none() && !dl_device.equal(dlpack_device())) {
      throw py::buffer_error("the matrix is on CUDA device " + std::to_string(device));
    }
    auto* const managed = ntkfast::cuda::make_dlpack(memory, rows, cols, is_double, device);
    // A consumer renames the capsule and calls the deleter itself.
    return py::capsule(managed, "dltensor", [](PyObject* capsule) {
      if (PyCapsule_IsValid(capsule, "dltensor") == 0) return;
      auto* const kept = static_cast<ntkfast::cuda::dlpack::ManagedTensor*>(
          PyCapsule_GetPointer(capsule, "dltensor"));
      kept->deleter(kept);
    });
  }
  py::tuple dlpack_device() const { return py::make_tuple(ntkfast::cuda::dlpack::kCuda, device); }
};

using Results = std::vector<std::optional<py::object>>;

// Runs on the calling thread without the GIL: takes it for a moment, so that Ctrl-C works.
std::function<void(std::int64_t, std::int64_t)> make_monitor(const py::object& progress) {
  return [&progress](std::int64_t done, std::int64_t total) {
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (!progress.is_none()) progress(done, total);
  };
}

template <class T>
py::array_t<T> host_matrix(py::ssize_t rows, py::ssize_t cols) {
  const auto n = static_cast<std::size_t>(rows), m = static_cast<std::size_t>(cols);
  if (m != 0 && n > PY_SSIZE_T_MAX / sizeof(T) / m) throw std::bad_alloc();
  void* const memory = ntkfast::cuda::allocate_pinned(n * m * sizeof(T));
  if (memory == nullptr) throw std::bad_alloc();
  return py::array_t<T>({rows, cols}, static_cast<T*>(memory),
                        py::capsule(memory, ntkfast::cuda::free_pinned));
}

template <class T>
std::pair<Results, Results> to_host(const HostJob<T>& job, const GramSettings& settings) {
  Results nngp, ntk;
  std::vector<ntkfast::device::DeviceOutput<T>> pointers;
  const auto add = [&](Results& results, bool wanted) -> T* {
    if (!wanted) {
      results.emplace_back(std::nullopt);
      return nullptr;
    }
    auto matrix = host_matrix<T>(job.left.count, job.right.count);
    T* const data = matrix.mutable_data();
    results.emplace_back(std::move(matrix));
    return data;
  };
  for (int k = 0; k < job.outputs; ++k) {
    T* const first = add(nngp, settings.nngp);
    pointers.push_back({first, add(ntk, settings.ntk)});
  }
  const py::gil_scoped_release release;
  ntkfast::cuda::gram_to_host(job, pointers, settings);
  return {std::move(nngp), std::move(ntk)};
}

template <class T>
std::pair<Results, Results> on_device(const HostJob<T>& job, const GramSettings& settings) {
  std::vector<ntkfast::cuda::DeviceMatrices<T>> matrices;
  {
    const py::gil_scoped_release release;
    matrices = ntkfast::cuda::gram_on_device(job, settings);
  }
  Results nngp, ntk;
  const auto add = [&](Results& results, std::shared_ptr<T> memory, bool wanted) {
    if (!wanted) {
      results.emplace_back(std::nullopt);
    } else {
      results.emplace_back(py::cast(DeviceArray{std::move(memory), job.left.count, job.right.count,
                                                sizeof(T) == 8, settings.devices.front()}));
    }
  };
  for (auto& each : matrices) {
    add(nngp, std::move(each.nngp), settings.nngp);
    add(ntk, std::move(each.ntk), settings.ntk);
  }
  return {std::move(nngp), std::move(ntk)};
}

template <class T>
std::pair<Results, Results> run(const HostJob<T>& job, const GramSettings& settings, bool host) {
  return host ? to_host(job, settings) : on_device(job, settings);
}

// One device, or several that share the blocks of a result in host memory.
using Devices = std::variant<int, std::vector<int>>;

std::vector<int> device_list(const Devices& devices) {
  const int* const one = std::get_if<int>(&devices);
  std::vector<int> list = one != nullptr ? std::vector<int>{*one} : std::get<1>(devices);
  if (list.empty()) throw py::value_error("no device");
  return list;
}

std::pair<Results, Results> gram(const py::capsule& job, bool nngp, bool ntk, const Devices& device,
                                 bool host, std::int64_t block_edge, const py::object& progress) {
  const GramSettings settings{device_list(device), nngp, ntk, block_edge, make_monitor(progress)};
  if (const auto* single = ntkfast::device::job_in_capsule<float>(job)) {
    return run(*single, settings, host);
  }
  if (const auto* twofold = ntkfast::device::job_in_capsule<double>(job)) {
    return run(*twofold, settings, host);
  }
  throw py::type_error("job must come from ntkfast._core of the same build");
}

std::vector<double> time_gram(const py::capsule& job, bool nngp, bool ntk, int device,
                              int repeats) {
  const GramSettings settings{{device}, nngp, ntk, 0, {}};
  const auto* single = ntkfast::device::job_in_capsule<float>(job);
  const auto* twofold = ntkfast::device::job_in_capsule<double>(job);
  if (single == nullptr && twofold == nullptr) {
    throw py::type_error("job must come from ntkfast._core of the same build");
  }
  const py::gil_scoped_release release;
  return single != nullptr ? ntkfast::cuda::time_gram(*single, settings, repeats)
                           : ntkfast::cuda::time_gram(*twofold, settings, repeats);
}

}  // namespace

void register_gram(py::module_& module) {
  py::register_exception<ntkfast::cuda::OutOfMemory>(module, "OutOfMemoryError", PyExc_MemoryError);
  py::class_<DeviceArray>(module, "DeviceArray", "A matrix in memory of a CUDA device.")
      .def_property_readonly("__cuda_array_interface__", &DeviceArray::interface)
      .def("__dlpack__", &DeviceArray::dlpack, py::kw_only(), py::arg("stream") = py::none(),
           py::arg("max_version") = py::none(), py::arg("dl_device") = py::none(),
           py::arg("copy") = py::none())
      .def("__dlpack_device__", &DeviceArray::dlpack_device)
      .def_property_readonly("shape",
                             [](const DeviceArray& a) { return py::make_tuple(a.rows, a.cols); })
      .def_readonly("device", &DeviceArray::device);
  module.def("gram", &gram, py::arg("job"), py::arg("nngp"), py::arg("ntk"), py::arg("device"),
             py::arg("host"), py::arg("block_edge"), py::arg("progress"));
  module.def("time_gram", &time_gram, py::arg("job"), py::arg("nngp"), py::arg("ntk"),
             py::arg("device"), py::arg("repeats"));
}
