//! Every kubeconfig, credential program, proxy and certificate with which kubectl works also works with the plugin.
//!
//! Each row is one kubeconfig with its environment. The real kubectl and the plugin use it on the same API server, and
//! both must be the same user to it, or both must fail. What the API server saw of the plugin is in its audit log: each
//! row lists endpoints in a namespace of its own.

mod environment;
mod proxies;
mod rows;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};
use cluster::wait;
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use support::{Outcome, PATIENCE, outcome};

use environment::Environment;
use rows::{Expected, Row, rows};

/// The rows that run at once. They wait for processes, and the machines of CI have few cores.
const AT_ONCE: usize = 6;

/// The text that must never appear: passwords and tokens of all rows contain it.
const SECRET: &str = "s3cret";

/// What happened in a row.
struct Run {
    row: Row,
    namespace: String,
    kubectl: Outcome,
    plugin: Outcome,
}

/// Writes the files of a row into a folder of its own.
fn write_files(environment: &Environment, number: usize, row: &Row) -> Result<()> {
    let folder = environment.folder.join(namespace(number));
    for (name, text) in &row.files {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().context("no folder")?)?;
        fs::write(&file, environment.fill(text, &folder))?;
        if text.starts_with("#!") {
            environment::make_executable(&file)?;
        }
    }
    Ok(())
}

fn namespace(number: usize) -> String {
    format!("row-{number}")
}

/// Runs kubectl and the plugin with a row.
async fn run_row(environment: &Environment, number: usize, row: Row) -> Result<Run> {
    let namespace = namespace(number);
    let folder = environment.folder.join(&namespace);
    let flags: Vec<String> = row.flags.iter().map(|flag| environment.fill(flag, &folder)).collect();
    let run = async |program: &Path, arguments: &[&str]| {
        let mut command = environment.control_plane.command(program);
        command
            .env("KUBECONFIG", folder.join("config"))
            .current_dir(&folder)
            .stdin(fs::File::open(&environment.lines)?);
        for (name, value) in &row.variables {
            command.env(name, environment.fill(value, &folder));
        }
        outcome(command.args(arguments).args(&flags)).await
    };
    let kubectl = run(&environment.kubectl, &["auth", "whoami", "--output=json", "--request-timeout=20s"]).await?;
    let service = format!("--service-namespace={namespace}");
    let mut arguments = vec!["whoami", "--service-name=none", "--request-timeout=20s", &service];
    arguments.extend(environment.certificates.iter().map(String::as_str));
    let plugin = run(&environment.plugin, &arguments).await?;
    Ok(Run { row, namespace, kubectl, plugin })
}

/// Who kubectl is, if it works.
fn identity_of_kubectl(kubectl: &Outcome) -> Option<Value> {
    let review: Value = serde_json::from_str(&kubectl.stdout).ok()?;
    let user = &review["status"]["userInfo"];
    (kubectl.code == Some(0) && user.is_object()).then(|| comparable(user))
}

/// Who listed endpoints in each namespace, as the API server saw it. Anonymous requests, refused logins and
/// refused impersonations count as none.
fn identities(log: &str) -> BTreeMap<String, Value> {
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let seen = events.filter_map(|event| {
        let namespace = event["objectRef"]["namespace"].as_str()?.to_owned();
        let user = if event["impersonatedUser"].is_object() { &event["impersonatedUser"] } else { &event["user"] };
        let status = &event["responseStatus"];
        let is_other = status["message"].as_str().is_some_and(|message| message.contains(" impersonate"));
        let is_known = status["code"] != 401 && user["username"] != "system:anonymous" && !is_other;
        (is_known && user["username"].is_string()).then(|| (namespace, comparable(user)))
    });
    seen.collect()
}

fn comparable(user: &Value) -> Value {
    let mut groups: Vec<&str> = user["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    groups.sort_unstable();
    let mut extra = user["extra"].clone();
    if let Some(extra) = extra.as_object_mut() {
        // Only audit events have this one, which names the certificate.
        extra.remove("authentication.kubernetes.io/credential-id");
    }
    let extra = if extra.as_object().is_none_or(serde_json::Map::is_empty) { Value::Null } else { extra };
    json!({"username": user["username"], "uid": user["uid"], "groups": groups, "extra": extra})
}

/// What is wrong with a run, if anything.
fn mistake(run: &Run, seen: Option<&Value>) -> Option<String> {
    let Run { row, kubectl, plugin, .. } = run;
    let identity = identity_of_kubectl(kubectl);
    let name = identity.as_ref().and_then(|identity| identity["username"].as_str());
    let wrong = match &row.expected {
        Expected::User(expected) if name != Some(expected) => Some("kubectl is somebody else".to_owned()),
        Expected::Refused if name.is_some() => Some("kubectl works".to_owned()),
        Expected::Unsupported(user, message) => match (name, seen) {
            (name, _) if name != Some(user) => Some("kubectl is somebody else".to_owned()),
            (_, None) if plugin.stderr.contains(message) => None,
            _ => Some(format!("the plugin does not say {message:?}")),
        },
        _ if seen != identity.as_ref() => Some("they differ".to_owned()),
        _ => None,
    };
    let is_shown = row.shown.is_empty() || [kubectl, plugin].iter().all(|run| run.stderr.contains(row.shown));
    let has_secret = plugin.stderr.contains(SECRET) || plugin.stdout.contains(SECRET);
    let wrong = wrong.or_else(|| (!is_shown).then(|| format!("{:?} is not shown", row.shown)));
    let wrong = wrong.or_else(|| has_secret.then(|| "a secret is shown".to_owned()));
    wrong.map(|wrong| format!("{}: {wrong}\n  kubectl: {kubectl:?}\n  plugin: {seen:?} {plugin:?}", row.name))
}

#[tokio::test]
async fn kubectl_and_the_plugin_are_the_same_user_with_every_kubeconfig() -> Result<()> {
    let environment = Environment::start().await?;
    let rows = rows();
    ensure!(rows.len() >= 60, "there are only {} rows", rows.len());
    // No program may start while another one is written, since the new process could hold it open.
    for (number, row) in rows.iter().enumerate() {
        write_files(&environment, number, row)?;
    }
    let runs = rows.into_iter().enumerate().map(|(number, row)| run_row(&environment, number, row));
    let runs: Vec<Result<Run>> = stream::iter(runs).buffer_unordered(AT_ONCE).collect().await;
    let runs = runs.into_iter().collect::<Result<Vec<_>>>()?;
    // The log is written after the answer.
    let mistakes = async || {
        let seen = identities(&fs::read_to_string(&environment.audit_log)?);
        let mistakes: Vec<_> = runs.iter().filter_map(|run| mistake(run, seen.get(&run.namespace))).collect();
        ensure!(mistakes.is_empty(), "{} of {} rows:\n{}", mistakes.len(), runs.len(), mistakes.join("\n"));
        Ok(())
    };
    wait::until("equal users", PATIENCE / 6, mistakes).await
}
