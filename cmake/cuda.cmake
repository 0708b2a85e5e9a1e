# CUDA is an optional language: without nvcc everything but the extension _cuda is built.
# Sets NTKFAST_WITH_CUDA; defines ntkfast_add_cuda_module().
set(NTKFAST_CUDA auto CACHE STRING "Build the CUDA extension: auto (if nvcc works), on or off")
set_property(CACHE NTKFAST_CUDA PROPERTY STRINGS auto on off)
string(TOLOWER "${NTKFAST_CUDA}" NTKFAST_CUDA_WANTED)
if(NOT NTKFAST_CUDA_WANTED MATCHES "^(auto|on|off)$")
  message(FATAL_ERROR "NTKFAST_CUDA must be auto, on or off, got '${NTKFAST_CUDA}'")
endif()

set(NTKFAST_WITH_CUDA OFF)
if(NOT NTKFAST_CUDA_WANTED STREQUAL "off")
  # Machine code for Ampere (A100 and, by minor version, 8.6 and 8.9) and Hopper; PTX for whatever
  # comes after.
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 90-virtual)
  endif()
  include(cuda_from_pypi)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    set(NTKFAST_WITH_CUDA ON)
  elseif(NTKFAST_CUDA_WANTED STREQUAL "on")
    message(FATAL_ERROR "NTKFAST_CUDA is on, but no working CUDA compiler was found: "
      "put nvcc on PATH or set CUDACXX")
  endif()
endif()
message(STATUS
  "ntkfast: CUDA ${NTKFAST_WITH_CUDA} ${CMAKE_CUDA_COMPILER} ${CMAKE_CUDA_ARCHITECTURES}")

# Options of every target that compiles CUDA.
function(ntkfast_cuda_options target)
  target_include_directories(${target} PRIVATE
    "${PROJECT_SOURCE_DIR}/src/cuda" "${PROJECT_SOURCE_DIR}/src/cpp")
  target_link_libraries(${target} PRIVATE ntkfast_warnings)
  string(REPLACE ";" " " architectures "${CMAKE_CUDA_ARCHITECTURES}")
  target_compile_definitions(${target} PRIVATE NTKFAST_CUDA_ARCHITECTURES="${architectures}")
  target_compile_features(${target} PRIVATE cuda_std_20)
  # Static runtime, never the driver: the module imports on a machine that has neither.
  set_target_properties(${target} PROPERTIES
    CUDA_RUNTIME_LIBRARY Static CUDA_VISIBILITY_PRESET hidden)
  # Two architectures at a time; warnings of the host compiler as in the other files. The math
  # headers use constexpr functions of the standard library (numeric_limits).
  target_compile_options(${target} PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:--threads=2 --expt-relaxed-constexpr -Xcompiler=-Wall,-Wextra>)
  if(NTKFAST_WERROR)
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
  endif()
endfunction()

# Kernels and host code without Python: for the extension and for the benchmark.
function(ntkfast_add_cuda_objects)
  set(folder "${PROJECT_SOURCE_DIR}/src/cuda")
  file(GLOB kernels CONFIGURE_DEPENDS "${folder}/*.cu")
  # Plain C++ on top of the CUDA runtime: tests compile it without CUDA too.
  set(host "${folder}/gram.cpp" "${folder}/gram_product.cpp" "${folder}/contraction.cpp"
    "${folder}/images.cpp")
  set_source_files_properties(${host} PROPERTIES LANGUAGE CUDA)
  add_library(ntkfast_cuda OBJECT ${kernels} ${host})
  ntkfast_cuda_options(ntkfast_cuda)
endfunction()

function(ntkfast_add_cuda_module)
  file(GLOB sources CONFIGURE_DEPENDS
    "${PROJECT_SOURCE_DIR}/src/cuda/register_*.cpp" "${PROJECT_SOURCE_DIR}/src/cuda/module.cpp")
  # Bounds and scales of products: the one file of the core that is needed here.
  list(APPEND sources "${PROJECT_SOURCE_DIR}/src/cpp/program/kernel_product.cpp")
  pybind11_add_module(_cuda MODULE ${sources} $<TARGET_OBJECTS:ntkfast_cuda>)
  ntkfast_cuda_options(_cuda)
  set_target_properties(_cuda PROPERTIES LINKER_LANGUAGE CUDA)
  install(TARGETS _cuda DESTINATION ntkfast COMPONENT python)
endfunction()
