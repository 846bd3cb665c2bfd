//! Whether a server's new CA can replace the one that a login trusts.

use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::kubernetes::service::ManagedCa;

/// Whether each certificate that the server publishes is one of the trusted ones, or one of them has signed it.
///
/// A server that replaces its CA lets the old one sign the new one, and publishes that certificate beside the CA. A CA
/// whose published certificate is itself signed by a trusted one needs no other.
pub(super) fn is_vouched_for(offered: &ManagedCa, trusted: &[u8]) -> bool {
    let (new, cross) = (read(offered.certificates.as_bytes()), read(offered.cross.as_bytes()));
    let trusted = read(trusted);
    let is_signed = |new: &CertificateDer<'_>| {
        cross.iter().chain([new]).any(|cross| is_same_ca(cross, new) && is_signed_by_any(cross, &trusted))
    };
    !new.is_empty() && new.iter().all(|new| trusted.contains(new) || is_signed(new))
}

/// The certificates of a PEM text. Text that is not PEM holds none.
fn read(pem: &[u8]) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().unwrap_or_default()
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

/// Whether both certificates are for the same CA: the same name and the same key.
fn is_same_ca(cross: &CertificateDer<'_>, new: &CertificateDer<'_>) -> bool {
    let (Some(cross), Some(new)) = (parse(cross), parse(new)) else { return false };
    cross.is_ca()
        && cross.validity().is_valid()
        && cross.subject().as_raw() == new.subject().as_raw()
        && cross.public_key().raw == new.public_key().raw
}

fn is_signed_by_any(cross: &CertificateDer<'_>, trusted: &[CertificateDer<'_>]) -> bool {
    let Some(cross) = parse(cross) else { return false };
    trusted.iter().filter_map(parse).any(|trusted| {
        trusted.is_ca()
            && trusted.subject().as_raw() == cross.issuer().as_raw()
            && cross.verify_signature(Some(trusted.public_key())).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    struct Ca {
        params: CertificateParams,
        key: KeyPair,
    }

    impl Ca {
        fn new(name: &str) -> Self {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            Self { params, key: KeyPair::generate().unwrap() }
        }

        fn pem(&self) -> String {
            self.params.self_signed(&self.key).unwrap().pem()
        }

        fn signed_by(&self, issuer: &Self) -> String {
            let issuer = Issuer::from_params(&issuer.params, &issuer.key);
            self.params.signed_by(&self.key, &issuer).unwrap().pem()
        }
    }

    #[test]
    fn only_the_trusted_ca_vouches_for_a_new_one() {
        let (old, new, stranger) = (Ca::new("old"), Ca::new("new"), Ca::new("old"));
        let (old_pem, new_pem) = (old.pem(), new.pem());
        let both = new_pem.clone() + &old_pem;
        let mut leaf = Ca::new("new");
        leaf.params.is_ca = IsCa::ExplicitNoCa;
        let none = String::new;
        let table: [(&str, &str, String, &str, bool); 12] = [
            ("the same", &old_pem, none(), &old_pem, true),
            ("one of two", &new_pem, none(), &both, true),
            ("successor", &both, new.signed_by(&old), &old_pem, true),
            ("signed in its own certificate", &new.signed_by(&old), none(), &old_pem, true),
            ("no signature", &both, none(), &old_pem, false),
            ("signed by itself", &both, new_pem.clone(), &old_pem, false),
            ("signed by a CA of the same name", &both, new.signed_by(&stranger), &old_pem, false),
            ("another CA is signed", &both, Ca::new("new").signed_by(&old), &old_pem, false),
            ("not of a CA", &leaf.pem(), leaf.signed_by(&old), &old_pem, false),
            ("one too many", &(both.clone() + &stranger.pem()), new.signed_by(&old), &old_pem, false),
            ("nothing", "", none(), &old_pem, false),
            ("not PEM", "-----BEGIN CERTIFICATE-----", none(), &old_pem, false),
        ];
        for (name, certificates, cross, trusted, expected) in table {
            let offered = ManagedCa { certificates: certificates.to_owned(), cross };
            assert_eq!(is_vouched_for(&offered, trusted.as_bytes()), expected, "{name}");
        }
    }
}
