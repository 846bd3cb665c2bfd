//! The versions of the tools. Only the `go.mod` files of `tools/` pin them.

use std::path::Path;
use std::process::Command;

use super::tool::Tool;

pub(super) const GO_MOD: &str = include_str!("../../tools/go.mod");

/// Of the control plane alone, of the oldest Kubernetes that is supported.
pub(super) const OLDEST_GO_MOD: &str = include_str!("../../tools/kubernetes-1.30/go.mod");

pub(super) const PROMTOOL_GO_MOD: &str = include_str!("../../tools/promtool/go.mod");

pub(super) const ACTIONLINT_GO_MOD: &str = include_str!("../../tools/actionlint/go.mod");

/// The start of promtool's versions. The Go module of Prometheus 3.15 has the version 0.315.
pub(super) const PROMTOOL_SERIES: &str = "3.";

/// The arguments that make a tool print its version.
const fn arguments(tool: Tool) -> &'static [&'static str] {
    match tool {
        Tool::Kubectl => &["version", "--client"],
        Tool::Helm | Tool::Helm3 => &["version", "--short"],
        Tool::Krew => &["version"],
        _ => &["--version"],
    }
}

/// Whether a program is a tool of a version that fits the one that a `go.mod` pins.
pub(super) fn program_fits(tool: Tool, program: &Path, go_mod: &str) -> bool {
    let Ok(output) = Command::new(program).args(arguments(tool)).output() else {
        return false;
    };
    // grpcurl prints its version on standard error.
    let text = [output.stdout, output.stderr].concat();
    fits(&String::from_utf8_lossy(&text), &series(tool, go_mod))
}

/// Whether the version in a tool's output has this beginning.
fn fits(text: &str, wanted: &str) -> bool {
    let is_separator = |c: char| c.is_whitespace() || matches!(c, ',' | ':' | '(' | ')' | '"');
    text.split(is_separator).any(|word| word.strip_prefix('v').unwrap_or(word).starts_with(wanted))
}

/// The version of the module that a tool comes from, such as `v1.37.2`, as a `go.mod` pins it.
pub(super) fn pinned(tool: Tool, go_mod: &str) -> &str {
    let module = match tool {
        Tool::Etcd => "go.etcd.io/etcd/server/v3",
        Tool::Kwok => "sigs.k8s.io/kwok",
        Tool::Helm => "helm.sh/helm/v4",
        Tool::Helm3 => "helm.sh/helm/v3",
        Tool::Grpcurl => "github.com/fullstorydev/grpcurl",
        Tool::Krew => "sigs.k8s.io/krew",
        Tool::Promtool => "github.com/prometheus/prometheus",
        Tool::Actionlint => "github.com/rhysd/actionlint",
        _ => "k8s.io/kubernetes",
    };
    go_mod
        .lines()
        .filter_map(|line| line.trim().strip_prefix(module)?.strip_prefix(' '))
        .find_map(|rest| rest.split_whitespace().next())
        .unwrap_or_default()
}

/// The start of every version that fits. Kubernetes, etcd and kwok change behaviour with minor versions, the other
/// tools only with major versions.
fn series(tool: Tool, go_mod: &str) -> String {
    if tool == Tool::Promtool {
        return PROMTOOL_SERIES.to_owned();
    }
    let version = pinned(tool, go_mod).trim_start_matches('v');
    let is_by_major = matches!(tool, Tool::Helm | Tool::Helm3 | Tool::Grpcurl | Tool::Krew | Tool::Actionlint);
    let parts = if is_by_major { 1 } else { 2 };
    version.split('.').take(parts).map(|part| format!("{part}.")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go_mod(tool: Tool) -> &'static str {
        match tool {
            Tool::Promtool => PROMTOOL_GO_MOD,
            Tool::Actionlint => ACTIONLINT_GO_MOD,
            _ => GO_MOD,
        }
    }

    #[test]
    fn every_tool_is_pinned() {
        for tool in Tool::ALL {
            assert!(pinned(tool, go_mod(tool)).starts_with('v'), "{} is not in go.mod", tool.name());
        }
        assert!(pinned(Tool::KubeApiserver, OLDEST_GO_MOD).starts_with("v1.30."), "{OLDEST_GO_MOD}");
    }

    #[test]
    fn a_version_fits_within_its_series_only() {
        let minor = series(Tool::Kubectl, GO_MOD);
        let fitting = [
            (Tool::Kubectl, format!("Client Version: v{minor}99\nKustomize Version: v5.8.1")),
            (Tool::KubeApiserver, format!("Kubernetes v{minor}0")),
            (Tool::Helm, "v4.0.0+g1234567".to_owned()),
            (Tool::Helm3, "v3.4.5+g1234567".to_owned()),
            (Tool::Promtool, "promtool, version 3.5.0 (branch: HEAD, revision: 8be3a9560)".to_owned()),
        ];
        let other = [
            (Tool::Kubectl, "Client Version: v1.3.4\nKustomize Version: v5.5.0"),
            (Tool::Etcd, "etcd Version: 1.0.0\nGo Version: go3.7.1"),
            (Tool::Helm, "v3.22.0+g1234567"),
            (Tool::Helm3, "v4.3.1+g1234567"),
            (Tool::Promtool, "promtool, version 2.42.0+ds (branch: debian/sid)\n go version: go1.19"),
        ];
        for (tool, text) in fitting {
            assert!(fits(&text, &series(tool, go_mod(tool))), "{text}");
        }
        for (tool, text) in other {
            assert!(!fits(text, &series(tool, go_mod(tool))), "{text}");
        }
    }
}
