# An index of commands; each line below is the command itself.

# Names of this machine's processor: Rust's, and that of Go, images and krew.
RUST_ARCH := $(patsubst arm64,aarch64,$(shell uname -m))
ARCH := $(patsubst x86_64,amd64,$(patsubst aarch64,arm64,$(RUST_ARCH)))
OS := $(shell uname -s | tr A-Z a-z)
TARGET := $(RUST_ARCH)-unknown-linux-gnu

VERSION = $(shell cargo pkgid | sed 's/.*[\#@]//')
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

# The control plane of the tests: empty is the newest Kubernetes, 1.30 the oldest one that is supported.
KUBERNETES =
export KUBERNETES

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
	DRIFTS=$(DRIFTS) ATTACK_SECONDS=$(ATTACK_SECONDS) ATTACKED_SERVER=$(RELEASE)/replica-count-manager cargo test --workspace --test tests -- --ignored --nocapture --test-threads=1

.PHONY: check
check: sizes imports ## Check the format, the sizes, the imports, the lints and the unit tests
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

# What the checks of the dependencies run.
DENY_VERSION := 0.18.9
DENY_ROOT := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/replica-count-manager/tools/cargo-deny-$(DENY_VERSION)

.PHONY: deny
deny: $(DENY_ROOT)/bin/cargo-deny ## Check the licences and sources of the dependencies
	$< --all-features check licenses bans sources

$(DENY_ROOT)/bin/cargo-deny:
	cargo install --locked --root $(DENY_ROOT) --version $(DENY_VERSION) cargo-deny

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
recording: ## Run the commands of docs/recordings again, and draw them
	cargo build --workspace --bins
	UPDATE_TRANSCRIPT=1 cargo test --workspace --test tests -- recordings::
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
lint-chart: ## Check the chart; needs helm
	helm lint --strict $(CHART) --set certificates.existingSecret=certificates
	helm template replica-count-manager $(CHART) --set certificates.existingSecret=certificates >/dev/null

.PHONY: krew
krew: ## Build the plugin and pack it for krew, in dist/
	cargo build --profile plugin -p kubectl-replicas
	krew/archive $(OS) $(ARCH) target/plugin/kubectl-replicas
	krew/manifest dist/kubectl-replicas-*.tar.gz >dist/replicas.yaml

.PHONY: image
image: ## Build the server's image; needs buildah, but no daemon
	RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --target $(TARGET) -p replica-count-manager
	install -D target/$(TARGET)/release/replica-count-manager dist/linux-$(ARCH)/replica-count-manager
	buildah --storage-driver vfs build --isolation chroot --tag $(IMAGE) .
