//! `kubectl replicas config import`: an imported certificate works, and an unusable one is refused before anything is
//! written. Also `config set` and `config unset`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::ByteString;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::json;

use support::{
    Namespace, Outcome, TestCluster, User,
    presented::{TestCa, client_params},
    release, shared_cluster,
};

/// A CA, a client certificate and its key, in PEM.
#[derive(Clone)]
struct Pem {
    ca: String,
    certificate: String,
    key: String,
}

impl Pem {
    /// A certificate that the server of the shared cluster accepts.
    fn of(cluster: &TestCluster, user: &str) -> Result<Self> {
        Self::with(cluster, client_params(user))
    }

    fn with(cluster: &TestCluster, params: CertificateParams) -> Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &TestCa::load(cluster.certificates())?.issuer)?.pem();
        let ca = fs::read_to_string(cluster.certificates().join("ca/ca.crt"))?;
        Ok(Self { ca, certificate, key: key.serialize_pem() })
    }

    /// Writes the contents to files of a folder, and returns the flags that name them.
    fn write(&self, folder: &Path) -> Result<Vec<String>> {
        fs::create_dir_all(folder)?;
        let write = |flag: &str, file: &str, content: &str| -> Result<String> {
            let path = folder.join(file);
            fs::write(&path, content)?;
            Ok(format!("{flag}={}", path.display()))
        };
        Ok(vec![
            write("--certificate-authority", "ca.crt", &self.ca)?,
            write("--client-certificate", "some.crt", &self.certificate)?,
            write("--client-key", "some.key", &self.key)?,
        ])
    }
}

/// A user who may connect, and a folder for the imported files.
async fn user(name: &str) -> Result<(User<'static>, PathBuf)> {
    let cluster = shared_cluster().await?;
    let user = User::new(cluster, name)?;
    user.grant_connect().await?;
    Ok((user, cluster.folder().join(format!("files-of-{name}"))))
}

async fn import(user: &User<'_>, flags: &[String]) -> Result<Outcome> {
    let flags = flags.iter().map(String::as_str);
    let outcome = user.try_run(&["config", "import"].into_iter().chain(flags).collect::<Vec<_>>()).await?;
    ensure!(!format!("{outcome:?}").contains("PRIVATE"), "a key is shown");
    Ok(outcome)
}

/// Checks that an import printed one line, and that the imported certificate works.
async fn assert_import_works(user: &User<'_>, outcome: &Outcome, namespace: &str) -> Result<()> {
    ensure!(outcome.code == Some(0) && outcome.stderr.is_empty(), "{outcome:?}");
    let context = context(user)?;
    let line = format!(
        "imported the client certificate of admin for the context {context}, valid until 4096-01-01T00:00:00Z\n"
    );
    assert_eq!(outcome.stdout, line);
    assert_eq!(fs::metadata(&user.config)?.permissions().mode() & 0o777, 0o600);
    user.run(&["list", "-n", namespace]).await?;
    let view = user.run(&["config", "view"]).await?;
    ensure!(view.contains("keyData: DATA+OMITTED") && !view.contains("login"), "{view}");
    Ok(())
}

fn context(user: &User<'_>) -> Result<String> {
    let kubeconfig: serde_json::Value = serde_yaml::from_str(&fs::read_to_string(&user.kubeconfig)?)?;
    Ok(kubeconfig["current-context"].as_str().context("no context")?.to_owned())
}

/// An administrator's certificate.
fn admin(cluster: &TestCluster) -> Result<Pem> {
    let mut params = client_params("admin");
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "replica-count-manager:admins");
    Pem::with(cluster, params)
}

#[tokio::test]
async fn an_imported_certificate_works_after_its_files_are_deleted() -> Result<()> {
    let shop = Namespace::shared("import").await?;
    let (iris, folder) = user("iris").await?;
    let imported = import(&iris, &admin(shop.cluster)?.write(&folder)?).await?;
    fs::remove_dir_all(&folder)?;
    assert_import_works(&iris, &imported, &shop.name).await?;
    let logout = iris.try_run(&["logout"]).await?;
    ensure!(logout.code == Some(3) && logout.stderr.contains("is not from a login"), "{logout:?}");
    Ok(())
}

