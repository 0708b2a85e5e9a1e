# Sanitizers and coverage: both must reach every translation unit and the link line.
add_library(ntkfast_instrumentation INTERFACE)
if(NTKFAST_SANITIZE)
  target_compile_options(ntkfast_instrumentation INTERFACE
    -fsanitize=${NTKFAST_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(ntkfast_instrumentation INTERFACE -fsanitize=${NTKFAST_SANITIZE})
endif()
if(NTKFAST_COVERAGE)
  # Atomic counters: the engine is threaded.
  target_compile_options(ntkfast_instrumentation INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(ntkfast_instrumentation INTERFACE --coverage)
endif()
