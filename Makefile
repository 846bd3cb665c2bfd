# An index of commands; each line below is the command itself.

# The steps of a release depend on their order, and Cargo uses every processor by itself.
.NOTPARALLEL:

# This machine, in the words of Go, images and krew.
ARCH := $(patsubst x86_64,amd64,$(patsubst aarch64,arm64,$(shell uname -m)))
PLATFORM := $(shell uname -s | tr A-Z a-z)-$(ARCH)

VERSION := $(shell awk -F '"' '/^version = / { print $$2; exit }' Cargo.toml)
IMAGE = replica-count-manager:$(VERSION)
CHART := charts/replica-count-manager

# How many inputs each target of `make fuzz` gets, and which; a run that failed is repeated with the seed that it printed.
FUZZ_INPUTS = 1000000
FUZZ_SEED := $(shell date +%s)

# How many drifts `make stress` writes to see that nothing grows. The first tenth is what the rest is compared with, so it
# must be enough to fill what is kept: with 40,000 it is.
DRIFTS = 100000

# How long `make stress` attacks the release build as a hostile tenant.
ATTACK_SECONDS = 600
RELEASE := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)/release

# Where tools of a fixed version are kept, one folder for each.
TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/replica-count-manager/tools

# The control plane of the tests: empty is the newest Kubernetes, 1.30 the oldest one that is supported.
KUBERNETES =
export KUBERNETES

# Another version of both programs, for `make skew`: the latest tag, or the commit before if there is none.
SKEW = $(or $(shell git describe --tags --abbrev=0 --match 'v*' HEAD^ 2>/dev/null),HEAD^)

# The platforms that `make release` builds the plugin for. The server is for those of Linux. dist/bin may hold more, from Macs.
PLATFORMS = linux-amd64 linux-arm64 windows-amd64
export PLATFORMS

.PHONY: help
help: ## Print this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: demo
demo: ## See it work, on a real control plane that it starts; KEEP=1 leaves it running
	cargo build --workspace --bins
	target/debug/demo

.PHONY: test
test: ## Run every test, on a real control plane that they start; KUBERNETES=1.30 takes the oldest one
	cargo build --workspace --bins
	cargo test --workspace

.PHONY: stress
stress: ## Run the tests that take minutes each, one after another
	cargo build --workspace --bins
	cargo build --release -p replica-count-manager
	DRIFTS=$(DRIFTS) ATTACK_SECONDS=$(ATTACK_SECONDS) ATTACKED_SERVER=$(RELEASE)/replica-count-manager cargo test --workspace --test tests -- --ignored --skip skew:: --skip released:: --nocapture --test-threads=1

.PHONY: skew
skew: ## Run each program with the other one of another version: the latest tag, or SKEW=COMMIT
	tests/skew/build $(SKEW)
	cargo build --workspace --bins
	cargo test --workspace --test tests -- --ignored skew:: --nocapture

.PHONY: check
check: sizes imports pins ## Check the format, the sizes, the imports, the pins, the lints and the unit tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace --lib --bins

# Unit tests below a file's code do not count; clippy.toml holds the bound of functions.
.PHONY: sizes
sizes: ## Check that no Rust file has over 300 lines
	@git ls-files '*.rs' | xargs awk ' \
		FNR == 1 { lines = 0; counts = 1 } \
		/^mod tests \{/ { counts = 0 } \
		counts && ++lines == 301 { print FILENAME ": over 300 lines without its tests"; failed = 1 } \
		END { exit failed }'

.PHONY: imports
imports: ## Check that no files of a crate import each other in a circle
	@cargo run --quiet -p imports -- proto/lib.rs server/src/lib.rs plugin/src/lib.rs tests/cluster/src/lib.rs tests/support/src/lib.rs

# A tag can be moved to other code, a commit cannot.
.PHONY: pins
pins: ## Check that every action of a workflow is pinned by its commit, with its version beside
	@! git grep -nE '^ *(- )?uses:' -- .github | grep -vE 'uses: (\./[^@ ]+|[^@ ]+@[0-9a-f]{40} # v[0-9.]+)$$'

# Commands of Cargo. The folder's name has the name, the version and, if the program needs one, a feature of the package.
part = $(word $(1),$(subst -, ,$*))
$(TOOLS)/cargo-%:
	rm -rf $@.partial
	cargo install --locked --root $@.partial --version $(call part,2) $(addprefix --features ,$(call part,3)) cargo-$(call part,1)
	test -x $@.partial/bin/cargo-$(call part,1)
	mv $@.partial $@

DENY := $(TOOLS)/cargo-deny-0.18.9

.PHONY: deny
deny: $(DENY) ## Check the licences and sources of the dependencies
	$</bin/cargo-deny --all-features check licenses bans sources

.PHONY: advisories
advisories: $(DENY) ## Check the dependencies for known vulnerabilities; needs the network
	$</bin/cargo-deny --all-features check advisories

.PHONY: fuzz
fuzz: ## Fuzz everything that is read from outside, with a million inputs for each parser and each call
	cargo build --profile fuzz --workspace --bins
	FUZZ_INPUTS=$(FUZZ_INPUTS) FUZZ_SEED=$(FUZZ_SEED) cargo test --profile fuzz --workspace --lib --bins --test tests fuzz:: -- --nocapture

# Which section; all, and docs/benchmarks.md, if none is named.
BENCH =

.PHONY: bench
bench: ## Measure everything beside what it is compared with, and save it in docs/benchmarks.md; BENCH=drift does one
	cargo build --release -p replica-count-manager -p certificates
	cargo build --release -p kubectl-replicas
	cargo bench -p benches --bench bench -- $(BENCH)

