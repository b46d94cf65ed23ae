# The libraries of `make deps`. Each sets TRIBUS_LIB_<name>; a missing one names its package.
function(tribus_package name module package)
    pkg_check_modules(${name} QUIET IMPORTED_TARGET ${module})
    if(NOT ${name}_FOUND)
        message(FATAL_ERROR "${module} is missing: run `make deps`, or install ${package}")
    endif()
    set(TRIBUS_LIB_${name} PkgConfig::${name} PARENT_SCOPE)
endfunction()

tribus_package(jansson jansson libjansson-dev)
tribus_package(hiredis hiredis libhiredis-dev)
tribus_package(openssl openssl libssl-dev)
tribus_package(cyaml libcyaml libcyaml-dev)
tribus_package(zlib zlib zlib1g-dev)
tribus_package(lzma liblzma liblzma-dev)
tribus_package(zstd libzstd libzstd-dev)
set(TRIBUS_LIB_feeds ${TRIBUS_LIB_zlib} ${TRIBUS_LIB_lzma} ${TRIBUS_LIB_zstd})

# CBLAS and LAPACKE: both are in OpenBLAS's own library; Debian splits LAPACKE off.
find_library(TRIBUS_OPENBLAS openblas)
find_library(TRIBUS_LAPACKE lapacke)
if(NOT TRIBUS_OPENBLAS OR NOT TRIBUS_LAPACKE)
    message(FATAL_ERROR "OpenBLAS or LAPACKE is missing: run `make deps`, or install "
        "libopenblas-dev and liblapacke-dev")
endif()
set(TRIBUS_LIB_openblas ${TRIBUS_LAPACKE} ${TRIBUS_OPENBLAS})

# civetweb has no pkg-config file in Debian 12.
find_library(TRIBUS_CIVETWEB civetweb)
if(NOT TRIBUS_CIVETWEB)
    message(FATAL_ERROR "civetweb is missing: run `make deps`, or install libcivetweb-dev")
endif()
set(TRIBUS_LIB_civetweb ${TRIBUS_CIVETWEB})

# ONNX Runtime: the header of the system or the one `make deps` unpacked; the library is
# loaded at run time, so that a machine without it runs everything but models.
find_path(TRIBUS_ONNX_INCLUDE onnxruntime_c_api.h
    HINTS ${TRIBUS_DEPS_DIR}/onnxruntime/include PATH_SUFFIXES onnxruntime)
if(NOT TRIBUS_ONNX_INCLUDE)
    message(FATAL_ERROR "onnxruntime_c_api.h is missing: run `make deps`")
endif()
include_directories(SYSTEM ${TRIBUS_ONNX_INCLUDE})
add_compile_definitions(TRIBUS_ONNX_LIBRARY="${TRIBUS_DEPS_DIR}/onnxruntime/lib/libonnxruntime.so.1")
