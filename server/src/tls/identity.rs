//! The user and groups of a client, read from its certificate as Kubernetes does.

use rustls::pki_types::CertificateDer;
use x509_parser::{
    oid_registry::OID_USERID,
    prelude::{FromDer, X509Certificate},
};

/// A client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The common name of its certificate, the last one if there are several. A certificate without one may have a user ID
    /// instead, which has room for longer names. Empty if it has neither, or has it in an encoding that is not read.
    pub user: String,
    /// The organisations of its certificate, and `system:authenticated`.
    pub groups: Vec<String>,
}

impl Identity {
    /// The group that Kubernetes gives to every authenticated user.
    pub(super) const AUTHENTICATED: &str = "system:authenticated";

    /// Reads a certificate, and believes every name in it; `None` if it cannot be read, which verification has ruled out.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let subject = certificate.subject();
        let text =
            |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| attribute.as_str().ok().map(str::to_owned);
        // The CA may have checked only the name that Kubernetes takes. If that is not read, no other name replaces it.
        let name = subject.iter_common_name().last().or_else(|| subject.iter_by_oid(&OID_USERID).last());
        Some(Self {
            user: name.and_then(text).unwrap_or_default(),
            groups: subject.iter_organization().filter_map(text).chain([Self::AUTHENTICATED.to_owned()]).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use super::*;

    #[test]
    fn a_certificate_with_several_names_has_the_user_that_kubernetes_sees() {
        let text = |text: &str| DnValue::from(text);
        let unreadable = |text: &str| DnValue::BmpString(text.try_into().unwrap());
        let first = || DnType::CommonName;
        let second = || DnType::CustomDnType(vec![2, 5, 4, 3]);
        let user_id = || DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]);
        for (name, subject, expected) in [
            ("a common name", vec![(first(), text("alice"))], "alice"),
            ("two common names", vec![(first(), text("alice")), (second(), text("bob"))], "bob"),
            ("a user ID", vec![(user_id(), text("carol"))], "carol"),
            ("a user ID before a common name", vec![(user_id(), text("carol")), (first(), text("alice"))], "alice"),
            ("a common name that is not read", vec![(first(), unreadable("bob")), (user_id(), text("carol"))], ""),
            ("two, of which one is not read", vec![(first(), text("alice")), (second(), unreadable("bob"))], ""),
            ("none", vec![], ""),
        ] {
            let mut params = CertificateParams::default();
            params.distinguished_name = DistinguishedName::new();
            subject.into_iter().for_each(|(attribute, value)| params.distinguished_name.push(attribute, value));
            let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(Identity::of(certificate.der()).unwrap().user, expected, "{name}");
        }
    }
}
