//! The decision about a request: its next step, and whom its certificate names.

use anyhow::{Result, bail, ensure};
use contract::names::{ADMINS, CLIENT_SIGNER};

use super::request::{Request, RequestSpec};

/// The usages that a request may name beside client authentication.
const USAGES: [&str; 2] = ["digital signature", "key encipherment"];

/// The largest request that is signed, in bytes of PEM. One with an RSA key of 16,384 bits has 4 KiB.
const MAX_REQUEST: usize = 16 * 1024;

/// The group of Kubernetes' own administrators.
const MASTERS: &str = "system:masters";

/// The next step for a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is done, denied, or waits for an approval.
    Leave,
    Approve,
    Sign(Subject),
    /// It gets no certificate, for this reason.
    Fail(String),
}

/// Whom a certificate names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) user: String,
    pub(super) groups: Vec<String>,
}

impl Step {
    /// Its name in the log.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Leave => "Leave",
            Self::Approve => "Approve",
            Self::Sign(_) => "Sign",
            Self::Fail(_) => "Fail",
        }
    }
}

/// Decides the next step. A request is approved only if it is well-formed, and signed only if it is approved.
pub(super) fn step(request: &Request, approve: bool) -> Step {
    let Request { spec, status, .. } = request;
    let has = |type_: &str| status.conditions.iter().any(|condition| condition.type_ == type_);
    if spec.signer_name != CLIENT_SIGNER || status.certificate.is_some() || has("Denied") || has("Failed") {
        return Step::Leave;
    }
    match check(spec).and_then(|()| subject(&spec.username, &spec.groups)) {
        Err(problem) => Step::Fail(format!("{problem:#}")),
        Ok(subject) if has("Approved") => Step::Sign(subject),
        Ok(_) if approve => Step::Approve,
        Ok(_) => Step::Leave,
    }
}

/// Checks that a request is for client authentication and nothing else.
fn check(spec: &RequestSpec) -> Result<()> {
    let usages = &spec.usages;
    ensure!(usages.iter().any(|usage| usage == "client auth"), "usages must hold \"client auth\"");
    let foreign = usages.iter().find(|usage| *usage != "client auth" && !USAGES.contains(&usage.as_str()));
    ensure!(foreign.is_none(), "usages must not hold {:?}", foreign.map(String::as_str).unwrap_or_default());
    let size = spec.request.0.len();
    ensure!(size <= MAX_REQUEST, "the request has {size} bytes, and at most {MAX_REQUEST} are signed");
    Ok(())
}

