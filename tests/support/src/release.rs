//! The server as users install it: the certificates, their Secret and the chart's release.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, Kubelet, run};
use parking_lot::Mutex;
use tokio::process::Command;

/// The name of the release, of its namespace and of its objects.
pub const NAME: &str = "replica-count-manager";

/// The chart's folder.
pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/replica-count-manager");

/// The values of every release: its certificates, and the annotation that makes our kubelet run its pods instead of
/// kwok.
pub const VALUES: [&str; 4] = [
    "--set",
    "certificates.existingSecret=replica-count-manager-certificates",
    "--set-string",
    r"podAnnotations.replica-count-manager\.io/run=true",
];

/// The Service of the webhooks. Its EndpointSlice has the same name.
pub const ADMISSION_SERVICE: &str = "replica-count-manager-admission";

/// The name by which the API server calls the webhooks. It must be in the server's certificate.
pub(crate) fn admission_name(namespace: &str) -> String {
    format!("{ADMISSION_SERVICE}.{namespace}.svc")
}

/// The flags of helm that turn the webhooks on, in a mode, with the certificates of a folder. The chart cannot read the CA
/// of an existing Secret, so it is a value.
pub fn admission_flags(certificates: &Path, mode: &str) -> [String; 2] {
    let ca = certificates.join("ca/ca.crt");
    [format!("--set=admission.mode={mode}"), format!("--set-file=admission.caBundle={}", ca.display())]
}

/// Starts a kubelet that runs the annotated pods of the server's image with this program.
pub fn run_pods(cluster: &Cluster, server: &Path) -> Result<Kubelet> {
    Kubelet::start(cluster, [(NAME, server)])
}

/// Installs the chart with the certificates of a folder and more flags of helm, and waits until its pods are ready.
pub async fn install(cluster: &Cluster, certificates: &Path, flags: &[&str]) -> Result<()> {
    install_chart(cluster, Path::new(CHART), certificates, flags).await
}

/// As [`install`], from another folder or package of the chart.
pub(crate) async fn install_chart(cluster: &Cluster, chart: &Path, certificates: &Path, flags: &[&str]) -> Result<()> {
    run(cluster.kubectl().args(["create", "namespace", NAME])).await?;
    create_secret(cluster, NAME, certificates, "server/server.crt").await?;
    let mut helm = cluster.helm();
    helm.args(["install", NAME]).arg(chart).args(["--namespace", NAME]).args(VALUES).args(flags);
    run(helm.args(["--wait", "--timeout=2m"])).await.map(drop)
}

/// Creates the Secret of the server's certificate. `certificate` is a file of the folder.
pub(crate) async fn create_secret(
    cluster: &Cluster,
    namespace: &str,
    certificates: &Path,
    certificate: &str,
) -> Result<()> {
    let file = |key: &str, name: &str| format!("--from-file={key}={}", certificates.join(name).display());
    let mut secret = cluster.kubectl();
    secret.args(["create", "secret", "generic", "replica-count-manager-certificates", "--namespace", namespace]);
    secret.args([file("tls.crt", certificate), file("tls.key", "server/server.key"), file("ca.crt", "ca/ca.crt")]);
    run(&mut secret).await.map(drop)
}

/// Makes a CA, a server certificate and a client certificate with the certificates command.
pub async fn make_certificates(folder: &Path) -> Result<()> {
    make_certificates_for(folder, NAME).await
}

/// As [`make_certificates`], for a server in another namespace.
pub(crate) async fn make_certificates_for(folder: &Path, namespace: &str) -> Result<()> {
    let mut make = Command::new(program("certificates")?);
    make.args(["--namespace", namespace, "--dns", &admission_name(namespace), "--out"]);
    run(make.arg(folder)).await.map(drop)
}

/// The files of the CA, the client certificate and its key in a folder that the certificates command made.
pub fn client_files(certificates: &Path) -> [String; 3] {
    ["ca/ca.crt", "client/client.crt", "client/client.key"].map(|file| certificates.join(file).display().to_string())
}

/// Writes the plugin's configuration for the cluster, and returns its path.
pub async fn configure_plugin(cluster: &Cluster, certificates: &Path) -> Result<PathBuf> {
    let config = cluster.folder().join("kubectl-replicas.yaml");
    let context = run(cluster.kubectl().args(["config", "current-context"])).await?;
    let [ca, certificate, key] = client_files(certificates);
    let entry = format!("{{ca: {ca}, certificate: {certificate}, key: {key}}}");
    std::fs::write(&config, format!("contexts:\n  {}: {entry}\n", context.trim()))?;
    Ok(config)
}

/// Finds a program of this workspace in the folder of this process's own build profile.
///
/// # Errors
///
/// If the program is not built, or if one of its sources was newer when this process first asked for it: a test of an
/// outdated program proves nothing.
pub fn program(name: &str) -> Result<PathBuf> {
    static CURRENT: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let this = std::env::current_exe()?;
    let found = this.ancestors().map(|folder| folder.join(name)).find(|path| path.is_file());
    let program = found.with_context(|| format!("{name} is not built: run `cargo build --workspace --bins`"))?;
    let mut current = CURRENT.lock();
    if !current.contains(&program) {
        check_is_current(&program)?;
        current.insert(program.clone());
    }
    Ok(program)
}

fn check_is_current(program: &Path) -> Result<()> {
    // Cargo lists the sources of each program in make's format: `program: source source`.
    let list = program.with_extension("d");
    let sources = fs::read_to_string(&list);
    let sources =
        sources.with_context(|| format!("failed to read the list of the program's sources {}", list.display()))?;
    let (_, sources) = sources.split_once(": ").context("the program's list of sources is malformed")?;
    let built = fs::metadata(program)?.modified()?;
    for source in sources.trim_end().replace("\\ ", "\0").split(' ') {
        let source = source.replace('\0', " ");
        let changed = fs::metadata(&source).and_then(|source| source.modified());
        ensure!(
            changed.is_ok_and(|changed| changed <= built),
            "{} is older than {source}: run `cargo build --workspace --bins`",
            program.display()
        );
    }
    Ok(())
}
