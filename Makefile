# make run     the demo: installs, builds, starts; Ctrl-C ends it
# make test    everything that is checked: installs, builds, lints, tests
# make peers   builds the servers and clients in other languages that tests meet; kept in ~/.cache (make test does it)
# make spire   builds SPIRE, which gives identities out, for the tests that are skipped without it; takes minutes, once
# make kubernetes   builds Kubernetes' API server, controllers and kubectl, likewise; takes ten minutes, once
# make test-transport    the end-to-end tests of the data path, with a transport under every connection: one that cuts all to pieces, then TLS
# make bench   Sluice against its rivals, with bars (make bench ARGS="h1-uring --rounds 5"),
#              or against an older build (make bench ARGS="--baseline DIR --no-rivals")
# make bench-gate    whether this build costs more CPU time than the commit that it comes from (ARGS="--base COMMIT --limit 1.02")
# make soak    ten minutes of mixed traffic with aborts, stalled readers and floods (make soak MINUTES=1)
# make stalled    what a thousand stalled readers cost their neighbours, with a bar (needs root)
# make redirect-bench      what the redirect of a pod's traffic costs a request, with a bar; needs root
# make wakeups    what a request costs that comes alone, in system calls and context switches, and how often an idle process wakes up
# make controller-bench    what a controller of a large cluster costs, with bars (make controller-bench ARGS="--sidecars 100")
# make fuzz    long random runs of the protocol machines (make fuzz FACTOR=1000)
# make memory  what is in the memory of an idle process, as a table (make memory NODE=/path/to/node)
# make allocations    what a request allocates, from V8's log over a million requests (ARGS="--from DIR": another build)
# make prebuilds    the native module for x64 and arm64, glibc and musl, in prebuilds/; zig compiles it, and is kept in ~/.cache
# make package    the package to release, with these
# make pictures    docs/bench.svg from the last bench, docs/balance.svg, docs/fairness.svg
# make test-node NODE_VERSION=24    the quick tests on another Node.js, with this build
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := node_modules/.bin
NODE ?= node
NODE_VERSION ?= 24
MINUTES ?= 10
FACTOR ?= 100
SOURCES := $(sort $(shell find src workers bench test -name '*.ts'))
ADDON := build/Release/sluice.node

# Headers that came with this Node.js are used rather than fetched.
HEADERS := $(shell $(NODE) -p 'require("path").resolve(process.execPath, "../..")' 2>/dev/null)
ifneq ($(wildcard $(HEADERS)/include/node/node_api.h),)
export npm_config_nodedir := $(HEADERS)
endif

.PHONY: help run build lint test test-native test-transport test-node packages peers spire kubernetes bench bench-gate allocations memory soak stalled wakeups redirect-bench controller-bench fuzz pictures prebuilds package clean FORCE

help:
	@sed -n '/^# make/,/^[^#]/s/^# //p' Makefile

# Tools that compile the native module, for a machine that has none. Only root can install them. Where they are still missing and
# there is something to compile, what make says last is what to install: not what failed for want of it, a screen earlier.
COMPILED = $(shell [ -e $(ADDON) ] && [ -z "$$(find native binding.gyp -newer $(ADDON))" ] && echo yes)
LACKING = $(shell bash bench/setup/packages.sh toolchain lacking)
.PHONY: toolchain toolchain-installed
toolchain-installed:
	@bash bench/setup/packages.sh toolchain
toolchain: toolchain-installed
	$(if $(COMPILED),,$(if $(LACKING),$(error Sluice cannot compile its native module. Install $(LACKING) and run make again)))
	@$(NODE) -e '[a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)' || \
	  { echo 'Sluice needs Node.js 20.19 or later as "$(NODE)" (make NODE=/path/to/node)' >&2; exit 1; }

# npm removes node_modules before it begins, so the stamp is there only if it came to its end.
node_modules/.installed: package.json package-lock.json | toolchain
	npm ci --include=dev --no-audit --no-fund
	@touch $@

