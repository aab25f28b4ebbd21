# Finds what Lockstep stands on, and prints a table of it. A missing library is named with the package that has it.
find_package(PkgConfig REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(MPI REQUIRED COMPONENTS C)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)

# HDF5, the serial build. Where Debian has both, plain "hdf5" may be the parallel one.
pkg_search_module(HDF5 REQUIRED IMPORTED_TARGET hdf5-serial hdf5)
add_library(lockstep_hdf5 INTERFACE)
target_link_libraries(lockstep_hdf5 INTERFACE PkgConfig::HDF5)

# OpenBLAS that threads with OpenMP: then it shares the threads of the kernels, and runs on one thread inside a parallel
# region. Debian keeps the variants in folders of their own and chooses one at run time by a link, so its path is fixed here.
find_library(OPENBLAS_OPENMP openblas PATH_SUFFIXES openblas-openmp ${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp
             PATHS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp /opt/homebrew/opt/openblas/lib NO_DEFAULT_PATH)
add_library(lockstep_blas INTERFACE)
if(OPENBLAS_OPENMP)
  get_filename_component(OPENBLAS_FOLDER ${OPENBLAS_OPENMP} DIRECTORY)
  find_path(OPENBLAS_INCLUDE cblas.h PATHS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}/openblas-openmp
            ${OPENBLAS_FOLDER}/../include REQUIRED)
  target_include_directories(lockstep_blas SYSTEM INTERFACE ${OPENBLAS_INCLUDE})
  target_link_libraries(lockstep_blas INTERFACE ${OPENBLAS_OPENMP})
  target_link_options(lockstep_blas INTERFACE -Wl,-rpath,${OPENBLAS_FOLDER})
  set(BLAS_SUMMARY "${OPENBLAS_OPENMP}")
else()
  pkg_check_modules(OPENBLAS REQUIRED IMPORTED_TARGET openblas)
  target_link_libraries(lockstep_blas INTERFACE PkgConfig::OPENBLAS)
  set(BLAS_SUMMARY "${OPENBLAS_LINK_LIBRARIES} (whether it threads with OpenMP is not known; if not, it is slower)")
endif()

# The toolkit is looked for, so that the table tells what a CUDA backend will find here.
if(LOCKSTEP_CUDA)
  find_package(CUDAToolkit REQUIRED)
else()
  find_package(CUDAToolkit QUIET)
endif()
set(CUDA_SUMMARY "not found")
if(CUDAToolkit_FOUND)
  set(CUDA_SUMMARY "${CUDAToolkit_VERSION} (no backend uses it yet)")
endif()

function(print_summary)
  message(STATUS "")
  message(STATUS "Lockstep ${PROJECT_VERSION}")
  message(STATUS "  build      ${CMAKE_BUILD_TYPE}, native ${LOCKSTEP_NATIVE}, sanitizers '${LOCKSTEP_SANITIZE}'")
  message(STATUS "  compiler   ${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}")
  message(STATUS "  BLAS       ${BLAS_SUMMARY}")
  message(STATUS "  OpenMP     ${OpenMP_C_VERSION}")
  message(STATUS "  MPI        ${MPI_C_VERSION}, ${MPI_C_LIBRARIES}")
  message(STATUS "  HDF5       ${HDF5_VERSION}")
  message(STATUS "  libyaml    ${YAML_VERSION}")
  message(STATUS "  cJSON      ${CJSON_VERSION}")
  message(STATUS "  xxHash     ${XXHASH_VERSION}")
  message(STATUS "  CUDA       ${CUDA_SUMMARY}")
  message(STATUS "  cmocka     ${CMOCKA_VERSION} (tests)")
  message(STATUS "")
endfunction()
