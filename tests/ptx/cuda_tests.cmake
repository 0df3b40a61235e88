# Programs that nvcc builds, and tests that run them without a GPU: the loader finds the stand-ins for
# the vendor's libraries first.
#
# PTX_STAND_INS is true where the stand-ins can be built: with the CUDA toolkit, and without
# sanitizers, which would have to be loaded before everything else.
set(stand_ins OFF)
# They have the names of CUDA 13.
if(REFORMER_HAS_CUDA AND NOT REFORMER_SANITIZE AND CUDAToolkit_VERSION_MAJOR EQUAL 13)
  set(stand_ins ON)
  set(NVCC ${REFORMER_NVCC})
  file(REAL_PATH ${NVCC} nvcc)
  cmake_path(GET nvcc PARENT_PATH nvcc_folder)
  cmake_path(GET nvcc_folder PARENT_PATH PTX_CUDA_FOLDER)
endif()

set(PTX_STAND_INS ${stand_ins} CACHE INTERNAL "CUDA programs can be run without a GPU")

# Where the stand-ins are built; what LD_LIBRARY_PATH begins with.
set(PTX_STAND_IN_FOLDER ${CMAKE_BINARY_DIR}/stand_ins CACHE INTERNAL "Stand-ins for the libraries of CUDA")

# ptx_<name>: a shared library with the soname of the vendor's lib<name>, that shows the names in
# lib<name>.map and no others. Always optimised: slow kernels would be run less.
function(ptx_add_stand_in name)
  set(target ptx_${name})
  add_library(${target} SHARED ${ARGN})
  target_include_directories(${target} SYSTEM PRIVATE ${PTX_CUDA_FOLDER}/include)
  target_compile_options(${target} PRIVATE -O2)
  target_link_libraries(${target} PRIVATE reformer_options)
  target_link_options(${target} PRIVATE
    -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/lib${name}.map -Wl,--no-undefined)
  set_target_properties(${target} PROPERTIES
    OUTPUT_NAME ${name}
    LIBRARY_OUTPUT_DIRECTORY ${PTX_STAND_IN_FOLDER}
    SOVERSION 13
    BUILD_RPATH_USE_ORIGIN ON
    LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/lib${name}.map)
endfunction()

# A program of one or more .cu files with compute_80 PTX, on the shared CUDA runtime.
#
#   add_cuda_program(NAME SOURCES… [OPTIONS for nvcc…] [LIBRARIES of the vendor: cublasLt…])
function(add_cuda_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;OPTIONS;LIBRARIES" ${ARGN})
  list(TRANSFORM ARG_SOURCES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  list(TRANSFORM ARG_LIBRARIES PREPEND -l)
  set(program ${CMAKE_CURRENT_BINARY_DIR}/programs/${name})
  if(NOT ARG_OPTIONS)
    set(ARG_OPTIONS -gencode arch=compute_80,code=compute_80)
  endif()
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/programs)
  add_custom_command(OUTPUT ${program}
    COMMAND ${CMAKE_CXX_COMPILER_LAUNCHER} ${NVCC} -std=c++20 -O2 -cudart shared ${ARG_OPTIONS}
            -I${CMAKE_SOURCE_DIR} -MD -MF ${program}.d -MT ${program}
            ${ARG_SOURCES} ${ARG_LIBRARIES} -o ${program}
    DEPENDS ${ARG_SOURCES}
    DEPFILE ${program}.d
    VERBATIM)
  add_custom_target(${name} ALL DEPENDS ${program})
  set_target_properties(${name} PROPERTIES CUDA_PROGRAM ${program})
endfunction()

# A test that runs a program with the stand-ins.
#
#   add_cuda_test(NAME test EXECUTABLE program-or-file [ARGUMENTS …] [ENVIRONMENT PTX_ORDER=eager …]
#                 [FAILS text that it has to print])
#
# EXECUTABLE may be a target, one of add_cuda_program too, or a path. With FAILS the program is to
# fail, however it ends, after it said so.
function(add_cuda_test)
  cmake_parse_arguments(ARG "" "NAME;EXECUTABLE;FAILS" "ARGUMENTS;ENVIRONMENT" ${ARGN})
  set(program ${ARG_EXECUTABLE})
  if(TARGET ${program})
    get_target_property(built ${program} CUDA_PROGRAM)
    if(built)
      set(program ${built})
    else()
      set(program $<TARGET_FILE:${program}>)
    endif()
  endif()
  set(command ${program} ${ARG_ARGUMENTS})
  if(DEFINED ARG_FAILS)
    set(command ${CMAKE_SOURCE_DIR}/tests/ptx/fails.sh ${ARG_FAILS} ${command})
  endif()
  add_test(NAME ${ARG_NAME} COMMAND ${command} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${ARG_NAME} PROPERTIES
    TIMEOUT 300
    ENVIRONMENT "${ARG_ENVIRONMENT}"
    ENVIRONMENT_MODIFICATION LD_LIBRARY_PATH=path_list_prepend:${PTX_STAND_IN_FOLDER})
endfunction()
