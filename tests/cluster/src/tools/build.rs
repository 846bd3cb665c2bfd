//! Builds tools with Go once per machine, in the user's cache folder.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::tool::Tool;
use super::versions::{
    ACTIONLINT_GO_MOD, GO_MOD, OLDEST_GO_MOD, PROMTOOL_GO_MOD, PROMTOOL_SERIES, pinned, program_fits,
};

/// A Go module that tools are built from.
#[derive(Clone, Copy)]
pub(super) struct Module {
    /// It pins the versions.
    pub(super) go_mod: &'static str,
    go_sum: &'static str,
    /// The module's own program, or an empty text.
    main_go: &'static str,
    tags: &'static str,
    link_flags: fn(&'static str) -> String,
}

impl Module {
    /// All tools except promtool and actionlint.
    pub(super) const CLUSTER: Self = Self {
        go_mod: GO_MOD,
        go_sum: include_str!("../../tools/go.sum"),
        main_go: include_str!("../../tools/main.go"),
        tags: "",
        link_flags,
    };

    /// The control plane of the oldest Kubernetes that is supported.
    pub(super) const OLDEST: Self = Self {
        go_mod: OLDEST_GO_MOD,
        go_sum: include_str!("../../tools/kubernetes-1.30/go.sum"),
        main_go: include_str!("../../tools/kubernetes-1.30/main.go"),
        tags: "",
        link_flags: kubernetes_link_flags,
    };

    /// promtool, without the service discovery of Prometheus, which needs the client of every cloud.
    pub(super) const PROMTOOL: Self = Self {
        go_mod: PROMTOOL_GO_MOD,
        go_sum: include_str!("../../tools/promtool/go.sum"),
        main_go: "",
        tags: "remove_all_sd",
        link_flags: promtool_link_flags,
    };

    /// actionlint.
    pub(super) const ACTIONLINT: Self = Self {
        go_mod: ACTIONLINT_GO_MOD,
        go_sum: include_str!("../../tools/actionlint/go.sum"),
        main_go: "",
        tags: "",
        link_flags: actionlint_link_flags,
    };

    /// A key of the sources' state and of the machine that they are built for.
    fn key(&self) -> String {
        let (flags, files) = ((self.link_flags)(self.go_mod) + self.tags, KWOK_FILES.concat());
        fnv1a(&[self.go_mod, self.go_sum, self.main_go, &flags, &files, env::consts::OS, env::consts::ARCH])
    }
}

/// The control plane and kubectl are one program, which acts according to the name that it is called by.
const CONTROL_PLANE: &str = "kubernetes";

/// The files of kwok's module that a cluster needs.
const KWOK_FILES: [&str; 6] = [
    "kustomize/stage/node/fast/node-initialize.yaml",
    "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
    "kustomize/stage/pod/fast/pod-ready.yaml",
    "kustomize/stage/pod/fast/pod-complete.yaml",
    "kustomize/stage/pod/fast/pod-delete.yaml",
    "kustomize/crd/bases/kwok.x-k8s.io_portforwards.yaml",
];

/// The folder of the programs that were built from one state of the sources. Each state has its own folder.
pub(super) struct Workshop {
    pub(super) module: Module,
    folder: PathBuf,
}

impl Workshop {
    /// Chooses the folder of the sources' state. It need not exist.
    pub(super) fn open(module: Module) -> Result<Self> {
        let cache = env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute())
            .or_else(|| Some(env::home_dir()?.join(".cache")))
            .context("failed to find a cache folder: neither XDG_CACHE_HOME nor HOME is set; set one of them")?;
        let folder = cache.join("replica-count-manager/tools").join(module.key());
        Ok(Self { module, folder })
    }

    /// A program that was built earlier.
    pub(super) fn built(&self, tool: Tool) -> Option<PathBuf> {
        let program = self.folder.join(tool.name());
        program.is_file().then_some(program)
    }