#[tokio::test]
async fn a_certificate_is_imported_from_a_secret_with_either_set_of_keys() -> Result<()> {
    let shop = Namespace::shared("import").await?;
    let (jack, _) = user("jack").await?;
    let flags = |name: &str| [format!("--from-secret={name}"), format!("--namespace={}", shop.name)];
    let refused = import(&jack, &flags("tls")).await?;
    ensure!(refused.code == Some(3) && refused.stderr.contains("not allowed to get the secret tls"), "{refused:?}");
    jack.grant_edit(&shop.name).await?;
    for (name, stem) in [("tls", "tls"), ("client", "client")] {
        secret(&shop, name, stem, &admin(shop.cluster)?).await?;
        assert_import_works(&jack, &import(&jack, &flags(name)).await?, &shop.name).await?;
    }
    let before = fs::read(&jack.config)?;
    let missing = import(&jack, &flags("other")).await?;
    let message = format!("error: there is no Secret other in the namespace {}\nhint: ", shop.name);
    ensure!(missing.code == Some(3) && missing.stderr.starts_with(&message), "{missing:?}");
    shop.kubectl(&["create", "secret", "generic", "opaque", "--from-literal=client.crt=x"]).await?;
    let incomplete = import(&jack, &flags("opaque")).await?;
    let message = format!("error: the Secret opaque in the namespace {} has no ca.crt and no client.key\n", shop.name);
    ensure!(incomplete.code == Some(3) && incomplete.stderr.starts_with(&message), "{incomplete:?}");
    secret(&shop, "wrong", "tls", &Pem { key: "x".to_owned(), ..admin(shop.cluster)? }).await?;
    let wrong = import(&jack, &flags("wrong")).await?;
    let message = format!("error: tls.key of the Secret wrong in the namespace {} holds no key in PEM\n", shop.name);
    ensure!(wrong.code == Some(3) && wrong.stderr.starts_with(&message), "{wrong:?}");
    ensure!(fs::read(&jack.config)? == before, "a refused import was written");
    Ok(())
}

async fn secret(shop: &Namespace<'_>, name: &str, stem: &str, pem: &Pem) -> Result<()> {
    let data = |text: &str| json!(ByteString(text.as_bytes().to_vec()));
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {
        "ca.crt": data(&pem.ca), format!("{stem}.crt"): data(&pem.certificate), format!("{stem}.key"): data(&pem.key),
    }});
    shop.kubectl_with(&["create", "--filename=-"], &secret.to_string()).await.map(drop)
}

/// An unusable certificate, and a part of the error.
struct Row {
    name: &'static str,
    make: fn(&TestCluster, Pem) -> Result<Pem>,
    message: &'static str,
}

const NO_X509: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

const TABLE: &[Row] = &[
    Row {
        name: "no CA",
        make: |_, pem| Ok(Pem { ca: "x".into(), ..pem }),
        message: "ca.crt\" holds no CA certificate in PEM",
    },
    Row {
        name: "a CA of nonsense",
        make: |_, pem| Ok(Pem { ca: NO_X509.into(), ..pem }),
        message: "ca.crt\" cannot be used",
    },
    Row {
        name: "no certificate",
        make: |_, pem| Ok(Pem { certificate: pem.key.clone(), ..pem }),
        message: "some.crt\" holds no client certificate",
    },
    Row {
        name: "nonsense",
        make: |_, pem| Ok(Pem { certificate: NO_X509.into(), ..pem }),
        message: "some.crt\" is not an X.509 certificate",
    },
    Row {
        name: "broken PEM",
        make: |_, pem| Ok(Pem { certificate: pem.certificate.replace("END", "E"), ..pem }),
        message: "in PEM",
    },
    Row {
        name: "no key",
        make: |_, pem| Ok(Pem { key: pem.certificate.clone(), ..pem }),
        message: "some.key\" holds no key in PEM",
    },
    Row {
        name: "a key of nonsense",
        make: |_, pem| Ok(Pem { key: NO_X509.replace("CERTIFICATE", "PRIVATE KEY"), ..pem }),
        message: "some.key\" cannot be used",
    },
    Row {
        name: "another key",
        make: |_, pem| Ok(Pem { key: KeyPair::generate()?.serialize_pem(), ..pem }),
        message: "the key does not belong to the client",
    },
    Row {
        name: "expired",
        make: |cluster, _| valid(cluster, 2000, 2020),
        message: "the client certificate of kate expired at 2020-01-01T00:00:00Z",
    },
    Row {
        name: "not yet valid",
        make: |cluster, _| valid(cluster, 2100, 2101),
        message: "the client certificate of kate is not valid before 2100",
    },
];

