#!/bin/sh
# The library of the mathematics asks nobody for memory: no object of it refers to an allocator, or to anything that
# prints, ends the process or reads a clock.
set -eu
library="${TRIBUS_BUILD:-build/release}/libtribus_quant.a"
used=$(nm --undefined-only "$library" | awk 'NF == 2 { print $2 }' | sort -u)
[ "$(printf '%s\n' "$used" | wc -l)" -gt 20 ] || { echo "$library: nm says too little"; exit 1; }
bad=$(printf '%s\n' "$used" | grep -E '^(malloc|calloc|realloc|reallocarray|free|aligned_alloc|posix_memalign|memalign|strn?dup|v?asprintf|mmap|brk|sbrk|printf|vprintf|puts|putchar|fprintf|vfprintf|fwrite|exit|_exit|abort|signal|sigaction|clock|clock_gettime|time|rand|srand|random|drand48)$' || true)
[ -z "$bad" ] || { echo "$library uses $bad"; exit 1; }
echo "libtribus_quant.a: $(printf '%s\n' "$used" | wc -l) outside names, no allocator, printer, exit, clock or rand among them"
