//! `kubectl replicas config import`: what is taken over works, and what would not is refused before anything is written.
//! And `config set`.

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
    Namespace, Outcome, User, World,
    presented::{Signer, client},
    release, world,
};

/// Three contents in PEM.
#[derive(Clone)]
struct Pem {
    ca: String,
    certificate: String,
    key: String,
}

impl Pem {
    /// The certificate of a user that the server of the shared cluster accepts.
    fn of(world: &World, user: &str) -> Result<Self> {
        Self::with(world, client(user))
    }

    fn with(world: &World, params: CertificateParams) -> Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &Signer::load(world.certificates())?.issuer)?.pem();
        let ca = fs::read_to_string(world.certificates().join("ca/ca.crt"))?;
        Ok(Self { ca, certificate, key: key.serialize_pem() })
    }

    /// Writes them to files of a folder, and returns the flags that name them.
    fn write(&self, folder: &Path) -> Result<Vec<String>> {
        fs::create_dir_all(folder)?;
        let flags = [
            ("--certificate-authority", "ca.crt", &self.ca),
            ("--client-certificate", "some.crt", &self.certificate),
            ("--client-key", "some.key", &self.key),
        ];
        let flag = |(flag, file, content): (&str, &str, &String)| -> Result<String> {
            let path = folder.join(file);
            fs::write(&path, content)?;
            Ok(format!("{flag}={}", path.display()))
        };
        flags.into_iter().map(flag).collect()
    }
}

/// A user who may connect, and a folder for the files that are imported.
async fn user(name: &str) -> Result<(User<'static>, PathBuf)> {
    let world = world().await?;
    let user = User::new(world, name)?;
    user.may_connect().await?;
    Ok((user, world.cluster.folder().join(format!("files-of-{name}"))))
}

async fn import(user: &User<'_>, flags: &[String]) -> Result<Outcome> {
    let flags = flags.iter().map(String::as_str);
    let outcome = user.replicas(&["config", "import"].into_iter().chain(flags).collect::<Vec<_>>()).await?;
    ensure!(!format!("{outcome:?}").contains("PRIVATE"), "a key is shown");
    Ok(outcome)
}

/// Checks that an import was told in one line, and that what it stored works.
async fn works(user: &User<'_>, outcome: &Outcome, namespace: &str) -> Result<()> {
    ensure!(outcome.code == Some(0) && outcome.stderr.is_empty(), "{outcome:?}");
    let context = context(user)?;
    let line = format!(
        "imported the client certificate of admin for the context {context}, valid until 4096-01-01T00:00:00Z\n"
    );
    assert_eq!(outcome.stdout, line);
    assert_eq!(fs::metadata(&user.config)?.permissions().mode() & 0o777, 0o600);
    user.does(&["list", "-n", namespace]).await?;
    let view = user.does(&["config", "view"]).await?;
    ensure!(view.contains("keyData: DATA+OMITTED") && !view.contains("login"), "{view}");
    Ok(())
}

fn context(user: &User<'_>) -> Result<String> {
    let kubeconfig: serde_json::Value = serde_yaml::from_str(&fs::read_to_string(&user.kubeconfig)?)?;
    Ok(kubeconfig["current-context"].as_str().context("no context")?.to_owned())
}

/// An administrator's certificate.
fn admin(world: &World) -> Result<Pem> {
    let mut params = client("admin");
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "replica-count-manager:admins");
    Pem::with(world, params)
}

