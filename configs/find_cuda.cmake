# REFORMER_CUDA=AUTO|ON|OFF: whether the CUDA backend is built. Sets REFORMER_HAS_CUDA, and with it
# the language CUDA and the targets CUDA::cudart and CUDA::cublasLt. nvcc is looked for in PATH, CUDACXX,
# CUDA_HOME and /usr/local/cuda.
set(REFORMER_CUDA AUTO CACHE STRING "Build the CUDA backend: AUTO, ON or OFF")
set_property(CACHE REFORMER_CUDA PROPERTY STRINGS AUTO ON OFF)
set(REFORMER_NVCC_MINIMUM 12.8)
option(REFORMER_COMPRESS_CUDA
  "Compress machine code and PTX in the program; the tests read the PTX, so not for them" OFF)

set(REFORMER_HAS_CUDA FALSE)
set(reformer_no_cuda "")
if(NOT REFORMER_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "REFORMER_CUDA is \"${REFORMER_CUDA}\"; it may be AUTO, ON or OFF")
elseif(REFORMER_CUDA STREQUAL "OFF")
  set(reformer_no_cuda "REFORMER_CUDA is OFF")
elseif(REFORMER_SANITIZE AND REFORMER_CUDA STREQUAL "AUTO")
  set(reformer_no_cuda "the sanitizers look at host code alone")
else()
  find_program(REFORMER_NVCC nvcc
    HINTS ENV CUDACXX ENV CUDA_HOME ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
  if(NOT REFORMER_NVCC)
    set(reformer_no_cuda "nvcc was not found in PATH, CUDA_HOME or /usr/local/cuda")
  else()
    execute_process(COMMAND ${REFORMER_NVCC} --version OUTPUT_VARIABLE reformer_nvcc_text)
    string(REGEX MATCH "V([0-9]+\\.[0-9]+\\.[0-9]+)" _ "${reformer_nvcc_text}")
    set(reformer_nvcc_version "${CMAKE_MATCH_1}")
    if(reformer_nvcc_version VERSION_LESS REFORMER_NVCC_MINIMUM)
      set(reformer_no_cuda
        "${REFORMER_NVCC} is ${reformer_nvcc_version}, and ${REFORMER_NVCC_MINIMUM} is needed")
    endif()
  endif()
endif()

if(reformer_no_cuda)
  if(REFORMER_CUDA STREQUAL "ON")
    message(FATAL_ERROR "REFORMER_CUDA is ON, but ${reformer_no_cuda}")
  endif()
  message(STATUS "CUDA: not built, since ${reformer_no_cuda}")
  return()
endif()

set(CMAKE_CUDA_COMPILER ${REFORMER_NVCC})
# Machine code for A100, H100 and B200, and PTX for what comes later. The PTX is also what the tests
# execute.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100-real 80-virtual)
endif()
enable_language(CUDA)
# CMake before 3.26 does not know that nvcc has C++20.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_SOURCE_DIR}/kernels/cuda/keep_ptxas_report.sh ${CCACHE})
find_package(CUDAToolkit REQUIRED)
if(NOT TARGET CUDA::cublasLt OR NOT TARGET CUDA::cudart)
  message(FATAL_ERROR "CUDA: ${REFORMER_NVCC} has no cuBLASLt beside it; install it, or configure "
                      "with -DREFORMER_CUDA=OFF")
endif()
set(REFORMER_HAS_CUDA TRUE)
message(STATUS "CUDA: ${REFORMER_NVCC} ${reformer_nvcc_version}, for ${CMAKE_CUDA_ARCHITECTURES}")
