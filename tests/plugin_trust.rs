//! What the plugin believes: after a login only that server and its CA, and no text of others that controls the terminal.

use std::fs;

use anyhow::{Context, Result, ensure};
use cluster::{Options, run, wait};
use k8s_openapi::ByteString;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use serde_json::{Value, json};

use support::{Namespace, Outcome, PATIENCE, TestCluster, User, outcome, release, shared_cluster};

use crate::login::{OLD, replace_certificate};

/// The ConfigMap of the server's CA.
const CA: &str = "replica-count-manager-ca";

/// Runs kubectl in the server's namespace.
async fn kubectl(cluster: &TestCluster, arguments: &[&str]) -> Result<String> {
    run(cluster.kubectl().args(["--namespace", release::NAME]).args(arguments)).await
}

/// Makes the server's Service name the ConfigMap with this CA.
async fn name_ca(cluster: &TestCluster, config_map: &str) -> Result<()> {
    let annotation = format!("{}={config_map}", contract::names::CA_CONFIG_MAP);
    kubectl(cluster, &["annotate", "--overwrite", "service/replica-count-manager", &annotation]).await.map(drop)
}

/// The CA that an entry of the configuration trusts.
fn trusted(entry: &Value) -> Result<String> {
    let ca: ByteString = serde_json::from_value(entry["caData"].clone())?;
    Ok(String::from_utf8(ca.0)?)
}

fn assert_refused(outcome: &Outcome, code: i32) {
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    for part in ["has another CA than at your login", "hint: ", "kubectl replicas logout"] {
        assert!(outcome.stderr.contains(part), "{part:?} is missing in {outcome:?}");
    }
}

#[tokio::test]
async fn a_login_stays_with_its_server_and_accepts_only_a_ca_that_the_old_one_has_signed() -> Result<()> {
    let cluster = TestCluster::without_server(Options::default()).await?;
    cluster.install_managed(&["--set=replicaCount=1"]).await?;
    let [trudy, later] = ["trudy", "later"].map(|name| User::new(&cluster, name));
    let (trudy, later) = (trudy?, later?);
    for user in [&trudy, &later] {
        user.grant_connect().await?;
        user.grant_login().await?;
    }
    trudy.run(&["login"]).await?;
    let first = trudy.entry()?;
    let server = json!({"namespace": release::NAME, "name": release::NAME});
    assert_eq!(first["loginService"], server);

    // Somebody else's Service with the server's label changes nothing after the login. Without a login, the user has to
    // choose.
    kubectl(&cluster, &["create", "service", "clusterip", "another", "--tcp=8080:8080"]).await?;
    kubectl(&cluster, &["label", "service/another", contract::names::SERVICE_SELECTOR]).await?;
    ensure!(trudy.run(&["whoami"]).await?.starts_with("User:    trudy\n"), "whoami");
    let unsure = later.try_run(&["login"]).await?;
    ensure!(unsure.code == Some(3) && unsure.stderr.contains("there are several servers"), "{unsure:?}");
    later.run(&["login", "--service-name", release::NAME, "--service-namespace", release::NAME]).await?;
    ensure!(later.run(&["whoami"]).await?.starts_with("User:    later\n"), "the choice is remembered");

    // A renewal accepts the CA that the old one has signed.
    kubectl(&cluster, &["annotate", "secret", CA, "replica-count-manager.io/new-ca=please"]).await?;
    let published = wait::until("the new CA", PATIENCE, async || {
        let map: Value = serde_json::from_str(&kubectl(&cluster, &["get", "configmap", CA, "--output=json"]).await?)?;
        ensure!(map["data"]["cross.crt"].is_string(), "{map}");
        Ok(map)
    })
    .await?;
    replace_certificate(&cluster, &trudy, "trudy", OLD).await?;
    let renewed = trudy.try_run(&["whoami"]).await?;
    ensure!(renewed.code == Some(0) && renewed.stderr.is_empty(), "{renewed:?}");
    let kept = trudy.entry()?;
    assert_eq!(trusted(&kept)?, published["data"]["ca.crt"].as_str().context("no CA")?);
    ensure!(trusted(&kept)? != trusted(&first)?, "the CA was not renewed");

    // A CA without such a signature is refused, whether the old one is beside it or not.
    let strangers = cluster.folder().join("strangers");
    release::make_certificates(&strangers).await?;
    let stranger = strangers.join("ca/ca.crt");
    let both = cluster.folder().join("both.crt");
    fs::write(&both, fs::read_to_string(&stranger)? + &trusted(&kept)?)?;
    for (map, file) in [("alone", &stranger), ("beside", &both)] {
        let file = format!("--from-file=ca.crt={}", file.display());
        kubectl(&cluster, &["create", "configmap", map, &file]).await?;
        kubectl(&cluster, &["create", "role", map, "--verb=get", "--resource=configmaps"]).await?;
        kubectl(&cluster, &["create", "rolebinding", map, &format!("--role={map}"), "--user=trudy"]).await?;
        name_ca(&cluster, map).await?;
        assert_refused(&trudy.try_run(&["login"]).await?, 3);
        assert_eq!(trudy.entry()?, kept, "nothing was stored");
        replace_certificate(&cluster, &trudy, "trudy", OLD).await?;
        // The old certificate is still valid, so the command works with it, and warns.
        assert_refused(&trudy.try_run(&["whoami"]).await?, 0);
        assert_eq!(trusted(&trudy.entry()?)?, trusted(&kept)?);
        trudy.edit_entry(|entry| *entry = kept.clone())?;
    }

    // Logging out ends the trust.
    name_ca(&cluster, CA).await?;
    trudy.run(&["logout"]).await?;
    trudy.run(&["login", "--service-name", release::NAME]).await?;
    ensure!(trudy.run(&["whoami"]).await?.starts_with("User:    trudy\n"), "whoami");
    let gone = ["config", "set", "service.name", "gone"];
    trudy.run(&gone).await?;
    let missing = trudy.try_run(&["whoami"]).await?;
    ensure!(missing.code == Some(3) && missing.stderr.contains("there is no Service gone"), "{missing:?}");
    Ok(())
}

