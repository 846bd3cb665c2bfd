//! The cluster's own certificate authorities, certificates and kubeconfig files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use serde_json::json;

/// A certificate authority. Its key and the keys of its certificates never leave the cluster's folder.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The subject of a certificate.
pub(crate) struct Subject<'a> {
    /// The common name: to Kubernetes, the user.
    pub(crate) name: &'a str,
    /// The organization: to Kubernetes, the group.
    pub(crate) group: Option<&'a str>,
    /// The DNS names and addresses of a server; empty for a client.
    pub(crate) hosts: &'a [&'a str],
}

/// A certificate and its key, in PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    /// Creates an authority with this name.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let mut params = params(name, None, &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer })
    }

    /// The authority's certificate as PEM.
    pub(crate) fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for use as a client and as a server.
    pub(crate) fn issue(&self, subject: &Subject<'_>) -> Result<Pair> {
        let mut params = params(subject.name, subject.group, subject.hosts)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("failed to issue a certificate for {}", subject.name))?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    /// Writes the authority's own certificate and key as `<name>.crt` and `<name>.key`.
    pub(crate) fn save(&self, folder: &Path, name: &str) -> Result<()> {
        let pair = Pair { certificate: self.certificate(), key: self.issuer.key().serialize_pem() };
        pair.save(folder, name)
    }
}

impl Pair {
    /// Writes `<name>.crt` and `<name>.key`.
    pub(crate) fn save(&self, folder: &Path, name: &str) -> Result<()> {
        fs::write(folder.join(format!("{name}.crt")), &self.certificate)?;
        fs::write(folder.join(format!("{name}.key")), &self.key)?;
        Ok(())
    }
}

/// Writes the key pair that signs service-account tokens. It is ECDSA, because ring generates no RSA keys.
pub(crate) fn save_signing_key(folder: &Path) -> Result<()> {
    let key = KeyPair::generate()?;
    fs::write(folder.join("service-accounts.key"), key.serialize_pem())?;
    fs::write(folder.join("service-accounts.pub"), key.public_key_pem())?;
    Ok(())
}

/// Writes a kubeconfig file that contains its certificates. It is JSON, which is YAML too.
pub(crate) fn save_kubeconfig(file: PathBuf, server: &str, authority: &str, pair: &Pair) -> Result<PathBuf> {
    let encoded = |pem: &str| ByteString(pem.as_bytes().to_vec());
    let user = json!({
        "client-certificate-data": encoded(&pair.certificate),
        "client-key-data": encoded(&pair.key),
    });
    let kubeconfig = kubeconfig(server, authority, &user, "default");
    fs::write(&file, serde_json::to_vec_pretty(&kubeconfig)?)
        .with_context(|| format!("failed to write {}", file.display()))?;
    Ok(file)
}

/// A kubeconfig with one cluster, one user and one context.
pub(crate) fn kubeconfig(
    server: &str,
    authority: &str,
    user: &serde_json::Value,
    namespace: &str,
) -> serde_json::Value {
    let name = "replica-count-manager-tests";
    let authority = ByteString(authority.as_bytes().to_vec());
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    })
}

fn params(name: &str, group: Option<&str>, hosts: &[&str]) -> Result<CertificateParams> {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = DistinguishedName::new();
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}