.PHONY: recording
recording: ## Run the commands of docs/recordings and docs/admission-texts.md again, and draw the former
	cargo build --workspace --bins
	UPDATE_TRANSCRIPT=1 cargo test --workspace --test tests -- recordings:: admission::modes::helm_4
	target/debug/recording docs/recordings/*.txt

.PHONY: certificates
certificates: ## Make a CA, a server certificate and a client certificate
	cargo run --quiet -p certificates

.PHONY: chart
chart: ## Write what follows from the Rust types and values.yaml: the chart's CRD, README and schema
	cargo build --workspace --bins
	target/debug/crd >$(CHART)/files/crd.yaml.new
	mv $(CHART)/files/crd.yaml.new $(CHART)/files/crd.yaml
	target/debug/values $(CHART)

.PHONY: docs
docs: ## Write what follows from the plugin's help, the CRD and the protos: docs/plugin.md, docs/api.md
	cargo build --workspace --bins
	target/debug/docs page >docs/plugin.md.new
	mv docs/plugin.md.new docs/plugin.md
	target/debug/docs api >docs/api.md.new
	mv docs/api.md.new docs/api.md

.PHONY: links
links: ## Check that the links between the pages lead somewhere
	cargo run --quiet -p docs -- links .

# What builds the site.
MDBOOK_VERSION := 0.5.4
MDBOOK_ROOT := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/replica-count-manager/tools/mdbook-$(MDBOOK_VERSION)

.PHONY: docs-site
docs-site: $(MDBOOK_ROOT)/bin/mdbook ## Build the pages as a site, in dist/site
	cargo run --quiet -p docs -- site . dist/docs
	$< build dist/docs --dest-dir $(CURDIR)/dist/site

$(MDBOOK_ROOT)/bin/mdbook:
	cargo install --locked --no-default-features --features search --root $(MDBOOK_ROOT) --version $(MDBOOK_VERSION) mdbook

.PHONY: man
man: ## Write the man pages of the plugin, in dist/man
	cargo build --workspace --bins
	target/debug/docs man dist/man

.PHONY: lint-chart
lint-chart: ## Check the chart
	helm=$$(cargo run --quiet --package cluster --bin tool helm) && \
	$$helm lint --strict $(CHART) --set certificates.existingSecret=certificates && \
	$$helm template replica-count-manager $(CHART) --set certificates.existingSecret=certificates >/dev/null

# What the steps of a release run. zig and its wrapper of Cargo are packages of PyPI.
ZIG := $(TOOLS)/zig-0.15.2-zigbuild-0.24.1
AUDITABLE := $(TOOLS)/cargo-auditable-0.7.5
ABOUT := $(TOOLS)/cargo-about-0.9.1-cli
CYCLONEDX := $(TOOLS)/cargo-cyclonedx-0.5.9
RELEASE_TOOLS := $(AUDITABLE) $(ABOUT) $(CYCLONEDX) $(ZIG)
WITH_RELEASE_TOOLS := PATH="$(subst $() ,:,$(addsuffix /bin,$(RELEASE_TOOLS))):$$PATH" CARGO_ZIGBUILD_ZIG_PATH=$(ZIG)/ziglang/zig

# Which of them build for these platforms. Those of Apple are built without zig.
build_tools = $(AUDITABLE) $(if $(filter-out darwin-%,$(1)),$(ZIG))

$(ZIG):
	rm -rf $@.partial
	python3 -m pip install --quiet --no-deps --target $@.partial ziglang==0.15.2 cargo-zigbuild==0.24.1
	mv $@.partial $@

# The steps in their order. Each is a script of the folder release, and can be run alone.
RELEASE_STEPS := check build licenses archives sbom image chart krew notes checksums

.PHONY: release
release: release-clean $(RELEASE_STEPS:%=release-%) ## Make all files of a release, in dist/release; RELEASE.md lists what it needs

.PHONY: release-clean
release-clean:
	rm -rf dist/release

# Each step installs only what it runs, so that a Mac, which only builds, needs no Python and waits for nothing else.
release-build: $(call build_tools,$(PLATFORMS))
release-licenses: $(ABOUT)
release-sbom: $(CYCLONEDX)

.PHONY: $(RELEASE_STEPS:%=release-%) release-equal
$(RELEASE_STEPS:%=release-%) release-equal: release-%:
	$(WITH_RELEASE_TOOLS) release/$*

# On a cluster of the tests, by krew and Helm.
.PHONY: release-test
release-test: ## Install the files that `make release` made, and start the image
	cargo build --workspace --bins
	cargo test --workspace --test tests -- --ignored released:: --nocapture

.PHONY: krew
krew: $(call build_tools,$(PLATFORM)) ## Build the plugin and pack it for krew, in dist/
	$(WITH_RELEASE_TOOLS) release/program kubectl-replicas $(PLATFORM)
	release/archive kubectl-replicas $(PLATFORM) dist/bin/$(PLATFORM)/kubectl-replicas
	krew/manifest replicas dist/kubectl-replicas-$(PLATFORM).tar.gz >dist/replicas.yaml

.PHONY: image
image: $(call build_tools,linux-$(ARCH)) $(ABOUT) ## Build the server's image; needs buildah, but no daemon
	$(WITH_RELEASE_TOOLS) release/program replica-count-manager linux-$(ARCH)
	$(WITH_RELEASE_TOOLS) release/licenses
	buildah --storage-driver vfs build --isolation chroot --tag $(IMAGE) .
