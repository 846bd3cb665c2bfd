//! Plans a process for each container of a pod's spec.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Container, PodSpec};
use kube::ResourceExt;
use serde_json::json;

use super::context::Context;
use super::plan::Plan;
use super::probe::Probes;
use super::rewrite::{Rewrites, expand};
use super::service;
use super::source::Source;
use crate::certificates::kubeconfig;
use crate::{ports, process};

/// Where the ServiceAccount admission plugin mounts its volume.
const ACCOUNT_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Chooses a free port of this machine for each declared port of the pod's containers.
pub(super) fn host_ports(spec: &PodSpec) -> Result<BTreeMap<u16, u16>> {
    let declared = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    declared.map(|port| Ok((u16::try_from(port.container_port)?, ports::free()?))).collect()
}

/// Plans every container of a pod whose volumes are in `folder`.
pub(super) async fn plans(
    context: &Context,
    source: &Source,
    folder: &Path,
    ports: &BTreeMap<u16, u16>,
) -> Result<Vec<Plan>> {
    let spec = source.pod.spec.clone().context("the pod has no spec")?;
    ensure!(spec.init_containers.unwrap_or_default().is_empty(), "init containers are not supported");
    let mut plans = Vec::new();
    for container in &spec.containers {
        let rewrites = Rewrites { mounts: mounts(container, folder), ports: ports.clone(), ..Rewrites::default() };
        let plan = plan(context, source, folder, container, rewrites).await;
        plans.push(plan.with_context(|| format!("failed to prepare the container {}", container.name))?);
    }
    Ok(plans)
}

async fn plan(
    context: &Context,
    source: &Source,
    folder: &Path,
    container: &Container,
    mut rewrites: Rewrites,
) -> Result<Plan> {
    let image = container.image.clone().unwrap_or_default();
    let program = context.program(&image).with_context(|| format!("no local program stands for the image {image}"))?;
    let mut environment = environment(source, container).await?;
    // The first word of a command is the program's path in the image.
    let command = container.command.iter().flatten().skip(1);
    let words = command.chain(container.args.iter().flatten());
    let words: Vec<_> = words.map(|word| expand(word, &environment)).collect();
    rewrites.services = service::addresses(context, words.iter().chain(environment.values())).await?;
    let arguments = words.iter().map(|word| rewrites.apply(word)).collect();
    for value in environment.values_mut() {
        *value = rewrites.apply(value);
    }
    if let Some(account) = rewrites.mounts.get(ACCOUNT_MOUNT) {
        let file = account_kubeconfig(context, source, folder, account)?;
        environment.insert("KUBECONFIG".into(), file.display().to_string());
    }
    let name = container.name.clone();
    let policy = source.pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    Ok(Plan {
        probes: Probes::new(container, |port| rewrites.ports.get(&port).copied())?,
        record: process::record(&context.files.run(), &format!("pod-{}-{name}", source.pod.uid().unwrap_or_default())),
        log: folder.join(format!("{name}.log")),
        folder: folder.to_owned(),
        name,
        image,
        program,
        arguments,
        environment,
        restarts: policy != Some("Never"),
    })
}

fn mounts(container: &Container, folder: &Path) -> BTreeMap<String, PathBuf> {
    let mounts = container.volume_mounts.iter().flatten();
    mounts
        .map(|mount| {
            let folder = volumes(folder).join(&mount.name).join(mount.sub_path.as_deref().unwrap_or_default());
            // A join with an empty path adds a trailing slash, which `components` removes.
            (mount.mount_path.trim_end_matches('/').to_owned(), folder.components().collect())
        })
        .collect()
}

/// The folder of a pod's volumes.
pub(super) fn volumes(folder: &Path) -> PathBuf {
    folder.join("volumes")
}

async fn environment(source: &Source, container: &Container) -> Result<BTreeMap<String, String>> {
    if container.env_from.as_ref().is_some_and(|sources| !sources.is_empty()) {
        bail!("envFrom is not supported");
    }
    let mut environment = BTreeMap::from([("HOSTNAME".to_owned(), source.pod.name_any())]);
    for variable in container.env.iter().flatten() {
        if let Some(value) = source.variable(variable).await? {
            let value = expand(&value, &environment);
            environment.insert(variable.name.clone(), value);
        }
    }
    Ok(environment)
}

/// Writes a kubeconfig in place of the in-cluster configuration, because a process without a container cannot have its
/// paths and variables.
fn account_kubeconfig(context: &Context, source: &Source, folder: &Path, account: &Path) -> Result<PathBuf> {
    let authority = fs::read_to_string(account.join("ca.crt")).context("the service account's volume lacks ca.crt")?;
    let user = json!({"tokenFile": account.join("token")});
    let namespace = source.pod.namespace().unwrap_or_default();
    let file = folder.join("kubeconfig");
    fs::write(&file, kubeconfig(&context.files.server(), &authority, &user, &namespace).to_string())?;
    Ok(file)
}
