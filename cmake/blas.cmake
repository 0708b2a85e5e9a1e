# One seam for every BLAS: the target ntkfast_blas carries the library and one of two definitions
# that src/cpp/backend/blas.cpp reads:
#   NTKFAST_BLAS_SCIPY_OPENBLAS  the PyPI package scipy-openblas32, CBLAS functions prefixed scipy_
#   NTKFAST_BLAS_SYSTEM          any library of the system with the CBLAS functions
# The first is preferred: pip installs it at build time, no system package is needed, and its prefix
# keeps our copy apart from the BLAS of NumPy and SciPy. It ships a shared library only, which is
# therefore copied beside the extension.
set(NTKFAST_BLAS auto CACHE STRING "BLAS: auto, scipy-openblas or system")
set_property(CACHE NTKFAST_BLAS PROPERTY STRINGS auto scipy-openblas system)
if(NOT NTKFAST_BLAS MATCHES "^(auto|scipy-openblas|system)$")
  message(FATAL_ERROR "NTKFAST_BLAS must be auto, scipy-openblas or system, got '${NTKFAST_BLAS}'")
endif()

add_library(ntkfast_blas INTERFACE)

# Sets NTKFAST_OPENBLAS_ROOT to the folder of the Python package scipy_openblas32, or to an empty
# string. Found without importing it: the import would load the library into the interpreter.
function(ntkfast_find_scipy_openblas)
  find_package(Python QUIET COMPONENTS Interpreter)
  set(root "")
  if(Python_Interpreter_FOUND)
    execute_process(
      COMMAND "${Python_EXECUTABLE}" -c "if 1:
        import importlib.util
        spec = importlib.util.find_spec('scipy_openblas32')
        print(spec.submodule_search_locations[0] if spec else '', end='')"
      OUTPUT_VARIABLE root
      ERROR_QUIET)
  endif()
  file(TO_CMAKE_PATH "${root}" root)
  set(NTKFAST_OPENBLAS_ROOT "${root}" PARENT_SCOPE)
endfunction()

function(ntkfast_use_scipy_openblas root)
  find_library(NTKFAST_OPENBLAS_LIBRARY scipy_openblas
    PATHS "${root}/lib" NO_DEFAULT_PATH NO_CACHE REQUIRED)
  add_library(ntkfast_openblas SHARED IMPORTED GLOBAL)
  set_target_properties(ntkfast_openblas PROPERTIES
    IMPORTED_LOCATION "${NTKFAST_OPENBLAS_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${root}/include")
  target_link_libraries(ntkfast_blas INTERFACE ntkfast_openblas)
  target_compile_definitions(ntkfast_blas INTERFACE NTKFAST_BLAS_SCIPY_OPENBLAS)
  file(GLOB licenses "${root}/../scipy_openblas32-*.dist-info/licenses/LICENSE*")
  install(FILES "${NTKFAST_OPENBLAS_LIBRARY}" DESTINATION ntkfast/_lib COMPONENT python)
  install(FILES ${licenses} DESTINATION ntkfast/_lib RENAME LICENSE-openblas.txt COMPONENT python)
endfunction()

function(ntkfast_use_system_blas)
  find_package(BLAS REQUIRED)
  include(CheckCXXSourceCompiles)
  set(CMAKE_REQUIRED_LIBRARIES BLAS::BLAS)
  check_cxx_source_compiles(
    "extern \"C\" float cblas_snrm2(int, const float*, int);
     int main() { return cblas_snrm2(0, nullptr, 1) != 0; }" NTKFAST_CBLAS_LINKS)
  if(NOT NTKFAST_CBLAS_LINKS)
    message(FATAL_ERROR "the BLAS of this system (${BLAS_LIBRARIES}) does not hold the CBLAS "
      "functions: install OpenBLAS, or 'pip install scipy-openblas32'")
  endif()
  target_link_libraries(ntkfast_blas INTERFACE BLAS::BLAS)
  target_compile_definitions(ntkfast_blas INTERFACE NTKFAST_BLAS_SYSTEM)
endfunction()

set(NTKFAST_OPENBLAS_ROOT "")
if(NOT NTKFAST_BLAS STREQUAL "system")
  ntkfast_find_scipy_openblas()
endif()
if(NTKFAST_OPENBLAS_ROOT)
  ntkfast_use_scipy_openblas("${NTKFAST_OPENBLAS_ROOT}")
  set(NTKFAST_BLAS_NAME "scipy-openblas")
elseif(NTKFAST_BLAS STREQUAL "scipy-openblas")
  message(FATAL_ERROR "NTKFAST_BLAS is scipy-openblas, but ${Python_EXECUTABLE} finds no package "
    "scipy_openblas32: pip install scipy-openblas32")
else()
  ntkfast_use_system_blas()
  set(NTKFAST_BLAS_NAME "system")
endif()
message(STATUS "ntkfast: BLAS ${NTKFAST_BLAS_NAME} ${NTKFAST_OPENBLAS_ROOT}")
