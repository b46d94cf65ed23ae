# The front door. CMake with its presets does the work; see CONTRIBUTING.md.
#
#   make              build/release/tribus and build/release/tribusd
#   make demo         install what is missing, build, run the platform (FEED=, SECONDS=, ARGS=)
#   make test         install what is missing, build, run every test
#   make deps         only install what is missing
#   make check        format, layers, atomics, clang-tidy
#   make asan tsan    unit tests under the sanitizers
#   make install      programs, headers, models, manual under PREFIX (/usr/local)
#   make bench        every benchmark, as a table
#   make bench-peers  the fabric against nng, ZeroMQ, iceoryx, Concurrency Kit and Redis; the
#                     table is in build/bench-peers.txt (ARGS=--realtime on a busy machine)
#   make soak         10,000 kills, 100,000 rounds with a hostile peer, 5,000 random graphs,
#                     a million runs (minutes)
#   make soak-bus     the buses at 50,000 messages a second, all accounted for (SECONDS=3600)
#   make check-arm64  the fabric's tests on arm64, under qemu-user
#   make check-models spin models of doorbell, recovery, shared slots, loaning holders
#   make test-cuda    what needs an NVIDIA card (ARGS=sanitize: under compute-sanitizer too)
#   make bench-cuda   hand-offs on an NVIDIA card
#   make clean        remove what was built, keep what was downloaded

SHELL := /bin/bash
SECONDS ?= 60
FEED ?= sim
ARGS ?=
PREFIX ?= /usr/local

.PHONY: all install deps deps-run demo test unit check format tidy asan tsan bench test-cuda bench-cuda clean bench-peers check-arm64 check-models soak soak-bus

all: build/release/build.ninja
	@cmake --build --preset release

build/%/build.ninja: | deps-run
	@cmake --preset $* >build/$*-configure.log 2>&1 || { cat build/$*-configure.log; exit 1; }

deps-run:
	@mkdir -p build
	@tools/deps.sh run

deps:
	@mkdir -p build
	@tools/deps.sh test

demo: all
	@build/release/tribus demo --feed "$(FEED)" --seconds "$(SECONDS)" $(ARGS)

test: deps check all tidy
	@ctest --preset release
	@$(MAKE) --no-print-directory asan tsan

unit: all
	@ctest --preset release -L unit

asan tsan: %: build/%/build.ninja
	@cmake --build --preset $* --target unit_tests
	@ctest --preset $*

check: deps
	@tools/check_arrows.py src
	@tools/check_atomics.sh src
	@tools/check_format.sh

format:
	@git ls-files '*.c' '*.h' | xargs -d '\n' clang-format -i

tidy: all
	@git ls-files 'src/*.c' | xargs -d '\n' -P 2 -n 8 clang-tidy -p build/release --quiet \
	    --extra-arg=-Wno-unknown-warning-option >build/tidy.log 2>&1 || \
	    { grep -E '(error|warning):' build/tidy.log | sort -u; exit 1; }

install: all
	@cmake --install build/release --prefix "$(PREFIX)"

test-cuda: all
	@tools/cuda_test.sh build/release $(ARGS)

bench-cuda: all
	@build/release/tribus bench cuda $(ARGS)

bench: all
	@build/release/tribus bench handoff
	@build/release/tribus bench hybrid

bench-peers: all
	@tools/deps.sh peers
	@cmake --preset release >build/release-configure.log && cmake --build --preset release --target peers
	@set -o pipefail; build/release/tribus bench fabric $(ARGS) --peers build/release/peers 2>&1 | tee build/bench-peers.txt

check-arm64: deps
	@tools/check_arm64.sh

check-models: deps
	@tools/check_models.sh

soak: all
	@for t in kill kill_slot kill_topic kill_lanes agent_soak; do \
	    echo "== test_$$t" && TRIBUS_KILLS=10000 build/release/tests/test_$$t || exit 1; done
	@TRIBUS_ROUNDS=100000 build/release/tests/test_hostile
	@TRIBUS_GRAPHS=5000 build/release/tests/test_pipeline_random
	@TRIBUS_GRAPHS=300 build/release/tests/test_pipeline_kill
	@TRIBUS_RUNS=1000000 build/release/tests/test_pipeline

# An hour unless SECONDS says otherwise.
soak-bus: all
	@TRIBUS_SOAK_SECONDS=$(if $(filter command%,$(origin SECONDS)),$(SECONDS),3600) build/release/tests/test_bus_soak

clean:
	@rm -rf build/release build/debug build/asan build/tsan build/fuzz build/*.log