# The install script leaves a module that loads as it is, however old.
$(ADDON): binding.gyp $(wildcard native/*.c native/*.h) node_modules/.installed
	@if [ ! -e $@ ] || [ -n "$$(find native binding.gyp -newer $@)" ]; then npm_config_build_from_source=true npm run install; fi
	@touch $@

# What was compiled from a source that is gone would still be run as a test.
dist/.sources: FORCE
	@tr ' ' '\n' <<<'$(SOURCES)' | cmp -s - $@ || { rm -rf dist && mkdir dist && tr ' ' '\n' <<<'$(SOURCES)' >$@; }

dist/.built: $(ADDON) tsconfig.json bundle.mjs dist/.sources $(SOURCES) $(wildcard src/dashboard/page.*)
	$(BIN)/tsc -p tsconfig.json
	$(BIN)/tsc -p src/dashboard/page
	$(NODE) bundle.mjs
	@chmod +x dist/src/cli/main.js
	@ln -sf ../../dist/src/cli/main.js $(BIN)/sluice
	@touch $@

build: dist/.built

run: dist/.built
	@$(NODE) dist/src/demo/main.js $(ARGS)

lint: node_modules/.installed
	$(BIN)/biome check .

packages:
	@bash bench/setup/packages.sh test

peers:
	@bash test/interop/peers/setup.sh
	@bash test/interop/tools/setup.sh
	@bash test/interop/peers/envoy.sh

spire:
	@bash test/interop/peers/spire.sh

kubernetes:
	@bash bench/setup/packages.sh kubernetes
	@bash test/interop/peers/kubernetes.sh

test-native:
	$(MAKE) --no-print-directory -C native/test

# The protocols see plain bytes, whatever carries them: with a transport that is late, cuts everything to pieces and holds ends
# back, they do as without. One executor is enough, as what is tested lies above it: the first run has had both.
UNDER_TRANSPORT = http1-bodies http1-bodies-node http1-forwarding http1-interim http1-large-heads http1-limits http1-pipelining \
  http1-to-http2 http1-to-http2-trouble http2-to-http1 http2-to-http1-trouble grpc-calls \
  opaque-endpoints opaque-relay opaque-servers \
  combinations-answers combinations-bodies combinations-large-heads combinations-pressure combinations-retries combinations-tunnels \
  http2-conformance-concurrency http2-conformance-connection-frames http2-conformance-flow http2-conformance-frames \
  http2-conformance-hpack http2-conformance-malformed http2-conformance-messages http2-conformance-split \
  http2-conformance-stream-frames http2-conformance-streams
# And in TLS, on every leg.
UNDER_TLS = http1-bodies http1-forwarding http1-pipelining http1-to-http2 http2-to-http1 grpc-calls opaque-servers \
  combinations-pressure combinations-tunnels http2-conformance-flow http2-conformance-split http2-conformance-streams
test-transport: dist/.built packages
	TEST_TRANSPORT=rechunking TEST_EXECUTORS=$${TEST_EXECUTORS:-epoll} \
	  $(RUN) $(UNDER_TRANSPORT:%=dist/test/e2e/%.test.js)
	TEST_TRANSPORT=tls TEST_EXECUTORS=$${TEST_EXECUTORS:-epoll} \
	  $(RUN) $(UNDER_TLS:%=dist/test/e2e/%.test.js)

test: dist/.built packages peers lint test-native test-transport
	$(RUN) $(ARGS) $$(find dist/test -name '*.test.js' | sort)

# Runs files of tests, and those that failed once more where they are few: see test/main.ts.
RUN = $(NODE) --test-timeout=480000 dist/test/main.js

# Everything but the end-to-end tests, of which a few are enough to see the data paths on both executors; and those of TLS, as another
# Node.js has another OpenSSL.
OTHER_NODE := node_modules/.cache/node-$(NODE_VERSION)
test-node: dist/.built
	@npm install --silent --no-audit --no-fund --prefix $(OTHER_NODE) node-linux-$$($(NODE) -p process.arch)@$(NODE_VERSION)
	@PATH="$$(echo $(CURDIR)/$(OTHER_NODE)/node_modules/node-linux-*/bin):$$PATH" && node --version && \
	  node --test-timeout=480000 dist/test/main.js $(ARGS) \
	    $$(find dist/test -name '*.test.js' -not -path '*/e2e/*' | sort) \
	    dist/test/e2e/{http1-forwarding,http2-conformance-frames,http2-to-http1,grpc-calls}.test.js \
	    dist/test/e2e/{tls-listeners,tls-services,tls-files,mesh-refusals,mesh-rotation,identity-files}.test.js

bench-gate: dist/.built
	$(NODE) dist/src/cli/main.js bench gate --out .bench/gate --force $(ARGS)

bench: dist/.built
	@bash bench/setup/packages.sh bench
	@mkdir -p .bench
	$(NODE) dist/bench/main.js --json .bench/results.json $(ARGS)

soak: dist/.built
	$(NODE) dist/bench/soak.js --minutes $(MINUTES) $(ARGS)

stalled: dist/.built
	$(NODE) dist/bench/stalled.js $(ARGS)

redirect-bench: dist/.built
	@bash bench/setup/packages.sh bench
	$(NODE) dist/bench/redirect.js $(ARGS)

wakeups: dist/.built
	$(NODE) dist/bench/wakeups.js $(ARGS)

controller-bench: dist/.built
	$(NODE) dist/bench/controller.js $(ARGS)

allocations: dist/.built
	$(NODE) dist/bench/allocations.js $(ARGS)

memory: dist/.built
	$(NODE) dist/bench/memory/main.js $(ARGS)

pictures: dist/.built
	$(NODE) dist/bench/balance.js
	$(NODE) dist/bench/fairness.js
	$(NODE) dist/bench/picture.js $(firstword $(wildcard .bench/results.json) docs/bench.json)
	@[ ! -e .bench/results.json ] || cp .bench/results.json docs/bench.json

prebuilds:
	@native/prebuilds.sh

package: dist/.built prebuilds
	npm pack --ignore-scripts

fuzz: dist/.built
	FUZZ_FACTOR=$(FACTOR) $(NODE) --test --test-timeout=0 $$(grep -rl "support/runs.js" dist/test --include='*.test.js' | sort)

clean:
	rm -rf dist build node_modules
