//! Completion of `kubectl replicas`: through the real kubectl, and in shells.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cluster::{run, wait};
use serde_json::{Value, json};
use tokio::process::Command;

use support::{Namespace, Outcome, PATIENCE, outcome, release};

/// What kubectl itself writes to stderr when it completes.
const NOTES_OF_KUBECTL: [&str; 2] = ["[Debug] ", "Completion ended with directive: "];

/// Far more than the second after which a completion gives up, and far less than any other limit.
const SOON: Duration = Duration::from_secs(15);

/// A user's PATH with the plugin in a folder of its own.
struct Shell {
    shop: Namespace<'static>,
    folder: PathBuf,
}

impl Shell {
    /// Installs the plugin, and creates `web`, held at 3 replicas, `api` and `sts/db`.
    async fn new(purpose: &str) -> Result<Self> {
        let shop = Namespace::shared(purpose).await?;
        let folder = shop.cluster.folder().join(format!("bin-{}", shop.name));
        fs::create_dir(&folder)?;
        symlink(release::program("kubectl-replicas")?, folder.join("kubectl-replicas"))?;
        let shell = Self { shop, folder };
        shell.shop.deployment("web", 2).await?;
        shell.shop.deployment("api", 2).await?;
        shell.shop.stateful_set("db", 1).await?;
        run(shell.command("kubectl-replicas").args(["set", "web", "3", "--wait", "-n", &shell.shop.name])).await?;
        Ok(shell)
    }

    fn command(&self, program: &str) -> Command {
        let mut path = self.folder.as_os_str().to_owned();
        path.push(":");
        path.push(self.shop.cluster.control_plane.path());
        let own = self.folder.join(program);
        let mut command = match own.exists() {
            true => self.shop.cluster.command(own),
            false => self.shop.cluster.command(program),
        };
        command.env("PATH", path).env("KUBECTL_REPLICAS_CONFIG", self.shop.cluster.plugin_config());
        command
    }

    /// The lines that kubectl answers to the words after `kubectl replicas`. The last word is the one at the cursor.
    async fn complete(&self, words: &[&str]) -> Result<Vec<String>> {
        let mut kubectl = self.command("kubectl");
        kubectl.args(["__complete", "replicas", "-n", &self.shop.name]).args(words);
        let Outcome { code, stdout, stderr } = outcome(&mut kubectl).await?;
        let is_silent = stderr.lines().all(|line| NOTES_OF_KUBECTL.iter().any(|note| line.starts_with(note)));
        ensure!(code == Some(0) && is_silent, "{words:?}: {code:?} {stderr}");
        Ok(stdout.lines().map(str::to_owned).collect())
    }

    /// Waits until the server knows all targets with their ready replicas.
    async fn wait_for_targets(&self) -> Result<()> {
        let expected = ["api\t2/2, not managed", "web\t3/3, set by admin", "sts/db\t1/1, not managed", ":4"];
        wait::until("the targets as candidates", PATIENCE, async || {
            let lines = self.complete(&["set", ""]).await?;
            ensure!(lines == expected, "they are {lines:?}");
            Ok(())
        })
        .await
    }
}

#[tokio::test]
async fn kubectl_completes_targets_with_their_counts() -> Result<()> {
    let shell = Shell::new("completion").await?;
    let before = shell.command("kubectl").args(["__complete", "replicas", "se"]).output().await?;
    assert_eq!(String::from_utf8(before.stdout)?, ":0\n", "kubectl finds nothing to ask yet");
    let installed = outcome(shell.command("kubectl").args(["replicas", "completion", "install"])).await?;
    let file = shell.folder.join("kubectl_complete-replicas");
    assert_eq!(installed.stdout, format!("{} created\n", file.display()), "{installed:?}");
    assert_eq!(fs::read_link(&file)?, Path::new("kubectl-replicas"));
    assert!(installed.stderr.contains("kubectl completion --help"), "{installed:?}");

    shell.wait_for_targets().await?;
    let counts = ["+1\tone more than there is", "x2\ttwice as many", "50%\thalf as many", "0\tnone", ":4"];
    let (api, db) = ("api\t2/2, not managed", "sts/db\t1/1, not managed");
    for (words, expected) in [
        (&["unset", ""][..], &["web\t3/3, set by admin", ":4"][..]),
        (&["unset", "web", ""], &[":4"]),
        (&["set", "web", ""], &counts),
        (&["set", "--replicas", "3", "web", ""], &[api, db, ":4"]),
        (&["set", "deploy/"], &["deploy/api\t2/2, not managed", "deploy/web\t3/3, set by admin", ":4"]),
        (&["set", "sts", ""], &["db\t1/1, not managed", ":4"]),
        (&["set", "web=3", ""], &["api=\t2/2, not managed", "sts/db=\t1/1, not managed", ":6"]),
        (&["get", "a"], &[api, ":4"]),
        (&["list", "rs"], &["rs\tall targets of the kind ReplicaSet", ":4"]),
        (&["set", "web", "3", "--for", "3"], &["30m\t30 minutes", ":4"]),
        (&["list", "--output=js"], &["json\tJSON for programs", ":4"]),
        (&["--context", "no-such"], &[":4"]),
    ] {
        assert_eq!(shell.complete(words).await?, expected, "{words:?}");
    }
    let context = run(shell.command("kubectl").args(["config", "current-context"])).await?;
    assert_eq!(shell.complete(&["--context", ""]).await?, [context.trim(), ":4"]);
    assert_eq!(shell.complete(&["list", "-n", &shell.shop.name]).await?, [&shell.shop.name, ":4"]);
    let commands = shell.complete(&[""]).await?;
    assert!(
        commands.contains(&"set\tHold targets at a replica count, even if others change it".to_owned()),
        "{commands:?}"
    );
    Ok(())
}