#[tokio::test]
async fn what_is_imported_from_files_works_without_them() -> Result<()> {
    let shop = Namespace::shared("import").await?;
    let (iris, folder) = user("iris").await?;
    let imported = import(&iris, &admin(shop.world)?.write(&folder)?).await?;
    fs::remove_dir_all(&folder)?;
    works(&iris, &imported, &shop.name).await?;
    let logout = iris.replicas(&["logout"]).await?;
    ensure!(logout.code == Some(3) && logout.stderr.contains("is not from a login"), "{logout:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_imported_from_a_secret_works_with_either_spelling_of_its_keys() -> Result<()> {
    let shop = Namespace::shared("import").await?;
    let (jack, _) = user("jack").await?;
    let flags = |name: &str| [format!("--from-secret={name}"), format!("--namespace={}", shop.name)];
    let refused = import(&jack, &flags("tls")).await?;
    ensure!(refused.code == Some(3) && refused.stderr.contains("not allowed to get the secret tls"), "{refused:?}");
    jack.may_edit(&shop.name).await?;
    for (name, stem) in [("tls", "tls"), ("client", "client")] {
        secret(&shop, name, stem, &admin(shop.world)?).await?;
        works(&jack, &import(&jack, &flags(name)).await?, &shop.name).await?;
    }
    let before = fs::read(&jack.config)?;
    let missing = import(&jack, &flags("other")).await?;
    let message = format!("error: there is no Secret other in the namespace {}\nhint: ", shop.name);
    ensure!(missing.code == Some(3) && missing.stderr.starts_with(&message), "{missing:?}");
    shop.kubectl(&["create", "secret", "generic", "opaque", "--from-literal=client.crt=x"]).await?;
    let incomplete = import(&jack, &flags("opaque")).await?;
    let message = format!("error: the Secret opaque in the namespace {} has no ca.crt and no client.key\n", shop.name);
    ensure!(incomplete.code == Some(3) && incomplete.stderr.starts_with(&message), "{incomplete:?}");
    secret(&shop, "wrong", "tls", &Pem { key: "x".to_owned(), ..admin(shop.world)? }).await?;
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

/// What is wrong, how it is made, what is said.
type Row = (&'static str, fn(&World, Pem) -> Result<Pem>, &'static str);

const NO_X509: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

const TABLE: &[Row] = &[
    ("no CA", |_, pem| Ok(Pem { ca: "x".into(), ..pem }), "ca.crt\" holds no CA certificate in PEM"),
    ("a CA of nonsense", |_, pem| Ok(Pem { ca: NO_X509.into(), ..pem }), "ca.crt\" cannot be used"),
    (
        "no certificate",
        |_, pem| Ok(Pem { certificate: pem.key.clone(), ..pem }),
        "some.crt\" holds no client certificate",
    ),
    ("nonsense", |_, pem| Ok(Pem { certificate: NO_X509.into(), ..pem }), "some.crt\" is not an X.509 certificate"),
    ("broken PEM", |_, pem| Ok(Pem { certificate: pem.certificate.replace("END", "E"), ..pem }), "in PEM"),
    ("no key", |_, pem| Ok(Pem { key: pem.certificate.clone(), ..pem }), "some.key\" holds no key in PEM"),
    (
        "a key of nonsense",
        |_, pem| Ok(Pem { key: NO_X509.replace("CERTIFICATE", "PRIVATE KEY"), ..pem }),
        "some.key\" cannot be used",
    ),
    (
        "another key",
        |_, pem| Ok(Pem { key: KeyPair::generate()?.serialize_pem(), ..pem }),
        "the key does not belong to the client",
    ),
    ("expired", |world, _| valid(world, 2000, 2020), "the client certificate of kate expired at 2020-01-01T00:00:00Z"),
    ("not yet valid", |world, _| valid(world, 2100, 2101), "the client certificate of kate is not valid before 2100"),
];

fn valid(world: &World, from: i32, to: i32) -> Result<Pem> {
    let mut params = client("kate");
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    Pem::with(world, params)
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_and_nothing_is_written() -> Result<()> {
    let world = world().await?;
    let (kate, folder) = user("kate").await?;
    let before = "# Mine.\ncontexts: {}\n";
    fs::create_dir_all(kate.config.parent().context("no folder")?)?;
    fs::write(&kate.config, before)?;
    let mut wrong = Vec::new();
    for (what, make, message) in TABLE {
        let outcome = import(&kate, &make(world, Pem::of(world, "kate")?)?.write(&folder)?).await?;
        let (said, lines) =
            (&outcome.stderr, outcome.stderr.lines().filter(|line| line.starts_with("error: ")).count());
        let is_clear = lines == 1 && said.contains(message) && said.contains("\nhint: ");
        if outcome.code != Some(3)
            || !is_clear
            || !outcome.stdout.is_empty()
            || fs::read_to_string(&kate.config)? != before
        {
            wrong.push(format!("{what}: {outcome:?}"));
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
async fn a_certificate_of_another_ca_is_taken_with_a_warning() -> Result<()> {
    let world = world().await?;
    let (liam, folder) = user("liam").await?;
    let other = world.cluster.folder().join("another-ca-of-liam");
    release::make_certificates(&other).await?;
    let pem = Pem { ca: fs::read_to_string(other.join("ca/ca.crt"))?, ..Pem::of(world, "liam")? };
    let outcome = import(&liam, &pem.write(&folder)?).await?;
    ensure!(
        outcome.code == Some(0) && outcome.stdout.starts_with("imported the client certificate of liam"),
        "{outcome:?}"
    );
    let warning = "warning: a server that trusts only this CA will refuse liam: invalid peer certificate: ";
    ensure!(outcome.stderr.starts_with(warning), "{outcome:?}");
    assert!(liam.entry()?["keyData"].is_string());
    Ok(())
}

#[tokio::test]
async fn settings_are_changed_one_by_one() -> Result<()> {
    let mia = User::new(world().await?, "mia")?;
    let set = async |arguments: &[&str]| mia.replicas(&[&["config"], arguments].concat()).await;
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