/// The subject of a requester's certificate.
///
/// Groups that begin with `system:` have a meaning that Kubernetes gives them for the moment of a request, so a
/// certificate must not keep them. Administrators of the cluster become administrators of this server.
fn subject(user: &str, groups: &[String]) -> Result<Subject> {
    ensure!(!user.is_empty(), "the request names no user");
    let is_in = |group: &str| groups.iter().any(|one| one == group || one.starts_with(&format!("{group}:")));
    let kind = if user == "system:anonymous" || is_in("system:unauthenticated") {
        "an anonymous user"
    } else if user.starts_with("system:node:") || is_in("system:nodes") {
        "a node"
    } else if user.starts_with("system:bootstrap:") || is_in("system:bootstrappers") {
        "a bootstrap token"
    } else {
        let mut kept: Vec<_> = groups.iter().filter(|group| !group.starts_with("system:")).cloned().collect();
        if groups.iter().any(|group| group == MASTERS) && !kept.iter().any(|group| group == ADMINS) {
            kept.push(ADMINS.to_owned());
        }
        return Ok(Subject { user: user.to_owned(), groups: kept });
    };
    bail!("{user} is {kind}, which gets no client certificate: log in as a person or a service account")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(usages: &[&str], conditions: &[&str]) -> Request {
        let conditions: Vec<_> = conditions.iter().map(|type_| json!({"type": type_, "status": "True"})).collect();
        serde_json::from_value(json!({
            "metadata": {"name": "r"},
            "spec": {"request": "", "signerName": CLIENT_SIGNER, "username": "alice", "usages": usages},
            "status": {"conditions": conditions},
        }))
        .unwrap()
    }

    fn alice() -> Subject {
        Subject { user: "alice".to_owned(), groups: Vec::new() }
    }

    #[test]
    fn only_what_is_approved_and_well_formed_is_signed() {
        let client = ["digital signature", "client auth"];
        struct Row {
            conditions: &'static [&'static str],
            approve: bool,
            expected: Step,
        }
        for Row { conditions, approve, expected } in [
            Row { conditions: &[], approve: true, expected: Step::Approve },
            Row { conditions: &[], approve: false, expected: Step::Leave },
            Row { conditions: &["Approved"], approve: false, expected: Step::Sign(alice()) },
            Row { conditions: &["Denied"], approve: true, expected: Step::Leave },
            Row { conditions: &["Approved", "Failed"], approve: true, expected: Step::Leave },
        ] {
            assert_eq!(step(&request(&client, conditions), approve), expected, "{conditions:?} {approve}");
        }
        for usages in [&["server auth", "client auth"][..], &["digital signature"], &[], &["client auth", "cert sign"]]
        {
            for conditions in [&[][..], &["Approved"]] {
                let step = step(&request(usages, conditions), true);
                assert!(matches!(step, Step::Fail(_)), "{usages:?} {conditions:?}: {step:?}");
            }
        }
    }

    #[test]
    fn requests_for_other_signers_and_finished_ones_are_left_alone() {
        let mut other = request(&["client auth"], &["Approved"]);
        other.spec.signer_name = "kubernetes.io/kube-apiserver-client".to_owned();
        assert_eq!(step(&other, true), Step::Leave);
        let mut done = request(&["client auth"], &["Approved"]);
        done.status.certificate = Some(serde::de::IgnoredAny);
        assert_eq!(step(&done, true), Step::Leave);
        let mut without_user = request(&["client auth"], &["Approved"]);
        without_user.spec.username = String::new();
        assert!(matches!(step(&without_user, true), Step::Fail(_)));
        let mut huge = request(&["client auth"], &[]);
        huge.spec.request.0 = vec![b'x'; MAX_REQUEST + 1];
        assert!(matches!(step(&huge, true), Step::Fail(_)));
    }

    #[test]
    fn a_certificate_names_its_requester_without_the_rights_of_the_cluster() {
        struct Row {
            name: &'static str,
            user: &'static str,
            groups: &'static [&'static str],
            /// The groups of the certificate, or a part of the refusal.
            expected: Result<&'static [&'static str], &'static str>,
        }
        let account = "system:serviceaccount:shop:ci";
        for row in [
            Row { name: "a person", user: "a", groups: &["sre", "system:authenticated"], expected: Ok(&["sre"]) },
            Row { name: "an admin", user: "a", groups: &["system:masters", "sre"], expected: Ok(&["sre", ADMINS]) },
            Row { name: "both", user: "a", groups: &[ADMINS, "system:masters"], expected: Ok(&[ADMINS]) },
            Row { name: "k3s", user: "system:admin", groups: &["system:masters"], expected: Ok(&[ADMINS]) },
            Row { name: "other groups", user: "a", groups: &["system:x", "systems"], expected: Ok(&["systems"]) },
            Row {
                name: "a service account",
                user: account,
                groups: &["system:serviceaccounts", "system:serviceaccounts:shop"],
                expected: Ok(&[]),
            },
            Row { name: "nobody", user: "system:anonymous", groups: &[], expected: Err("an anonymous user") },
            Row {
                name: "no login",
                user: "a",
                groups: &["system:unauthenticated"],
                expected: Err("an anonymous user"),
            },
            Row { name: "a node", user: "system:node:n1", groups: &[], expected: Err("a node") },
            Row { name: "nodes", user: "a", groups: &["system:masters", "system:nodes"], expected: Err("a node") },
            Row { name: "a token", user: "system:bootstrap:x", groups: &[], expected: Err("a bootstrap token") },
            Row {
                name: "bootstrappers",
                user: "a",
                groups: &["system:bootstrappers:kubeadm"],
                expected: Err("a bootstrap token"),
            },
        ] {
            let groups: Vec<_> = row.groups.iter().map(|&group| group.to_owned()).collect();
            match (subject(row.user, &groups), row.expected) {
                (Ok(subject), Ok(expected)) => {
                    assert_eq!(
                        (&*subject.user, subject.groups),
                        (row.user, expected.iter().map(|&group| group.to_owned()).collect()),
                        "{}",
                        row.name
                    );
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{}: {error}", row.name),
                (found, expected) => panic!("{}: {found:?}, not {expected:?}", row.name),
            }
        }
    }
}