    /// Builds a tool, unless another process has built it meanwhile.
    pub(super) fn build(&self, tool: Tool) -> Result<PathBuf> {
        let _lock = self.lock()?;
        if let Some(program) = self.built(tool) {
            return Ok(program);
        }
        let (package, minutes) = match tool {
            Tool::Kwok => ("sigs.k8s.io/kwok/cmd/kwok", "2 minutes"),
            Tool::Helm => ("helm.sh/helm/v4/cmd/helm", "1 minute"),
            Tool::Helm3 => ("helm.sh/helm/v3/cmd/helm", "1 minute"),
            Tool::Grpcurl => ("github.com/fullstorydev/grpcurl/cmd/grpcurl", "20 seconds"),
            Tool::Krew => ("sigs.k8s.io/krew/cmd/krew", "10 seconds"),
            Tool::Promtool => ("github.com/prometheus/prometheus/cmd/promtool", "3 minutes"),
            Tool::Actionlint => ("github.com/rhysd/actionlint/cmd/actionlint", "10 seconds"),
            _ => return self.build_control_plane(tool),
        };
        announce(&format!("building {} (about {minutes}, once per machine)", tool.name()));
        self.compile(package, tool.name())?;
        self.built(tool).with_context(|| format!("{} is missing after it was built", tool.name()))
    }

    /// The folder of kwok's stages and CRDs. The first call copies them from kwok's module.
    pub(super) fn kwok_files(&self) -> Result<PathBuf> {
        let target = self.folder.join("kwok-files");
        if target.is_dir() {
            return Ok(target);
        }
        let _lock = self.lock()?;
        let text = self.go(&["mod", "download", "-json", "sigs.k8s.io/kwok"])?;
        let module: serde_json::Value = serde_json::from_str(&text).context("failed to read go's answer")?;
        let source = Path::new(module["Dir"].as_str().context("go names no folder for kwok's module")?);
        let partial = self.folder.join("kwok-files.partial");
        fs::create_dir_all(&partial)?;
        for file in KWOK_FILES {
            let text = fs::read(source.join(file)).with_context(|| format!("kwok's module lacks {file}"))?;
            // `fs::copy` would copy the permissions too, and files of a module are read-only.
            fs::write(partial.join(Path::new(file).file_name().unwrap_or_default()), text)?;
        }
        if !target.is_dir() {
            fs::rename(&partial, &target)?;
        }
        Ok(target)
    }

    fn build_control_plane(&self, tool: Tool) -> Result<PathBuf> {
        if !self.folder.join(CONTROL_PLANE).is_file() {
            announce("building the Kubernetes control plane (about 7 minutes, once per machine)");
            self.compile(".", CONTROL_PLANE)?;
        }
        let (link, partial) = (self.folder.join(tool.name()), self.folder.join("link.partial").join(tool.name()));
        // The program acts according to its name, so the link must have the right name before it is asked for its
        // version.
        fs::create_dir_all(self.folder.join("link.partial"))?;
        let _ = fs::remove_file(&partial);
        symlink(self.folder.join(CONTROL_PLANE), &partial)?;
        let go_mod = self.module.go_mod;
        let version = pinned(tool, go_mod);
        ensure!(program_fits(tool, &partial, go_mod), "{} was built but does not say it is {version}", tool.name());
        fs::rename(&partial, &link)?;
        Ok(link)
    }

    /// Compiles to a temporary name first, so that a file with the final name is always complete.
    fn compile(&self, package: &str, name: &str) -> Result<()> {
        let partial = self.folder.join(format!("{name}.partial"));
        let output = partial.to_str().context("the cache folder's name is not UTF-8")?;
        let (tags, flags) = (self.module.tags, (self.module.link_flags)(self.module.go_mod));
        self.go(&["build", "-trimpath", "-buildvcs=false", "-tags", tags, "-ldflags", &flags, "-o", output, package])?;
        fs::rename(&partial, self.folder.join(name))?;
        Ok(())
    }