fn valid(cluster: &TestCluster, from: i32, to: i32) -> Result<Pem> {
    let mut params = client_params("kate");
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    Pem::with(cluster, params)
}

#[tokio::test]
async fn unusable_files_are_refused_and_the_configuration_is_unchanged() -> Result<()> {
    let cluster = shared_cluster().await?;
    let (kate, folder) = user("kate").await?;
    let before = "# Mine.\ncontexts: {}\n";
    fs::create_dir_all(kate.config.parent().context("no folder")?)?;
    fs::write(&kate.config, before)?;
    let mut wrong = Vec::new();
    for Row { name, make, message } in TABLE {
        let outcome = import(&kate, &make(cluster, Pem::of(cluster, "kate")?)?.write(&folder)?).await?;
        let (said, lines) =
            (&outcome.stderr, outcome.stderr.lines().filter(|line| line.starts_with("error: ")).count());
        let is_clear = lines == 1 && said.contains(message) && said.contains("\nhint: ");
        if outcome.code != Some(3)
            || !is_clear
            || !outcome.stdout.is_empty()
            || fs::read_to_string(&kate.config)? != before
        {
            wrong.push(format!("{name}: {outcome:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    fs::remove_file(folder.join("some.key"))?;
    let flags = ["ca.crt", "some.crt", "some.key"].map(|file| folder.join(file).display().to_string());
    let [ca, certificate, key] = &flags;
    let files = ["--certificate-authority", ca, "--client-certificate", certificate].map(str::to_owned);
    let half = import(&kate, &files).await?;
    ensure!(half.code == Some(2) && half.stderr.contains("--client-key <FILE>"), "{half:?}");
    let gone = import(&kate, &[files.as_slice(), &["--client-key".to_owned(), key.clone()]].concat()).await?;
    ensure!(gone.code == Some(3) && gone.stderr.contains("failed to read the key"), "{gone:?}");
    ensure!(fs::read_to_string(&kate.config)? == before, "it was written");
    Ok(())
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_imported_with_a_warning() -> Result<()> {
    let cluster = shared_cluster().await?;
    let (liam, folder) = user("liam").await?;
    let other = cluster.folder().join("another-ca-of-liam");
    release::make_certificates(&other).await?;
    let pem = Pem { ca: fs::read_to_string(other.join("ca/ca.crt"))?, ..Pem::of(cluster, "liam")? };
    let outcome = import(&liam, &pem.write(&folder)?).await?;
    ensure!(
        outcome.code == Some(0) && outcome.stdout.starts_with("imported the client certificate of liam"),
        "{outcome:?}"
    );
    let warning =
        "warning: a server that trusts only this CA will refuse liam: the certificate is not signed by this CA\n";
    ensure!(outcome.stderr.starts_with(warning), "{outcome:?}");
    assert!(liam.entry()?["keyData"].is_string());
    Ok(())
}

#[tokio::test]
async fn config_set_and_unset_change_one_setting() -> Result<()> {
    let mia = User::new(shared_cluster().await?, "mia")?;
    let set = async |arguments: &[&str]| mia.try_run(&[&["config"], arguments].concat()).await;
    for (wrong, message) in [
        (
            ["set", "adress", "localhost:1"],
            "[possible values: address, serverName, service.namespace, service.name, ca,",
        ),
        (["set", "address", "localhost"], "error: \"localhost\" is not a valid address: give a host and a port"),
    ] {
        let outcome = set(&wrong).await?;
        ensure!(outcome.code == Some(2) && outcome.stderr.contains(message), "{outcome:?}");
    }
    ensure!(!mia.config.exists(), "a refused setting was written");
    for arguments in [["set", "address", "localhost:1"], ["set", "service.namespace", "tools"]] {
        ensure!(set(&arguments).await?.code == Some(0), "{arguments:?}");
    }
    assert_eq!(mia.entry()?, json!({"address": "localhost:1", "service": {"namespace": "tools"}}));
    let unset = set(&["unset", "address"]).await?;
    assert_eq!(unset.stdout, format!("address of the context {} unset\n", context(&mia)?));
    assert_eq!(mia.entry()?, json!({"service": {"namespace": "tools"}}));
    Ok(())
}