#[tokio::test]
async fn kubectl_completes_the_plugin_under_another_name() -> Result<()> {
    let shell = Shell::new("second-name").await?;
    symlink(release::program("kubectl-replicas")?, shell.folder.join("kubectl-hold_replicas"))?;
    run(shell.command("kubectl").args(["hold-replicas", "completion", "install"])).await?;
    assert!(shell.folder.join("kubectl_complete-hold_replicas").exists());
    let mut kubectl = shell.command("kubectl");
    let answer = run(kubectl.args(["__complete", "hold-replicas", "-n", &shell.shop.name, "unset", "w"])).await?;
    assert_eq!(answer.lines().collect::<Vec<_>>(), ["web\t3/3, set by admin", ":4"]);
    Ok(())
}

#[tokio::test]
async fn only_a_file_of_the_plugin_is_replaced() -> Result<()> {
    let shop = Namespace::shared("completer").await?;
    let folder = shop.cluster.folder().join("completer");
    fs::create_dir(&folder)?;
    let install = async || {
        let mut plugin = shop.cluster.plugin();
        outcome(plugin.args(["completion", "install", "--dir"]).arg(&folder)).await
    };
    let file = folder.join("kubectl_complete-replicas");
    for (what, done) in [("new", "created"), ("a second time", "unchanged")] {
        let installed = install().await?;
        assert_eq!(installed.stdout, format!("{} {done}\n", file.display()), "{what}: {installed:?}");
        assert!(installed.stderr.contains("is not on the PATH"), "{installed:?}");
    }
    fs::remove_file(&file)?;
    fs::write(&file, "#!/bin/sh\n")?;
    let refused = install().await?;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    assert!(refused.stderr.contains("is no link to this program\nhint: remove it"), "{refused:?}");
    assert_eq!(fs::read_to_string(&file)?, "#!/bin/sh\n");
    Ok(())
}

/// Writes a kubeconfig whose user has this credential program.
fn with_program(shell: &Shell, name: &str, mode: &str, script: &str) -> Result<PathBuf> {
    let kubeconfig = fs::read_to_string(shell.shop.cluster.control_plane.kubeconfig())?;
    let mut kubeconfig: Value = serde_json::from_str(&kubeconfig)?;
    kubeconfig["users"][0]["user"] = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script], "interactiveMode": mode,
    }});
    let path = shell.folder.join(name);
    fs::write(&path, kubeconfig.to_string())?;
    Ok(path)
}

#[tokio::test]
async fn without_a_connection_a_completion_is_empty_silent_and_soon() -> Result<()> {
    let shell = Shell::new("unconnected").await?;
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("--address={}", silent.local_addr()?);
    let hanging = with_program(&shell, "hanging", "Never", "exec sleep 60")?;
    let asking = with_program(&shell, "asking", "Always", "read answer; exec sleep 60")?;
    let loud = with_program(&shell, "loud", "IfAvailable", "echo your code is 1234 >&2; exit 1")?;
    let nowhere = Path::new("/nowhere");
    for (name, kubeconfig, config, flag, expected) in [
        ("all is well", None, None, "", "web\n"),
        ("no kubeconfig", Some(nowhere), None, "", ""),
        ("no login", None, Some(nowhere), "", ""),
        ("a silent server", None, None, &*address, ""),
        ("a hanging program", Some(&*hanging), None, "", ""),
        ("a program that asks", Some(&*asking), None, "", ""),
        ("a program that talks", Some(&*loud), None, "", ""),
    ] {
        let mut plugin = shell.command("kubectl-replicas");
        plugin.args(["__complete", "-n", &shell.shop.name]);
        plugin.args(Some(flag).filter(|flag| !flag.is_empty())).args(["unset", "w"]);
        for (variable, path) in [("KUBECONFIG", kubeconfig), ("KUBECTL_REPLICAS_CONFIG", config)] {
            plugin.envs(path.map(|path| (variable, path)));
        }
        let start = Instant::now();
        let Outcome { code, stdout, stderr } = outcome(&mut plugin).await?;
        // The description of the candidate depends on what the server knows by now.
        let values: String =
            stdout.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned() + "\n").collect();
        assert_eq!((code, values, stderr.as_str()), (Some(0), format!("{expected}:4\n"), ""), "{name}");
        ensure!(start.elapsed() < SOON, "{name}: {:?}", start.elapsed());
    }
    Ok(())
}

