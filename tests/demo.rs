//! `make demo` shows the main task on a real control plane, as users see it. KEEP=1 leaves the cluster running.
//!
//! `demo play FOLDER PROGRAM` runs the server's pods of the cluster in a folder. The demo starts itself this way, so that
//! these pods go on being run after its end.

use std::{
    env,
    ffi::OsString,
    future, io,
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cluster::{Cluster, Kubelet, Options, ports, run, wait};
use serde_json::Value;
use support::{ROOT, RUN_PODS, documented_call, release};

/// The timeout of every wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// The namespace of the documented grpcurl call.
const NAMESPACE: &str = "my-app-namespace";

/// The port of the documented grpcurl call.
const PORT: u16 = 8080;

/// The argument with which the demo starts itself to run pods.
const PLAY: &str = "play";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    if let [play, folder, program] = arguments.as_slice()
        && play == PLAY
    {
        let _kubelet = Kubelet::join(Path::new(folder), [(release::NAME, Path::new(program))])?;
        return future::pending().await;
    }
    title("A Kubernetes control plane, on this machine");
    let start = Instant::now();
    let demo = Demo::start().await?;
    println!("up after {:.1} s", start.elapsed().as_secs_f64());

    title("The chart, installed by helm: its default values, and an annotation for this machine");
    demo.install().await?;
    title("A client certificate, from the server");
    demo.show("kubectl replicas login").await?;
    demo.drift().await?;
    demo.grpcurl().await?;

    if env::var_os("KEEP").is_some_and(|keep| keep != "0") {
        demo.keep()
    } else {
        drop(demo);
        title("Done: nothing is left running. `make demo KEEP=1` leaves it all up.");
        Ok(())
    }
}

struct Demo {
    cluster: Cluster,
    /// The folder of the commands. It has what they need of the repository, and gets the files that they write.
    folder: PathBuf,
    config: PathBuf,
}

impl Demo {
    async fn start() -> Result<Self> {
        let cluster = Cluster::start(Options::default()).await?;
        symlink(release::program("kubectl-replicas")?, cluster.folder().join("bin/kubectl-replicas"))?;
        let server = release::program("replica-count-manager")?;
        cluster.spawn("pods", &env::current_exe()?, &[Path::new(PLAY), cluster.folder(), &server])?;
        let folder = cluster.folder().join("demo");
        std::fs::create_dir(&folder)?;
        for name in ["charts", "proto"] {
            symlink(Path::new(ROOT).join(name), folder.join(name))?;
        }
        let config = cluster.folder().join("kubectl-replicas.yaml");
        Ok(Self { cluster, folder, config })
    }

    /// Installs the chart. Its only value is the annotation that makes this machine run the pods as processes.
    async fn install(&self) -> Result<()> {
        let (flag, value) = RUN_PODS.split_once('=').context("no value")?;
        self.show(&format!(
            "helm upgrade --install {0} charts/{0} --namespace {0} --create-namespace {flag} '{value}' --wait >/dev/null",
            release::NAME
        ))
        .await?;
        self.show(&format!("kubectl get pods --namespace {}", release::NAME)).await
    }

    /// Shows the main task: a count is set, another user changes it, and the server corrects it.
    async fn drift(&self) -> Result<()> {
        title("A Deployment, held at 3 replicas");
        self.show(&format!("kubectl create namespace {NAMESPACE}")).await?;
        let context = ["config", "set-context", "--current", "--namespace", NAMESPACE];
        run(self.cluster.kubectl().args(context)).await?;
        self.show("kubectl create deployment web --image=nginx --replicas=2").await?;
        self.show("kubectl replicas set web 3 --wait --reason=demo").await?;

        title("Another user scales it");
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

    /// Shows the documented call without the plugin, through kubectl's own port-forward.
    async fn grpcurl(&self) -> Result<()> {
        title("Without the plugin: grpcurl through kubectl port-forward");
        self.show("kubectl replicas config export").await?;
        let port = free_port()?;
        let ports = if port == PORT { PORT.to_string() } else { format!("{port}:{PORT}") };
        let forward = format!("kubectl port-forward --namespace {0} service/{0} {ports}", release::NAME);
        println!("$ {forward} >/dev/null 2>&1 &");
        let mut command = self.cluster.command("sh");
        command.args(["-c", &format!("exec {forward}")]).stdout(Stdio::null()).stderr(Stdio::null());
        let _forward = command.spawn()?;
        wait::until("the port-forward", PATIENCE, async || {
            Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map(drop)?)
        })
        .await?;
        self.show(&documented_call()?.replace(&format!("localhost:{PORT}"), &format!("localhost:{port}"))).await
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
        println!("cd {}", self.folder.display());
        for (name, value) in exports {
            println!("export {name}={}", value.display());
        }
        println!("export PATH={}:$PATH", bin.display());
        println!("\nkubectl replicas list\nkubectl port-forward --namespace {0} service/{0} {PORT}", release::NAME);
        println!("\nThe command of helm above upgrades the server, and a pod that is deleted gets a successor.");
        println!("kwok plays nodes and pods, but for the server's, whose log is {}", log.display());
        title("To end it:");
        println!("{}", stop.display());
        Ok(())
    }

    /// Prints a command line, and runs it in the folder.
    async fn show(&self, line: &str) -> Result<()> {
        println!("$ {line}");
        let mut shell = self.cluster.command("sh");
        shell.args(["-c", line]).current_dir(&self.folder).env("KUBECTL_REPLICAS_CONFIG", &self.config);
        let status = shell.status().await?;
        ensure!(status.success(), "{line}: {status}");
        Ok(())
    }
}

/// The documented port, or another one if a program of this machine has that one.
fn free_port() -> Result<u16> {
    match TcpListener::bind(("127.0.0.1", PORT)) {
        Ok(_) => Ok(PORT),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => ports::free(),
        Err(error) => Err(error.into()),
    }
}

fn title(text: &str) {
    println!("\n==> {text}");
}
