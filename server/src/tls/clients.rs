//! Which client certificates are accepted, and which of the names in them are believed.
//!
//! Some names are reserved. `system:` is Kubernetes' own. `replica-count-manager:` names a group that the chart gives
//! all rights to. A CA that issues certificates for many purposes must not give out these rights by accident.

use std::{fmt, sync::Arc};

use jiff::Timestamp;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::identity::Identity;

/// The beginning of the names that Kubernetes reserves.
const SYSTEM: &str = "system:";

/// The beginning of the groups that this project reserves.
const OURS: &str = "replica-count-manager:";

/// Users of `system:` whom the API server does not authenticate by name, or who are no people or workloads: our signer
/// signs nothing for them.
const NEVER: [&str; 3] = ["system:anonymous", "system:bootstrap:", "system:node:"];

/// The CA of the clients, which decides which reserved names are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientCa {
    /// The managed CA. It signs the names that the API server has authenticated.
    Managed,
    /// A CA that others keep. Of the reserved names, only these are believed.
    Foreign(Arc<[String]>),
}

impl ClientCa {
    /// Whether a user may have this name.
    fn allows_user(&self, user: &str) -> bool {
        match self {
            Self::Managed => !NEVER.iter().any(|never| user.starts_with(never)),
            Self::Foreign(names) => !user.starts_with(SYSTEM) || names.iter().any(|name| name == user),
        }
    }

    /// Whether a user may be in this group. Groups of `system:` come from the API server alone: `system:masters` would
    /// skip RBAC.
    fn allows_group(&self, group: &str) -> bool {
        if group.starts_with(SYSTEM) {
            return group == Identity::AUTHENTICATED;
        }
        match self {
            Self::Managed => true,
            Self::Foreign(names) => !group.starts_with(OURS) || names.iter().any(|name| name == group),
        }
    }
}

/// Verifies client certificates: the chain, the revocation time and the user.
pub(super) struct ClientVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    not_before: Option<Timestamp>,
    ca: ClientCa,
}

impl ClientVerifier {
    /// Accepts certificates with a valid `chain` that begin at `not_before` at the earliest.
    pub(super) fn new(chain: Arc<dyn ClientCertVerifier>, not_before: Option<Timestamp>, ca: ClientCa) -> Self {
        Self { chain, not_before, ca }
    }

    /// The user of a certificate, with the groups that are believed; `None` if the certificate cannot be read.
    pub(super) fn identity(&self, leaf: &CertificateDer<'_>) -> Option<Identity> {
        let mut identity = Identity::of(leaf)?;
        identity.groups.retain(|group| self.ca.allows_group(group));
        Some(identity)
    }

    /// Whether a chain is still accepted at this time.
    pub(super) fn accepts(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
        chain
            .split_first()
            .is_some_and(|(leaf, intermediates)| self.verify_client_cert(leaf, intermediates, now).is_ok())
    }
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientVerifier")
            .field("not_before", &self.not_before)
            .field("ca", &self.ca)
            .finish_non_exhaustive()
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(leaf, intermediates, now)?;
        // Clients get the alert certificate_revoked.
        if self.not_before.is_some_and(|not_before| begin(leaf).is_none_or(|begin| begin < not_before.as_second())) {
            return Err(CertificateError::Revoked.into());
        }
        // Clients get the alert access_denied.
        if !Identity::of(leaf).is_some_and(|identity| self.ca.allows_user(&identity.user)) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// When a certificate begins, in seconds since 1970.
fn begin(leaf: &CertificateDer<'_>) -> Option<i64> {
    X509Certificate::from_der(leaf).ok().map(|(_, certificate)| certificate.validity().not_before.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_names_are_believed_from_the_managed_ca_or_by_name() {
        let foreign = |names: &[&str]| ClientCa::Foreign(names.iter().map(|&name| name.to_owned()).collect());
        let admins = foreign(&["replica-count-manager:admins", "system:masters", "system:kube-scheduler"]);
        struct Row {
            name: &'static str,
            managed: bool,
            foreign: bool,
            listed: bool,
        }
        let row = |name, managed, foreign, listed| Row { name, managed, foreign, listed };
        for Row { name, managed, foreign: unlisted, listed } in [
            row("alice", true, true, true),
            row("arn:aws:iam::1:user/system:x", true, true, true),
            row("system:admin", true, false, false),
            row("system:kube-scheduler", true, false, true),
            row("system:serviceaccount:ci:deployer", true, false, false),
            row("system:anonymous", false, false, false),
            row("system:node:n1", false, false, false),
            row("system:bootstrap:abcdef", false, false, false),
        ] {
            let allowed = [&ClientCa::Managed, &foreign(&[]), &admins].map(|ca| ca.allows_user(name));
            assert_eq!(allowed, [managed, unlisted, listed], "user {name}");
        }
        for Row { name, managed, foreign: unlisted, listed } in [
            row("sre", true, true, true),
            row("replica-count-manager:admins", true, false, true),
            row("replica-count-manager:others", true, false, false),
            row("system:authenticated", true, true, true),
            row("system:masters", false, false, false),
            row("system:serviceaccounts:ci", false, false, false),
        ] {
            let allowed = [&ClientCa::Managed, &foreign(&[]), &admins].map(|ca| ca.allows_group(name));
            assert_eq!(allowed, [managed, unlisted, listed], "group {name}");
        }
    }
}