/// Loads both scripts, and shows what bash would insert or show, with a bar after each candidate.
///
/// It stands in for readline and for the package bash-completion, which splits words for kubectl's own script.
const BASH: &str = r#"
_init_completion() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; }
compopt() { true; }
source <(kubectl completion bash)
source <(kubectl-replicas completion bash)
show() {
    local function=$1
    COMP_LINE=$2 COMP_POINT=${#2} COMP_TYPE=9 COLUMNS=120 COMPREPLY=()
    shift 2
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    "$function" "$1" "${COMP_WORDS[COMP_CWORD]}"
    printf '%s|' "${COMPREPLY[@]}"
    echo
}
own=__complete_kubectl_replicas
show __start_kubectl "kubectl replicas unset w" kubectl replicas unset w
show __start_kubectl "kubectl replicas set " kubectl replicas set ''
show $own "kubectl-replicas unset w" kubectl-replicas unset w
show $own "kubectl-replicas set " kubectl-replicas set ''
show $own "kubectl-replicas list --output=js" kubectl-replicas list --output = js
show $own "kubectl-replicas set web=3 a" kubectl-replicas set web = 3 a
show $own "kubectl-replicas config se" kubectl-replicas config se
"#;

#[tokio::test]
async fn bash_completes_kubectl_and_the_program_itself() -> Result<()> {
    let shell = Shell::new("bash").await?;
    run(shell.command("kubectl-replicas").args(["completion", "install"])).await?;
    shell.wait_for_targets().await?;
    let kubeconfig = in_namespace(&shell).await?;
    let shown = run(shell.command("bash").env("KUBECONFIG", kubeconfig).args(["-c", BASH])).await?;
    let all = "api     (2/2, not managed)|web     (3/3, set by admin)|sts/db  (1/1, not managed)|";
    assert_eq!(shown.lines().collect::<Vec<_>>(), ["web|", all, "web|", all, "json|", "api=|", "set|"]);
    Ok(())
}

/// Writes a kubeconfig whose context is in the namespace.
async fn in_namespace(shell: &Shell) -> Result<PathBuf> {
    let path = shell.folder.join("config");
    fs::copy(shell.shop.cluster.control_plane.kubeconfig(), &path)?;
    let mut kubectl = shell.command("kubectl");
    kubectl.env("KUBECONFIG", &path).args(["config", "set-context", "--current", "--namespace", &shell.shop.name]);
    run(&mut kubectl).await?;
    Ok(path)
}

/// Loads both scripts, and prints what zsh would offer. It stands in for the functions of zsh's completion system.
const ZSH: &str = r#"
compdef() { : }
compset() { : }
_files() { print files }
_describe() { print -r -- ${(P)2} }
source <(kubectl completion zsh)
source <(kubectl-replicas completion zsh)
show() {
    local function=$1
    shift
    words=("$@") CURRENT=$# PREFIX=$argv[-1]
    $function
}
own=__complete_kubectl_replicas
show _kubectl kubectl replicas unset w
show $own kubectl-replicas unset w
show $own kubectl-replicas list --output=js
show $own kubectl-replicas set web=3 a
show $own kubectl-replicas list --kubeconfig ''
"#;

#[tokio::test]
#[ignore = "needs zsh and fish"]
async fn zsh_and_fish_complete_kubectl_and_the_program_itself() -> Result<()> {
    let shell = Shell::new("zsh").await?;
    run(shell.command("kubectl-replicas").args(["completion", "install"])).await?;
    shell.wait_for_targets().await?;
    let kubeconfig = in_namespace(&shell).await?;
    let load = "kubectl completion fish | source; kubectl-replicas completion fish | source";
    for (line, expected) in [
        ("kubectl replicas unset ", "web\t3/3, set by admin\n"),
        ("kubectl-replicas unset ", "web\t3/3, set by admin\n"),
        ("kubectl-replicas list --output=js", "--output=json\tJSON for programs\n"),
        ("kubectl-replicas config se", "set\tChange a setting of this context; an empty value removes it\n"),
    ] {
        let mut fish = shell.command("fish");
        fish.env("KUBECONFIG", &kubeconfig).args(["--no-config", "-c", &format!("{load}; complete -C '{line}'")]);
        assert_eq!(run(&mut fish).await.context("fish")?, expected, "fish: {line}");
    }
    let mut zsh = shell.command("zsh");
    let shown = run(zsh.env("KUBECONFIG", &kubeconfig).args(["-f", "-c", ZSH])).await.context("zsh")?;
    let web = "web:3/3, set by admin";
    let expected = [web, web, "json:JSON for programs", "api=:2/2, not managed", "files"];
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected, "zsh");
    Ok(())
}
