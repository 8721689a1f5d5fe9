# make run     the demo: installs, builds, starts; Ctrl-C ends it
# make test    everything that is checked: installs, builds, lints, tests
# make bench   Sluice against its rivals, with bars (make bench ARGS="h1-uring --rounds 5")
# make soak    ten minutes of mixed traffic with aborts (make soak MINUTES=1)
# make fuzz    long random runs of the protocol machines
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := node_modules/.bin
NODE ?= node
MINUTES ?= 10
SOURCES := $(shell find src workers bench test -name '*.ts')

.PHONY: help run demo build native lint test test-native test-js packages bench soak fuzz pictures clean

help:
	@sed -n 's/^# //p' Makefile

# Tools that compile the native module, for a machine that has none. Only root can install them.
.PHONY: toolchain
toolchain:
	@bash bench/setup/packages.sh toolchain

node_modules/.installed: package.json package-lock.json binding.gyp $(wildcard native/*.c native/*.h) | toolchain
	npm ci --no-audit --no-fund
	@mkdir -p $(BIN) && ln -sf ../../dist/src/cli/main.js $(BIN)/sluice
	@touch $@

dist/.built: node_modules/.installed tsconfig.json $(SOURCES)
	$(BIN)/tsc -p tsconfig.json
	@chmod +x dist/src/cli/main.js
	@touch $@

build: dist/.built

run: dist/.built
	@$(NODE) dist/src/demo/main.js $(ARGS)

lint: node_modules/.installed
	$(BIN)/biome check .

packages:
	@bash bench/setup/packages.sh test

test-native:
	$(MAKE) --no-print-directory -C native/test

test: dist/.built packages lint test-native
	$(NODE) --test --test-concurrency=2 --test-timeout=240000 $(ARGS) 'dist/test/**/*.test.js'

bench: dist/.built
	@bash bench/setup/packages.sh bench
	$(NODE) dist/bench/main.js $(ARGS)

soak: dist/.built
	$(NODE) dist/bench/soak.js --minutes $(MINUTES) $(ARGS)

pictures: dist/.built
	$(NODE) dist/bench/balance.js
	$(NODE) dist/bench/picture.js

fuzz: dist/.built
	FUZZ_RUNS=200000 $(NODE) --test 'dist/test/**/*.fuzz.test.js' 'dist/test/http1/*.test.js' 'dist/test/detect/*.test.js'

clean:
	rm -rf dist build node_modules
