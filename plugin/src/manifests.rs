//! ReplicaCounts in a file, as `export` and `kubectl get -o yaml` write them: YAML documents, or a List in JSON or YAML.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use contract::{
    names::{CORE_GROUP, GROUP},
    replicas::v1::Target,
};
use serde::Deserialize;

use crate::{
    spec::{Override, Spec},
    target,
    yaml::Mistake,
};

/// The most bytes of a file: enough for [`MAX_OBJECTS`] with long reasons.
const MAX_BYTES: u64 = 16 << 20;

/// The most ReplicaCounts of a file: as many as the server manages in a large cluster.
const MAX_OBJECTS: usize = 10_000;

/// Bounds the work of the parser: an object of `kubectl get` has up to a few hundred nodes.
const MAX_NODES: usize = 2_000_000;

/// Why the ReplicaCounts of a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to read {file}")]
    Read { file: String, source: io::Error },
    #[error("{file} is larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge { file: String },
    #[error("{file} is no text in UTF-8")]
    Text { file: String },
    #[error("{file} holds no ReplicaCounts that can be read")]
    Parse { file: String, source: Mistake },
    #[error("{file} holds more than {MAX_OBJECTS} ReplicaCounts")]
    TooMany { file: String },
    #[error("{file} holds no ReplicaCounts")]
    Empty { file: String },
    #[error("{file} holds an object that is no ReplicaCount: {object}")]
    Other { file: String, object: String },
    #[error("the ReplicaCount {name} in {file} has no spec")]
    NoSpec { file: String, name: String },
    #[error("the ReplicaCount {name} in {file} has a negative count")]
    Negative { file: String, name: String },
    #[error("{target} in namespace {namespace} is twice in {file}")]
    Twice { file: String, target: String, namespace: String },
    #[error("{target} in {file} is of the namespace {found}, not of {wanted}")]
    Namespace { file: String, target: String, found: String, wanted: String },
}

impl Error {
    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Parse { .. } | Self::Empty { .. } | Self::Other { .. } | Self::NoSpec { .. } => {
                Some("`kubectl replicas export --help` shows how to write such a file".to_owned())
            }
            Self::Namespace { found, .. } => Some(format!("leave out --namespace, or give --namespace={found}")),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    spec: Option<ObjectSpec>,
    items: Option<Vec<Object>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    namespace: String,
}

/// The spec. Unlike around it, an unknown field is a typing error here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ObjectSpec {
    scale_target_ref: ScaleTargetRef,
    replicas: i32,
    /// The server knows this one, and a copy of the object does not change it.
    #[serde(default, rename = "originalReplicas")]
    _original_replicas: Option<i32>,
    #[serde(default)]
    reason: String,
    #[serde(default, rename = "override")]
    override_: Option<Override>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ScaleTargetRef {
    api_version: String,
    kind: String,
    name: String,
}

/// A ReplicaCount of a file. Its target has no namespace if the file names none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) target: Target,
    pub(crate) spec: Spec,
}

/// Reads the ReplicaCounts of a file; `-` is the standard input.
pub(crate) fn read(path: &Path) -> Result<Vec<Manifest>, Error> {
    let is_stdin = path == Path::new("-");
    let file = if is_stdin { "the standard input".to_owned() } else { path.display().to_string() };
    let failed = |source| Error::Read { file: file.clone(), source };
    let mut bytes = Vec::new();
    let source: Box<dyn Read> =
        if is_stdin { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(failed)?) };
    source.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::TooLarge { file });
    }
    let text = String::from_utf8(bytes).map_err(|_| Error::Text { file: file.clone() })?;
    parse(&file, &text)
}

fn parse(file: &str, text: &str) -> Result<Vec<Manifest>, Error> {
    let budget = serde_yaml::budget! { max_documents: MAX_OBJECTS + 1, max_nodes: MAX_NODES };
    let options = serde_yaml::options! { budget: budget, with_snippet: false };
    let objects: Vec<Object> = serde_yaml::from_multiple_with_options(text, options)
        .map_err(|error| Error::Parse { file: file.to_owned(), source: Mistake::from(&error) })?;
    let mut manifests = Vec::new();
    for object in objects {
        match (object.kind.as_str(), object.items) {
            ("List" | "ReplicaCountList", Some(items)) => {
                for item in items {
                    manifests.push(manifest(file, item)?);
                }
            }
            (_, items) => manifests.push(manifest(file, Object { items, ..object })?),
        }
    }
    match manifests.len() {
        0 => Err(Error::Empty { file: file.to_owned() }),
        count if count > MAX_OBJECTS => Err(Error::TooMany { file: file.to_owned() }),
        _ => Ok(manifests),
    }
}

fn manifest(file: &str, object: Object) -> Result<Manifest, Error> {
    let Object { api_version, kind, metadata, spec, .. } = object;
    let is_ours = api_version.split_once('/').is_some_and(|(group, _)| group == GROUP) && kind == "ReplicaCount";
    let file = || file.to_owned();
    if !is_ours {
        return Err(Error::Other { file: file(), object: format!("{kind} {}", metadata.name).trim().to_owned() });
    }
    let spec = spec.ok_or_else(|| Error::NoSpec { file: file(), name: metadata.name.clone() })?;
    let ObjectSpec {
        scale_target_ref: ScaleTargetRef { api_version, kind, name }, replicas, reason, override_, ..
    } = spec;
    if replicas.min(override_.as_ref().map_or(0, |over| over.replicas)) < 0 {
        return Err(Error::Negative { file: file(), name: metadata.name });
    }
    let group = api_version.split_once('/').map_or(CORE_GROUP, |(group, _)| group).to_owned();
    let target = Target { namespace: metadata.namespace, group, kind, name };
    Ok(Manifest { target, spec: Spec { replicas, original_replicas: None, reason, override_ } })
}

/// Puts the targets into their namespaces, and refuses a target that is there twice.
///
/// `given` is the namespace of the flag. As in kubectl, no object may name another one.
pub(crate) fn place(file: &Path, manifests: &mut [Manifest], given: Option<&str>, default: &str) -> Result<(), Error> {
    let file = || file.display().to_string();
    let mut known = std::collections::BTreeSet::new();
    for Manifest { target, .. } in manifests {
        let name = target::name(target);
        if target.namespace.is_empty() {
            default.clone_into(&mut target.namespace);
        }
        let found = target.namespace.clone();
        if let Some(wanted) = given.filter(|given| *given != found) {
            return Err(Error::Namespace { file: file(), target: name, found, wanted: wanted.to_owned() });
        }
        if !known.insert((found.clone(), name.clone())) {
            return Err(Error::Twice { file: file(), target: name, namespace: found });
        }
    }
    Ok(())
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
