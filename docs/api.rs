//! docs/api.md.

use anyhow::Result;

use crate::{markdown::cell, rpcs, schema};

/// The contract's names, whose comments explain the reasons of errors.
const NAMES: &str = include_str!("../proto/names.rs");

/// Writes the page.
pub fn write() -> Result<String> {
    let mut page = "# API reference\n\n<!-- Written by `make docs`, from the CRD, the protos and the reasons of \
                    errors. -->\n\nThe custom resource and the gRPC services of the server. \
                    [conditions.md](conditions.md) lists the conditions and the Events, [metrics.md](metrics.md) the \
                    metrics, [logs.md](logs.md) the fields of log lines. Names and numbers never change their \
                    meaning. New fields may be added.\n"
        .to_owned();
    page += &format!("\n## ReplicaCount\n\n{}", schema::section()?);
    page += &rpcs::sections()?;
    page += "\n## Reasons of errors\n\nEach error of a call carries a `google.rpc.ErrorInfo` of the domain \
             `replica-count-manager.io` with one of these reasons. [DESIGN.md](../DESIGN.md#reads-and-writes) lists \
             the status codes.\n\n| reason | meaning |\n|---|---|\n";
    for (reason, meaning) in reasons() {
        page += &format!("| `{reason}` | {} |\n", cell(&meaning));
    }
    Ok(page)
}

/// The reasons and their comments.
fn reasons() -> Vec<(&'static str, String)> {
    let (_, module) = NAMES.split_once("pub mod reasons {").unwrap_or_default();
    let (mut reasons, mut comment) = (Vec::new(), Vec::new());
    for line in module.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            comment.push(text);
        } else if let Some(constant) = line.strip_prefix("pub const ") {
            let reason = constant.split(':').next().unwrap_or_default();
            reasons.push((reason, std::mem::take(&mut comment).join(" ")));
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_page_is_what_the_sources_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/api.md");
        let page = fs::read_to_string(path).unwrap();
        assert!(page == write().unwrap(), "{path} is older than its sources: run `make docs`");
    }

    #[test]
    fn the_page_has_fields_calls_and_reasons() {
        let page = write().unwrap();
        for part in [
            "| `spec.scaleTargetRef.name` | string, required, 1 to 253 characters |",
            "| `spec.replicas` | integer, required, at least 0 |",
            "| `status.recentDrifts[].at` | time, required |",
            "| `status.recentDrifts[].from` | integer |",
            "metadata.name must be \\<kind in lower case>",
            "\n### replicas.v1.ReplicasService\n",
            "| `SetReplicaCount` | [`SetReplicaCountRequest`](#setreplicacountrequest) |",
            "| `until` | google.protobuf.Timestamp |",
            "| `lasting_replicas` | optional int32 |",
            "| `name` (`Name` in JSON) | string |",
            "| `AUTOSCALED` | A HorizontalPodAutoscaler scales the target. |",
        ] {
            assert!(page.contains(part), "no {part:?} in {page}");
        }
    }
}
