//! Certificates that openssl makes in an older style: RSA, for localhost, without an extended key usage.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use cluster::run;
use contract::replicas::v1::{self, replicas_service_client::ReplicasServiceClient};
use rustls::{AlertDescription, Error as TlsError};
use serde_json::json;
use tokio::process::Command;

use support::{
    Namespace, StandaloneServer, dial,
    presented::{PresentedCertificate, connect},
    server_flags, shared_cluster,
};

/// A folder of a CA and its certificates, all made by openssl.
struct Folder(PathBuf);

impl Folder {
    /// Makes a CA, or returns `None` if openssl is not installed.
    async fn new(path: PathBuf) -> Result<Option<Self>> {
        if Command::new("openssl").arg("version").output().await.is_err() {
            return Ok(None);
        }
        fs::create_dir_all(&path)?;
        let folder = Self(path);
        let subject = ["-subj", "/O=Example/CN=Example CA", "-days", "3650"];
        folder.openssl(&["req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt"], &subject).await?;
        Ok(Some(folder))
    }

    /// Signs a certificate `NAME.crt` with a key `NAME.key`, by a CA and with extensions.
    async fn sign(&self, name: &str, key: &str, issuer: &str, extensions: Option<&str>) -> Result<()> {
        let request = format!("req -newkey {key} -nodes -keyout {name}.key -out {name}.csr");
        self.openssl(&[&request], &["-subj", &format!("/O=Example/CN={name}")]).await?;
        let sign = format!("x509 -req -in {name}.csr -CA {issuer}.crt -CAkey {issuer}.key -CAcreateserial");
        let out = format!("-out {name}.crt -days 365 -sha256");
        match extensions {
            None => self.openssl(&[&sign, &out], &[]).await,
            Some(extensions) => {
                fs::write(self.0.join(format!("{name}.ext")), extensions)?;
                self.openssl(&[&sign, &out, &format!("-extfile {name}.ext")], &[]).await
            }
        }
    }

    async fn openssl(&self, words: &[&str], further: &[&str]) -> Result<()> {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(&self.0).args(words.iter().flat_map(|words| words.split(' '))).args(further);
        run(&mut openssl).await.map(drop)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn presented(&self, name: &str) -> Result<PresentedCertificate> {
        PresentedCertificate::files(&self.file(&format!("{name}.crt")), &self.file(&format!("{name}.key")))
    }
}

const LOCALHOST: Option<&str> = Some("subjectAltName=DNS:localhost");

#[tokio::test]
async fn rsa_certificates_for_localhost_work_for_server_and_client() -> Result<()> {
    let namespace = Namespace::shared("openssl").await?;
    let Some(folder) = Folder::new(namespace.cluster.folder().join("openssl")).await? else { return Ok(()) };
    folder.sign("server", "rsa:4096", "ca", LOCALHOST).await?;
    let flags = server_flags(&namespace, &folder.0, ["server.crt", "server.key", "ca.crt"]);
    let server = namespace.cluster.standalone(flags)?;
    server.wait_until_listening().await?;
    for (user, key) in [("rsa-2048", "rsa:2048"), ("rsa-3072", "rsa:3072"), ("rsa-4096", "rsa:4096")] {
        folder.sign(user, key, "ca", LOCALHOST).await?;
        assert_eq!(user_of(&folder, &server, user, folder.presented(user)?).await?, user);
    }

    // The path length of this CA is not limited, so it can sign an intermediate CA.
    folder.sign("below", "rsa:2048", "ca", Some("basicConstraints=critical,CA:TRUE")).await?;
    folder.sign("through", "rsa:2048", "below", LOCALHOST).await?;
    let chain = [fs::read(folder.file("through.crt"))?, fs::read(folder.file("below.crt"))?].concat();
    fs::write(folder.file("chain.crt"), chain)?;
    let through = PresentedCertificate::files(&folder.file("chain.crt"), &folder.file("through.key"))?;
    assert_eq!(user_of(&folder, &server, "through", through).await?, "through");
    // Without the intermediate certificate, the issuer is unknown.
    assert_eq!(alert_of(&folder, &server, folder.presented("through")?).await?, AlertDescription::UnknownCA);

    // Without extensions, openssl makes certificates of version 1, which do not distinguish a CA from a leaf.
    folder.sign("version-1", "rsa:2048", "ca", None).await?;
    assert_eq!(alert_of(&folder, &server, folder.presented("version-1")?).await?, AlertDescription::CertificateUnknown);
    Ok(())
}

async fn user_of(
    folder: &Folder,
    server: &StandaloneServer,
    name: &str,
    presented: PresentedCertificate,
) -> Result<String> {
    let channel = dial(server.grpc.clone(), Arc::new(presented.tls_config(&folder.file("ca.crt"))?));
    let mut client = ReplicasServiceClient::new(channel);
    let info = client.get_server_info(v1::GetServerInfoRequest {}).await.with_context(|| name.to_owned())?;
    Ok(info.into_inner().user)
}

async fn alert_of(
    folder: &Folder,
    server: &StandaloneServer,
    presented: PresentedCertificate,
) -> Result<AlertDescription> {
    let config = Arc::new(presented.tls_config(&folder.file("ca.crt"))?);
    let error = connect(&server.grpc, config).await?.err().context("it was accepted")?;
    match error.get_ref().and_then(|error| error.downcast_ref::<TlsError>()) {
        Some(TlsError::AlertReceived(alert)) => Ok(*alert),
        _ => Err(error.into()),
    }
}

#[tokio::test]
async fn a_client_key_of_rsa_1024_is_refused() -> Result<()> {
    let cluster = shared_cluster().await?;
    let Some(folder) = Folder::new(cluster.folder().join("openssl-1024")).await? else { return Ok(()) };
    for file in ["ca.crt", "ca.key"] {
        fs::copy(cluster.certificates().join("ca").join(file), folder.file(file))?;
    }
    for (name, key) in [("small", "rsa:1024"), ("large", "rsa:2048")] {
        folder.sign(name, key, "ca", LOCALHOST).await?;
    }
    // Only grpcurl, of the clients of these tests, can use such a key.
    let call = async |name: &str| {
        let file = |name: String| display(&folder.file(&name));
        let (ca, certificate, key) = (file("ca.crt".into()), file(format!("{name}.crt")), file(format!("{name}.key")));
        let method = "replicas.v1.ReplicasService/GetServerInfo";
        cluster.grpcurl_with(&["-cacert", &ca, "-cert", &certificate, "-key", &key], method, &json!({})).await
    };
    assert_eq!(call("large").await?["user"], "large");
    let refusal = call("small").await.err().context("it was accepted")?;
    assert!(refusal.output.contains("remote error: tls: error decrypting message"), "{refusal}");
    Ok(())
}

fn display(path: &Path) -> String {
    path.display().to_string()
}
