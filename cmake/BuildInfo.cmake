# generated/build_info.h: what 'lockstep --version' prints. Made at every build, written only when it changes.
set(BUILD_INFO_LIBRARIES "MPI ${MPI_C_VERSION}, HDF5 ${HDF5_VERSION}, libyaml ${YAML_VERSION}, cJSON ${CJSON_VERSION}, xxHash ${XXHASH_VERSION}, PCRE2 ${PCRE2_VERSION}, zlib ${ZLIB_VERSION}, zstd ${ZSTD_VERSION}, OpenBLAS ${BLAS_SUMMARY}, CUDA ${CUDA_SUMMARY}")
add_custom_target(build_info
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DOUT=${CMAKE_BINARY_DIR}/generated/build_info.h
          -DVERSION=${PROJECT_VERSION} "-DCOMPILER=${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}"
          "-DLIBRARIES=${BUILD_INFO_LIBRARIES}" "-DBACKENDS=cpu, null$<$<BOOL:${LOCKSTEP_HAS_CUDA}>:, cuda>" -P ${CMAKE_SOURCE_DIR}/cmake/write_build_info.cmake
  BYPRODUCTS ${CMAKE_BINARY_DIR}/generated/build_info.h VERBATIM)
