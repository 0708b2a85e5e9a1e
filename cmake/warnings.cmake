# Warnings for our own code. NTKFAST_WERROR is on in the presets for developers and CI only: a
# user's newer compiler must not fail the build by warning of something new.
add_library(ntkfast_warnings INTERFACE)
if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  target_compile_options(ntkfast_warnings INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wconversion -Wshadow>)
  if(NTKFAST_WERROR)
    target_compile_options(ntkfast_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
  endif()
endif()
