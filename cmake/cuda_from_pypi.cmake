# nvcc as pip installs it (package cuda-toolkit[nvcc,cccl], folder site-packages/nvidia/cu13): used
# when NTKFAST_CUDA_FROM_PYPI is on, which pyproject.toml does if the environment sets
# NTKFAST_CUDA_FROM_PYPI=1.
option(NTKFAST_CUDA_FROM_PYPI "Use the nvcc of the PyPI package cuda-toolkit" OFF)
if(NTKFAST_CUDA_FROM_PYPI)
  find_package(Python REQUIRED COMPONENTS Interpreter)
  # One folder per distribution may carry the namespace package nvidia.
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c "if 1:
      import importlib.util, pathlib
      folders = importlib.util.find_spec('nvidia').submodule_search_locations
      found = [p for f in folders for p in pathlib.Path(f).glob('cu*/bin/nvcc')]
      print(*found, sep=chr(59), end='')"
    OUTPUT_VARIABLE nvcc
    COMMAND_ERROR_IS_FATAL ANY)
  list(LENGTH nvcc found)
  if(NOT found EQUAL 1)
    message(FATAL_ERROR "expected one nvcc of the PyPI package cuda-toolkit, got '${nvcc}'")
  endif()
  cmake_path(GET nvcc PARENT_PATH bin)
  cmake_path(GET bin PARENT_PATH root)
  set(CMAKE_CUDA_COMPILER "${nvcc}")
  set(CUDAToolkit_ROOT "${root}")
  # Its libraries lie in lib, where nvcc looks in lib64.
  set(CMAKE_CUDA_FLAGS "-L${root}/lib ${CMAKE_CUDA_FLAGS}")
endif()
