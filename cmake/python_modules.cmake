# The extension modules. pybind11 sits on top of the static core; _cuda is separate so that ntkfast
# imports without it.
set(PYBIND11_FINDPYTHON ON)
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
if(NOT pybind11_DIR AND NOT SKBUILD)
  # A plain cmake run: ask the package that pip installed.
  execute_process(COMMAND "${Python_EXECUTABLE}" -m pybind11 --cmakedir
    OUTPUT_VARIABLE pybind11_DIR OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
find_package(pybind11 3.0 CONFIG REQUIRED)

file(GLOB NTKFAST_BINDING_SOURCES CONFIGURE_DEPENDS
  "${CMAKE_CURRENT_SOURCE_DIR}/src/cpp/bindings/*.cpp")
pybind11_add_module(_core MODULE ${NTKFAST_BINDING_SOURCES})
target_link_libraries(_core PRIVATE ntkfast_core ntkfast_warnings)
# The BLAS library lies in ntkfast/_lib, beside the extension.
set_target_properties(_core PROPERTIES INSTALL_RPATH "$ORIGIN/_lib")
install(TARGETS _core DESTINATION ntkfast COMPONENT python)

if(NTKFAST_WITH_CUDA)
  ntkfast_add_cuda_module()
endif()
