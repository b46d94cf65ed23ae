# Kernels for NVIDIA cards: where nvcc is found, every .cu of src/device, src/neural and src/quant becomes a fat
# binary (machine code for Hopper, PTX for everything from Ampere on) inside the program. The
# driver loads it at run time, so nothing of CUDA is linked. Without nvcc the table is empty
# and the device's row says so.
#
# A line "nvcc: --fmad=false" in the first lines of a .cu adds options to its compilation.
option(TRIBUS_CUDA "compile the kernels for NVIDIA cards where nvcc is found" ON)
set(TRIBUS_NVCC "TRIBUS_NVCC-NOTFOUND")
if(TRIBUS_CUDA)
    unset(TRIBUS_NVCC)
    find_program(TRIBUS_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
endif()

function(tribus_embed_kernels target)
    set(images ${CMAKE_BINARY_DIR}/cuda/images.c)
    set(declarations "")
    set(rows "")
    set(fatbins "")
    set(origin "built without nvcc")
    if(TRIBUS_NVCC)
        execute_process(COMMAND ${TRIBUS_NVCC} --version OUTPUT_VARIABLE version)
        string(REGEX MATCH "release ([0-9.]+)" _ "${version}")
        set(origin "nvcc ${CMAKE_MATCH_1}")
        file(GLOB kernels CONFIGURE_DEPENDS src/device/*.cu src/neural/*.cu src/quant/*.cu)
    endif()
    foreach(source ${kernels})
        get_filename_component(name ${source} NAME_WE)
        set(fatbin ${CMAKE_BINARY_DIR}/cuda/${name}.fatbin)
        file(STRINGS ${source} head LIMIT_COUNT 12)
        set(extra "")
        foreach(line ${head})
            if(line MATCHES "nvcc: ([-a-zA-Z0-9_=, ]*[a-zA-Z0-9])")
                separate_arguments(extra UNIX_COMMAND "${CMAKE_MATCH_1}")
            endif()
        endforeach()
        add_custom_command(OUTPUT ${fatbin}
            COMMAND ${TRIBUS_NVCC} -fatbin -O3 -std=c++17 -I${CMAKE_SOURCE_DIR}/include
                -I${CMAKE_SOURCE_DIR}/src -gencode arch=compute_80,code=compute_80
                -gencode arch=compute_90a,code=sm_90a ${extra} -MD -MF ${fatbin}.d
                -Werror all-warnings -o ${fatbin} ${source}
            DEPENDS ${source} DEPFILE ${fatbin}.d VERBATIM
            COMMENT "nvcc ${name}.cu")
        list(APPEND fatbins ${fatbin})
        string(APPEND declarations
            "__asm__(\".section .rodata\\n.balign 64\\ntribus_cuda_image_${name}:\\n\"\n"
            "        \".incbin \\\"${fatbin}\\\"\\n.text\\n\");\n"
            "extern const unsigned char tribus_cuda_image_${name}[];\n")
        string(APPEND rows "    {\"${name}\", tribus_cuda_image_${name}},\n")
    endforeach()
    file(GENERATE OUTPUT ${images} CONTENT
"/* Made by cmake/cuda.cmake. */
#include \"device/cuda_image.h\"

#include <stddef.h>

${declarations}
const char tribus_cuda_image_origin[] = \"${origin}\";
const tribus_cuda_image tribus_cuda_images[] = {
${rows}    {NULL, NULL},
};
")
    set_source_files_properties(${images} PROPERTIES GENERATED ON OBJECT_DEPENDS "${fatbins}")
    target_sources(${target} PRIVATE ${images})
    message(STATUS "Kernels for NVIDIA cards: ${origin}")
endfunction()