    /// Runs go on a copy of the sources, so that the folder and the state of the repository do not matter.
    fn go(&self, arguments: &[&str]) -> Result<String> {
        let source = self.folder.join("source");
        fs::create_dir_all(&source)?;
        let Module { go_mod, go_sum, main_go, .. } = self.module;
        for (name, text) in [("go.mod", go_mod), ("go.sum", go_sum), ("main.go", main_go)] {
            if !text.is_empty() {
                fs::write(source.join(name), text)?;
            }
        }
        let output = Command::new("go")
            .args(arguments)
            .current_dir(&source)
            .envs([("CGO_ENABLED", "0"), ("GOFLAGS", "-mod=readonly"), ("GOWORK", "off")])
            .output()
            .context(
                "failed to run go, which builds the cluster's programs and fetches kwok's stages: install Go 1.26 or newer",
            )?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "go {} ended with {}\n{stderr}", arguments.join(" "), output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Locks the folder for a build. The kernel releases the lock when the process ends.
    fn lock(&self) -> Result<File> {
        fs::create_dir_all(&self.folder).with_context(|| format!("failed to create {}", self.folder.display()))?;
        let file = File::create(self.folder.join("lock"))?;
        file.lock().context("failed to lock the folder of the tools")?;
        Ok(file)
    }
}

/// Writes to standard error directly, because the test harness captures the print macros.
fn announce(message: &str) {
    // A closed standard error must not stop the build.
    let _ = writeln!(io::stderr(), "{message}");
}

/// The linker flags that set all versions. Without them, version checks see v0.0.0 and "dev build".
fn link_flags(go_mod: &'static str) -> String {
    let pinned = |tool| pinned(tool, go_mod);
    let variables = settings(&[
        ("helm.sh/helm/v4/internal/version.version", pinned(Tool::Helm)),
        ("helm.sh/helm/v3/internal/version.version", pinned(Tool::Helm3)),
        ("sigs.k8s.io/krew/internal/version.gitTag", pinned(Tool::Krew)),
    ]);
    format!("-s -w -X main.version={}{}{variables}", pinned(Tool::Grpcurl), kubernetes_settings(go_mod))
}

/// The linker flags of a control plane alone.
fn kubernetes_link_flags(go_mod: &'static str) -> String {
    format!("-s -w{}", kubernetes_settings(go_mod))
}

fn kubernetes_settings(go_mod: &'static str) -> String {
    let version = pinned(Tool::KubeApiserver, go_mod);
    let mut parts = version.trim_start_matches('v').split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    settings(&[
        ("k8s.io/component-base/version.gitVersion", version),
        ("k8s.io/component-base/version.gitMajor", major),
        ("k8s.io/component-base/version.gitMinor", minor),
        ("k8s.io/component-base/version.gitTreeState", "clean"),
        ("k8s.io/client-go/pkg/version.gitVersion", version),
    ])
}

fn settings(variables: &[(&str, &str)]) -> String {
    variables.iter().map(|(variable, value)| format!(" -X {variable}={value}")).collect()
}

/// The linker flags of promtool. The Go module v0.315.1 is Prometheus 3.15.1.
fn promtool_link_flags(go_mod: &'static str) -> String {
    let version = pinned(Tool::Promtool, go_mod).trim_start_matches("v0.").replacen('3', PROMTOOL_SERIES, 1);
    format!("-s -w -X github.com/prometheus/common/version.Version={version}")
}

/// The linker flags of actionlint.
fn actionlint_link_flags(go_mod: &'static str) -> String {
    let version = pinned(Tool::Actionlint, go_mod).trim_start_matches('v');
    format!("-s -w -X github.com/rhysd/actionlint.version={version}")
}

/// FNV-1a of 64 bits. The hasher of std may change with a release of Rust. No attacker chooses the input of this key.
fn fnv1a(parts: &[&str]) -> String {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv1a_of_each_part_and_a_zero() {
        assert_eq!(fnv1a(&[]), "cbf29ce484222325");
        assert_eq!(fnv1a(&["foobar"]), fnv1a(&["foobar"]));
        assert_ne!(fnv1a(&["ab", "c"]), fnv1a(&["a", "bc"]));
    }

    #[test]
    fn link_flags_carry_the_pinned_versions() {
        let flags = link_flags(GO_MOD);
        let promtool = promtool_link_flags(PROMTOOL_GO_MOD);
        assert!(promtool.contains("=3."), "{promtool}");
        assert!(kubernetes_link_flags(OLDEST_GO_MOD).contains("gitVersion=v1.30."));
        assert!(actionlint_link_flags(ACTIONLINT_GO_MOD).contains(".version=1."));
        for tool in [Tool::Kubectl, Tool::Helm, Tool::Helm3, Tool::Krew, Tool::Grpcurl] {
            assert!(flags.contains(&format!("={}", pinned(tool, GO_MOD))), "{flags}");
        }
    }
}
