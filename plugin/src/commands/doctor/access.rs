//! What the user needs before the server is looked for: kubeconfig, configuration, certificate, API server.

use jiff::Timestamp;

use super::{
    facts::Facts,
    finding::{Finding, Verdict},
};
use crate::{
    certificate::CertificateSummary,
    commands::connect::check_credentials,
    config::{self, Settings},
    credentials::CertificateSubject,
    kubernetes::{self, Cluster},
    output::printable,
    session::tls,
    time::{distance, local},
};

/// The oldest version of Kubernetes that the server works with.
const OLDEST: (u32, u32) = (1, 30);

/// Whether the kubeconfig can be read, and what it chooses.
pub(super) async fn kubeconfig(facts: &mut Facts<'_>) -> Verdict {
    let args = &facts.args.kube;
    let cluster = Cluster::load_if_present(args).map_err(Finding::error)?;
    let result = match cluster.absence() {
        // With an address, the plugin needs none. The next check knows the address.
        Some(_) => Cluster::load(args).map_err(Finding::error).map(|_| Finding::passed("it can be read")),
        None => {
            let namespace = cluster.namespace(args.namespace.as_deref());
            let context = config::describe(cluster.context().unwrap_or_default());
            Ok(Finding::passed(format!("{}, with the namespace {}", printable(&context), printable(&namespace))))
        }
    };
    let has_address = Settings::load(cluster.context(), cluster.impersonation(), &facts.args.server)
        .is_ok_and(|settings| settings.address.is_some());
    facts.cluster = Some(cluster);
    match result {
        Err(_) if has_address => Err(Finding::skipped("there is no kubeconfig, and the server's address is given")),
        result => result,
    }
}

/// Whether the plugin's configuration can be read.
pub(super) async fn configuration(facts: &mut Facts<'_>) -> Verdict {
    let (context, impersonation) = match &facts.cluster {
        Some(cluster) => (cluster.context(), cluster.impersonation()),
        None => (None, None),
    };
    let settings = Settings::load(context, impersonation, &facts.args.server).map_err(Finding::error)?;
    let message = match &settings.path {
        Some(path) if path.exists() => format!("{} can be read", path.display()),
        Some(path) => format!("there is no {}, so the defaults and the flags hold", path.display()),
        None => "there is no configuration file, so the defaults and the flags hold".to_owned(),
    };
    facts.settings = Some(settings);
    Ok(Finding::passed(message))
}

/// Whether there is a usable client certificate, and how long it lasts.
pub(super) async fn certificate(facts: &mut Facts<'_>) -> Verdict {
    let settings = facts.settings()?;
    let cluster = facts.cluster.as_ref().ok_or_else(|| Finding::skipped("the kubeconfig cannot be used"))?;
    if cluster.absence().is_some() && settings.address.is_none() {
        return Err(Finding::skipped("there is no kubeconfig, whose context has it"));
    }
    check_credentials(cluster, settings).map_err(Finding::error)?;
    let contents = tls::read_configured(settings, cluster.context());
    let [_, pem, _] = contents.map_err(|error| Finding::error(crate::session::Error::from(error)))?;
    let finding = match (CertificateSubject::parse(&pem), CertificateSummary::parse(&pem)) {
        (Some(subject), Some(summary)) => {
            describe_certificate(&subject.user, &summary, settings.login.is_some(), Timestamp::now())
        }
        _ => Finding::passed("it can be used"),
    };
    facts.certificate = Some(pem);
    Ok(finding)
}

/// Describes a certificate that can be used.
fn describe_certificate(user: &str, summary: &CertificateSummary, is_login: bool, now: Timestamp) -> Finding {
    let CertificateSummary { issuer, not_after, .. } = summary;
    let (user, issuer) = (printable(user), printable(issuer));
    let end = format!("{} (in {})", local(*not_after), distance(now, *not_after));
    let certificate = format!("that of {user} from {issuer} ends at {end}");
    match (summary.is_ending(now), is_login) {
        (false, true) => Finding::passed(format!("{certificate}, and is renewed before")),
        (false, false) => Finding::passed(certificate),
        (true, true) => Finding::warning(format!("{certificate}, and was not renewed"), "run `kubectl replicas login`"),
        (true, false) => Finding::warning(
            format!("{certificate}, and nothing renews it"),
            "run `kubectl replicas login`, or ask the issuer of the certificate for a new one",
        ),
    }
}

/// Whether the API server answers, and is new enough.
pub(super) async fn api_server(facts: &mut Facts<'_>) -> Verdict {
    let answer = kubernetes::api_version(facts.cluster()?, facts.limit()).await;
    let (text, version) = answer.map_err(Finding::error)?;
    facts.is_api_reachable = true;
    Ok(judge_version(&printable(&text), version))
}

fn judge_version(text: &str, version: Option<(u32, u32)>) -> Finding {
    let (major, minor) = OLDEST;
    let upgrade = format!("upgrade the cluster to {major}.{minor} or newer");
    match version {
        None => Finding::warning(format!("it answers, but its version is not clear: {text}"), &upgrade),
        Some(version) if version < OLDEST => {
            Finding::failed(format!("its version {text} is older than {major}.{minor}"), &upgrade)
        }
        Some(_) => Finding::passed(format!("it answers, with the version {text}")),
    }
}

/// Whether the API server accepts the credentials of the kubeconfig.
pub(super) async fn api_user(facts: &mut Facts<'_>) -> Verdict {
    let user = kubernetes::caller(facts.api()?, facts.limit()).await.map_err(Finding::error)?;
    Ok(Finding::passed(format!("it knows you as {}", describe_user(&user.user, &user.groups))))
}

/// A user with the groups.
pub(super) fn describe_user(user: &str, groups: &[String]) -> String {
    let groups: Vec<_> = groups.iter().map(|group| printable(group)).collect();
    format!("{}, of {}", printable(user), if groups.is_empty() { "no group".to_owned() } else { groups.join(", ") })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::commands::doctor::finding::Status;

    #[test]
    fn an_old_api_server_fails() {
        for (text, version, status) in [
            ("v1.37.2", Some((1, 37)), Status::Passed),
            ("v1.30.0", Some((1, 30)), Status::Passed),
            ("v1.29.9", Some((1, 29)), Status::Failed),
            ("v2.0.0", Some((2, 0)), Status::Passed),
            ("", None, Status::Warning),
        ] {
            assert_eq!(judge_version(text, version).status, status, "{text}");
        }
    }

    #[test]
    fn a_certificate_in_its_last_tenth_is_a_warning() {
        let mut params = CertificateParams::default();
        let day = Duration::from_secs(24 * 60 * 60);
        let now = std::time::SystemTime::now();
        (params.not_before, params.not_after) = (now.into(), (now + 100 * day).into());
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let summary = CertificateSummary::parse(pem.as_bytes()).unwrap();
        for (name, days, is_login, status, words) in [
            ("of a login", 50, true, Status::Passed, "is renewed before"),
            ("another", 50, false, Status::Passed, "that of alice from"),
            ("ending", 95, false, Status::Warning, "nothing renews it"),
            ("ending, of a login", 95, true, Status::Warning, "was not renewed"),
        ] {
            let finding = describe_certificate("alice", &summary, is_login, Timestamp::now() + day * days);
            assert_eq!(finding.status, status, "{name}");
            assert!(finding.message.contains(words), "{name}: {}", finding.message);
        }
    }
}
