//! Writers that are no users with a client: Helm, autoscalers. And writes of a 0.

use anyhow::{Result, ensure};
use cluster::wait;

use super::{
    HELD, PATIENCE, hold,
    truth::{Author, Truth, target},
};
use crate::{
    admission::{
        AUTOSCALER,
        ways::{Way, Written, refusal},
    },
    autoscalers::autoscaler_of,
};
use support::{Namespace, application::HelmUpgrade, callers, manifests::names};

/// The user of both Helms.
const HELMSMAN: &str = "helmsman";

/// The users who write a 0, in turn.
const ZERO_WRITERS: [&str; 3] = ["zoe", "zack", "zora"];

/// How many corrections of one target the server makes at once. It makes later ones slowly.
const AT_ONCE: usize = 10;

/// The minimum of an autoscaler, which is the count that it writes.
const MINIMUM: i32 = 5;

/// Upgrades a held Deployment with other counts by one of the Helms.
pub(super) async fn upgrade(shop: &Namespace<'_>, truth: &Truth, version: u8, upgrades: i32) -> Result<()> {
    let kubeconfig =
        shop.cluster.control_plane.kubeconfig_for(&format!("{HELMSMAN}-{version}"), Some(callers::EDITORS))?;
    let helm = || {
        let mut helm = if version == 3 { shop.cluster.helm3() } else { shop.cluster.helm() };
        helm.env("KUBECONFIG", &kubeconfig);
        helm
    };
    HelmUpgrade::to(helm(), "first").replicas(HELD).run(shop).await?;
    hold(shop, &["web".to_owned()]).await?;
    for number in 1..=upgrades {
        let author = Author { user: format!("{HELMSMAN}-{version}"), manager: "helm".to_owned() };
        truth.note(&target(&shop.name, "web"), HELD + number, author);
        let upgrade = HelmUpgrade::to(helm(), &format!("upgrade-{number}")).replicas(HELD + number);
        // Helm 4 does not wait until the server has given the ownership back.
        let upgrade = if version == 4 { upgrade.flag("--force-conflicts") } else { upgrade };
        upgrade.run(shop).await?;
    }
    Ok(())
}

/// Lets autoscalers act until each has caused a number of drifts.
pub(super) async fn autoscale(shop: &Namespace<'_>, truth: &Truth, (targets, drifts): (usize, i64)) -> Result<()> {
    let targets = names("auto", targets);
    shop.create_all(&targets, |name| autoscaler_of(name, MINIMUM)).await?;
    for name in &targets {
        wait::until(&format!("{drifts} drifts of {name}"), PATIENCE, async || {
            let count = shop.get(&format!("replicacount/deployment.{name}")).await?;
            let now = count["status"]["drifts"].as_i64().unwrap_or_default();
            ensure!(now >= drifts, "there are {now}");
            Ok(())
        })
        .await?;
    }
    shop.kubectl(&["delete", "horizontalpodautoscalers", "--all"]).await?;
    for name in &targets {
        let author = Author { user: AUTOSCALER.to_owned(), manager: "kube-controller-manager".to_owned() };
        truth.note(&target(&shop.name, name), MINIMUM, author);
    }
    Ok(())
}

/// The Deployments for these many writes of a 0.
pub(super) fn zero_targets(zeros: usize) -> Vec<String> {
    names("zero", zeros.div_ceil(AT_ONCE))
}

/// Writes a 0 through `/scale` again and again, each time as another user. Kubernetes records no manager of a 0.
pub(super) async fn write_zeros(shop: &Namespace<'_>, truth: &Truth, zeros: usize) -> Result<()> {
    let mut clients = Vec::new();
    for user in ZERO_WRITERS {
        clients.push((user, callers::editor(shop.cluster, user).await?));
    }
    for (number, name) in zero_targets(zeros).iter().cycle().enumerate().take(zeros) {
        let (user, client) = &clients[number % clients.len()];
        let author = Author { user: (*user).to_owned(), manager: (*user).to_owned() };
        truth.note_next(&target(&shop.name, name), 0, author);
        let zero = Written::new(client.clone(), &shop.name, "Deployment", name);
        let refused = refusal(zero.write(Way::PatchScale, 0, user, false).await)?;
        ensure!(refused.is_none(), "{refused:?}");
        shop.wait_for_replicas(&format!("deployment/{name}"), HELD.into()).await?;
    }
    Ok(())
}
