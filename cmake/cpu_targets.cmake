# src/cpp/cpu/isa/ is built once per instruction set, in the namespace that NTKFAST_ISA names, and
# activation_step.cpp therein once more per activation of the list; the dispatcher
# (src/cpp/cpu/dispatch.cpp) chooses at run time. Explicit object libraries rather than compiler
# clones: those need ELF ifunc, which macOS and Windows lack.

# Flags of these files:
#   -O3                 full vectorisation, whatever the build type
#   -fno-math-errno     std::sqrt is one instruction; without it no loop that holds one vectorises
#   -fno-trapping-math  both sides of a branch may be computed and blended: nobody unmasks traps
#   -ffp-contract=fast  a*b+c is one FMA where the set has it; GCC's default, not clang's
# Never -ffast-math: the kernels rely on NaN, infinities, signed zero and on the order of their
# operations.
set(NTKFAST_TILE_FLAGS -O3 -fno-math-errno -fno-trapping-math -ffp-contract=fast)

# The generic x86-64 levels, not CPU names: on AMD the code for a named Intel CPU is not chosen or
# is slower. GCC and clang prefer 256-bit vectors for x86-64-v4, which halves the throughput on CPUs
# with full-width AVX-512.
# The sanitizer and the coverage build take the first alone: the source is the same, and three times
# the objects would take most of their time.
set(NTKFAST_X86_ISAS baseline avx2 avx512 CACHE STRING "Instruction sets on x86-64, worst to best")

set(NTKFAST_FLAGS_baseline -march=x86-64)
set(NTKFAST_FLAGS_avx2 -march=x86-64-v3)
set(NTKFAST_FLAGS_avx512 -march=x86-64-v4 -mprefer-vector-width=512)

# Sets NTKFAST_ACTIVATION_SOURCES: one file per activation of the list, which includes
# activation_step.cpp.
function(ntkfast_activation_sources)
  set(list "${CMAKE_CURRENT_SOURCE_DIR}/src/cpp/math/activation_list.hpp")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${list}")
  file(READ "${list}" text)
  string(REGEX MATCHALL "\n  X\\([A-Za-z]+" entries "${text}")
  set(sources "")
  foreach(entry IN LISTS entries)
    string(REGEX REPLACE ".*\\(" "" name "${entry}")
    set(source "${CMAKE_CURRENT_BINARY_DIR}/activations/${name}.cpp")
    file(CONFIGURE OUTPUT "${source}" CONTENT
      "#define NTKFAST_ACTIVATION ${name}\n#include \"cpu/isa/activation_step.cpp\"\n")
    list(APPEND sources "${source}")
  endforeach()
  set(NTKFAST_ACTIVATION_SOURCES ${sources} PARENT_SCOPE)
endfunction()

# Adds the objects of one instruction set to `core`.
function(ntkfast_add_isa core isa)
  set(target "ntkfast_tile_${isa}")
  set(folder "${CMAKE_CURRENT_SOURCE_DIR}/src/cpp/cpu/isa")
  add_library(${target} OBJECT
    "${folder}/tile_kernels.cpp" "${folder}/layer_steps.cpp" "${folder}/branch_steps.cpp"
    "${folder}/series_step.cpp" "${folder}/table_step.cpp" "${folder}/map_kernels.cpp"
    "${folder}/map_table_step.cpp" "${folder}/pool_kernels.cpp"
    ${NTKFAST_ACTIVATION_SOURCES})
  target_include_directories(${target} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/src/cpp")
  target_compile_definitions(${target} PRIVATE NTKFAST_ISA=${isa})
  target_compile_options(${target} PRIVATE ${NTKFAST_TILE_FLAGS} ${ARGN})
  target_link_libraries(${target} PRIVATE ntkfast_blas ntkfast_warnings ntkfast_instrumentation)
  target_sources(${core} PRIVATE $<TARGET_OBJECTS:${target}>)
endfunction()

# Sets NTKFAST_ISAS to the sets that were built, worst to best.
function(ntkfast_add_cpu_kernels core)
  ntkfast_activation_sources()
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    set(isas ${NTKFAST_X86_ISAS})
    if(NOT "baseline" IN_LIST isas)
      message(FATAL_ERROR "NTKFAST_X86_ISAS must contain baseline, got ${isas}")
    endif()
    foreach(isa IN LISTS isas)
      ntkfast_add_isa(${core} ${isa} ${NTKFAST_FLAGS_${isa}})
      string(TOUPPER "NTKFAST_HAVE_${isa}" have)
      target_compile_definitions(${core} PRIVATE ${have})
    endforeach()
  else()
    set(isas baseline)
    ntkfast_add_isa(${core} baseline)
  endif()
  set(NTKFAST_ISAS ${isas} PARENT_SCOPE)
endfunction()
