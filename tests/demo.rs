//! `make demo` shows the main task on a real control plane, as users see it. KEEP=1 leaves the cluster running.

use std::{
    env,
    ffi::OsString,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, Options, ports, run, wait};
use serde_json::Value;
use support::{ROOT, release};

/// The timeout of every wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// The namespace of the documented grpcurl call.
const NAMESPACE: &str = "my-app-namespace";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let certificates = Path::new(ROOT).join("certificates");
    if !certificates.join("ca/ca.crt").exists() {
        title("Certificates, in certificates/");
        release::make_certificates(&certificates).await?;
    }
    title("A Kubernetes control plane, on this machine");
    let start = Instant::now();
    let demo = Demo::start(&certificates).await?;
    println!("up after {:.1} s", start.elapsed().as_secs_f64());

    title("The chart, installed by helm");
    let kubelet = release::run_pods(&demo.cluster, &release::program("replica-count-manager")?)?;
    release::install(&demo.cluster, &certificates, &[]).await?;
    demo.show("kubectl get pods --namespace replica-count-manager").await?;
    demo.drift().await?;
    demo.grpcurl().await?;

    if env::var_os("KEEP").is_some_and(|keep| keep != "0") {
        demo.keep()
    } else {
        // The pods' processes end with the cluster.
        drop((kubelet, demo));
        title("Done: nothing is left running. `make demo KEEP=1` leaves it all up.");
        Ok(())
    }
}

struct Demo {
    cluster: Cluster,
    config: PathBuf,
}

impl Demo {
    async fn start(certificates: &Path) -> Result<Self> {
        let cluster = Cluster::start(Options::default()).await?;
        symlink(release::program("kubectl-replicas")?, cluster.folder().join("bin/kubectl-replicas"))?;
        let config = release::configure_plugin(&cluster, certificates).await?;
        Ok(Self { cluster, config })
    }

    /// Shows the main task: a count is set, another user changes it, and the server corrects it.
    async fn drift(&self) -> Result<()> {
        title("A Deployment, held at 3 replicas");
        self.show(&format!("kubectl create namespace {NAMESPACE}")).await?;
        let context = ["config", "set-context", "--current", "--namespace", NAMESPACE];
        run(self.cluster.kubectl().args(context)).await?;
        self.show("kubectl create deployment web --image=nginx --replicas=2").await?;
        self.show("kubectl replicas set web 3 --wait --reason=demo").await?;

        title("Somebody scales it");
        self.show("kubectl scale deployment web --replicas=7").await?;
        let drift = self.corrected().await?;
        let time = |field: &str| -> Result<jiff::Timestamp> { Ok(drift[field].as_str().context("no time")?.parse()?) };
        let took = time("correctedAt")?.duration_since(time("at")?).as_millis_f64();
        let manager = drift["manager"].as_str().unwrap_or_default();
        println!("put back to {} after {took:.1} ms; changed to {} by {manager}", drift["from"], drift["to"]);
        self.show("kubectl get deployment web").await?;

        title("What is managed, and who tried to change it");
        self.show("kubectl replicas list").await?;
        self.show("kubectl replicas get web").await
    }

    /// Waits until the latest drift of the Deployment is corrected, and returns it.
    async fn corrected(&self) -> Result<Value> {
        wait::until("the correction", PATIENCE, async || {
            let get = ["get", "replicacount", "deployment.web", "--output=json", "--namespace", NAMESPACE];
            let count: Value = serde_json::from_str(&run(self.cluster.kubectl().args(get)).await?)?;
            let drift = &count["status"]["lastDrift"];
            ensure!(!drift["correctedAt"].is_null(), "{}", count["status"]);
            Ok(drift.clone())
        })
        .await
    }

    /// Shows a call without the plugin, through kubectl's own port-forward.
    async fn grpcurl(&self) -> Result<()> {
        title("Without the plugin: grpcurl through kubectl port-forward");
        let port = ports::free()?;
        let mut forward = self.cluster.kubectl();
        forward.args(["port-forward", "--namespace", release::NAME, "service/replica-count-manager"]);
        let _forward = forward.arg(format!("{port}:8080")).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        wait::until("the port-forward", PATIENCE, async || {
            Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map(drop)?)
        })
        .await?;
        let files =
            "-cacert certificates/ca/ca.crt -cert certificates/client/client.crt -key certificates/client/client.key";
        let request = format!(r#"-d '{{"Namespace": "{NAMESPACE}"}}' -proto proto/deployments.proto"#);
        self.show(&format!("grpcurl {files} {request} localhost:{port} proto.DeploymentsService.ListDeployments")).await
    }

    /// Leaves the cluster running, and prints how to use and stop it.
    fn keep(self) -> Result<()> {
        let exports = [
            ("KUBECONFIG", OsString::from(self.cluster.kubeconfig())),
            ("KUBECTL_REPLICAS_CONFIG", self.config.clone().into()),
        ];
        let (bin, log) = (self.cluster.folder().join("bin"), self.cluster.folder().join("pods/*/server.log"));
        let stop = self.cluster.detach()?;
        title("It stays up. To use it:");
        for (name, value) in exports {
            println!("export {name}={}", value.display());
        }
        println!("export PATH={}:$PATH", bin.display());
        println!("\nkubectl replicas list\nkubectl port-forward --namespace {0} service/{0} 8080", release::NAME);
        println!("\nkwok plays nodes and pods, but for the server's, whose log is {}", log.display());
        title("To end it:");
        println!("{}", stop.display());
        Ok(())
    }

    /// Prints a command line, and runs it in the repository's folder.
    async fn show(&self, line: &str) -> Result<()> {
        println!("$ {line}");
        let mut shell = self.cluster.command("sh");
        shell.args(["-c", line]).current_dir(ROOT).env("KUBECTL_REPLICAS_CONFIG", &self.config);
        let status = shell.status().await?;
        ensure!(status.success(), "{line}: {status}");
        Ok(())
    }
}

fn title(text: &str) {
    println!("\n==> {text}");
}
