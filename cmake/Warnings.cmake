# Warnings for both compilers; errors only where a preset says so (CMAKE_COMPILE_WARNING_AS_ERROR), never for packagers.
include(CheckCCompilerFlag)
add_library(project_warnings INTERFACE)
set(candidates
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-qual -Wcast-align -Wpointer-arith
  -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wwrite-strings -Wundef -Wvla -Wformat=2
  -Wimplicit-fallthrough -Wswitch-enum -Wnull-dereference -Wdouble-promotion -Wmissing-variable-declarations
  -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wjump-misses-init -Warith-conversion
  -fno-common -fstack-protector-strong -fstack-clash-protection -fcf-protection -ftrivial-auto-var-init=zero)
foreach(flag IN LISTS candidates)
  string(MAKE_C_IDENTIFIER "have${flag}" var)
  check_c_compiler_flag(${flag} ${var})
  if(${var})
    target_compile_options(project_warnings INTERFACE ${flag})
  endif()
endforeach()
# GNU's format attribute of libc macros and our statement expressions are named in base.h alone.
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
  target_compile_options(project_warnings INTERFACE -Wno-gnu-statement-expression)
endif()
if(CMAKE_BUILD_TYPE MATCHES "Rel")
  target_compile_definitions(project_warnings INTERFACE _FORTIFY_SOURCE=2)
endif()