/// A name that clears the screen, fakes a line and shows its end backwards.
const NAME: &str = "al\u{1b}[2J\u{9b}2Jice\nGroups:  root\u{202e}";

/// The same name in a line for people.
const SHOWN: &str = "al [2J 2Jice Groups:  root ";

/// Whether a text could control a terminal.
fn controls(text: &str) -> bool {
    text.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}'))
}

#[tokio::test]
async fn names_and_messages_of_others_cannot_control_the_terminal() -> Result<()> {
    let cluster = shared_cluster().await?;
    let read = |name: &str| fs::read_to_string(cluster.certificates().join(name));
    let issuer = Issuer::from_ca_cert_pem(&read("ca/ca.crt")?, KeyPair::from_pem(&read("ca/ca.key")?)?)?;
    let mut params = CertificateParams::new([])?;
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let files = ["crt", "key"].map(|end| cluster.folder().join(format!("controls.{end}")));
    fs::write(&files[0], params.signed_by(&key, &issuer)?.pem())?;
    fs::write(&files[1], key.serialize_pem())?;
    let attacker = async |arguments: &[&str]| {
        outcome(cluster.plugin().args(arguments).arg("--cert").arg(&files[0]).arg("--key").arg(&files[1])).await
    };
    let identity = attacker(&["whoami"]).await?;
    let shown = format!("User:    {SHOWN}\nGroups:  system:authenticated\nIssuer:  ");
    assert!(identity.stdout.starts_with(&shown) && !controls(&identity.stdout), "{identity:?}");
    let exact: Value = serde_json::from_str(&attacker(&["whoami", "--output=json"]).await?.stdout)?;
    assert_eq!(exact["user"], NAME);
    for format in ["json", "yaml"] {
        let document = attacker(&["whoami", "--output", format]).await?.stdout;
        assert!(!controls(&document), "{format}: {document:?}");
    }
    let refusal = attacker(&["list", "--namespace=default"]).await?;
    assert!(refusal.stderr.contains("cannot list"), "{refusal:?}");
    assert!(!controls(&refusal.stderr) && !refusal.stderr.contains("\nGroups"), "{refusal:?}");

    let shop = Namespace::shared("controls").await?;
    shop.deployment("web", 1).await?;
    shop.set("web", 2).await?;
    let patch = json!({"spec": {"reason": NAME}}).to_string();
    shop.kubectl(&["patch", "replicacount/deployment.web", "--type=merge", &format!("--patch={patch}")]).await?;
    shop.wait_for_replica_count("deployment.web", "the reason", |count| count["status"]["observedGeneration"] == 2)
        .await?;
    for (arguments, shown) in [
        (&["list", "--output=wide"][..], SHOWN.trim_end()),
        (&["get", "web"][..], SHOWN.trim_end()),
        (&["list", "--output=name"][..], "deployment.apps/web"),
    ] {
        let listed = outcome(cluster.plugin().args(arguments).args(["--namespace", &shop.name])).await?;
        assert!(listed.stdout.contains(shown) && !controls(&listed.stdout), "{arguments:?}: {listed:?}");
    }
    let exact = outcome(cluster.plugin().args(["get", "web", "--output=json", "--namespace", &shop.name])).await?;
    let exact: Value = serde_json::from_str(&exact.stdout)?;
    assert_eq!(exact["reason"], NAME);
    Ok(())
}
