//! What the plugin does is what was typed, and what it says is so: counts, kinds, exports, and Ctrl-C.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use cluster::{run, wait};
use futures::future::join_all;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::Command,
};

use support::{Namespace, Outcome, PATIENCE, outcome, release, shared_cluster};

async fn plugin(shop: &Namespace<'_>, line: &str) -> Result<Outcome> {
    outcome(shop.cluster.plugin().args(line.split(' ')).args(["--namespace", &shop.name])).await
}

async fn done(shop: &Namespace<'_>, line: &str) -> Result<String> {
    let outcome = plugin(shop, line).await?;
    ensure!(outcome.code == Some(0), "{line}: {outcome:?}");
    Ok(outcome.stdout)
}

/// Runs the plugin, which must refuse, and returns its standard error.
async fn refused(shop: &Namespace<'_>, line: &str, code: i32) -> Result<String> {
    let outcome = plugin(shop, line).await?;
    ensure!(outcome.code == Some(code) && outcome.stdout.is_empty(), "{line}: {outcome:?}");
    Ok(outcome.stderr)
}

/// The names of the ReplicaCounts, in one line.
async fn managed(shop: &Namespace<'_>) -> Result<String> {
    let names = shop.kubectl(&["get", "replicacounts", "--output=jsonpath={.items[*].metadata.name}"]).await?;
    Ok(names.trim().to_owned())
}

#[tokio::test]
async fn a_relative_count_starts_from_the_count_that_is_there() -> Result<()> {
    let shop = Namespace::shared("relative").await?;
    shop.deployment("web", 7).await?;
    shop.stateful_set("db", 5).await?;
    for (line, output, replicas) in [
        ("set web +3", "deployment.apps/web set to 10 (was not managed)\n", 10),
        ("set web x2", "deployment.apps/web set to 20 (was 10)\n", 20),
        ("set web=50%", "deployment.apps/web set to 10 (was 20)\n", 10),
        ("set web 25%", "deployment.apps/web set to 3 (was 10)\n", 3),
        ("set web =2", "deployment.apps/web set to 2 (was 3)\n", 2),
        ("set web 1%", "deployment.apps/web set to 1 (was 2)\n", 1),
        ("set web +0", "deployment.apps/web unchanged\n", 1),
    ] {
        assert_eq!(done(&shop, line).await?, output, "{line}");
        shop.wait_for_replicas("deployment/web", replicas).await?;
    }
    let both = done(&shop, "set --replicas +1 web sts/db").await?;
    assert_eq!(both, "deployment.apps/web set to 2 (was 1)\nstatefulset.apps/db set to 6 (was not managed)\n");
    let flag = refused(&shop, "set web -2", 2).await?;
    ensure!(flag.contains("=2 is 2 replicas"), "{flag}");
    let missing = refused(&shop, "set nosuch +1 --allow-missing", 1).await?;
    ensure!(missing.contains("nosuch"), "{missing}");

    // Each success has added one, whatever the others did meanwhile.
    shop.wait_for_replicas("deployment/web", 2).await?;
    let all = join_all((0..8).map(|_| plugin(&shop, "set web +1"))).await;
    let outcomes: Vec<_> = all.into_iter().collect::<Result<_>>()?;
    let added = outcomes.iter().filter(|outcome| outcome.code == Some(0)).count();
    for outcome in outcomes.iter().filter(|outcome| outcome.code != Some(0)) {
        ensure!(
            outcome.code == Some(1) && outcome.stderr.contains("after its count was read")
                || outcome.stderr.contains("after it was read"),
            "{outcome:?}"
        );
    }
    let count = shop.get("replicacount/deployment.web").await?["spec"]["replicas"].as_u64();
    ensure!(added > 0 && count == Some(2 + added as u64), "{added} successes: {count:?}, {outcomes:?}");
    Ok(())
}

#[tokio::test]
async fn a_kind_and_names_are_read_as_kubectl_reads_them() -> Result<()> {
    let shop = Namespace::shared("words").await?;
    for name in ["web", "deployment"] {
        shop.deployment(name, 1).await?;
    }
    for name in ["db", "other"] {
        shop.stateful_set(name, 1).await?;
    }
    for (line, code) in [
        ("set deployment 3 --allow-missing", 2),
        ("set deployment=3 --allow-missing", 2),
        ("set deployment --replicas 3 --allow-missing", 2),
        ("set web deployment --replicas 3 --allow-missing", 2),
        ("set rollout web --replicas 3 --allow-missing", 2),
        ("set rollouts.argoproj.io web --replicas 3 --allow-missing", 2),
        ("set web 3 --replicas 4 --allow-missing", 2),
        ("unset deployment", 2),
        ("get deployment", 2),
        ("list web -A", 2),
    ] {
        let error = refused(&shop, line, code).await?;
        ensure!(error.starts_with("error: ") && error.contains("\nhint: "), "{line}: {error}");
    }
    assert_eq!(managed(&shop).await?, "", "nothing that was refused is managed");

    done(&shop, "set deployment web --replicas 3 --allow-missing").await?;
    assert_eq!(managed(&shop).await?, "deployment.web");
    assert_eq!(done(&shop, "set deployment web 4").await?, "deployment.apps/web set to 4 (was 3)\n");
    done(&shop, "set sts db other --replicas 2").await?;
    done(&shop, "set deployment/deployment 1").await?;
    assert_eq!(done(&shop, "list sts -o name").await?, "statefulset.apps/db\nstatefulset.apps/other\n");
    let names = ["deployment.apps/deployment", "deployment.apps/web", "statefulset.apps/db", "statefulset.apps/other"];
    assert_eq!(done(&shop, "list deployments,sts -o name").await?, names.map(|name| format!("{name}\n")).concat());
    assert_eq!(done(&shop, "list sts other -o name").await?, "statefulset.apps/other\n");
    ensure!(done(&shop, "get deployment web").await?.starts_with("Target:          deployment.apps/web\n"), "get");
    done(&shop, "unset deployment web").await?;
    done(&shop, "unset deployment deployment").await?;
    assert_eq!(managed(&shop).await?, "statefulset.db statefulset.other");
    Ok(())
}

#[tokio::test]
async fn an_unmanaged_target_is_shown_and_an_override_has_its_end_and_reason() -> Result<()> {
    let shop = Namespace::shared("shown").await?;
    shop.deployment("web", 2).await?;
    let unmanaged = wait::until("the Deployment to be known", PATIENCE, async || done(&shop, "get web").await).await?;
    ensure!(unmanaged.contains("Desired:         - (not managed)\nCurrent:         2\n"), "{unmanaged}");
    let listed: Value = serde_json::from_str(&done(&shop, "list web -o json").await?)?;
    assert_eq!((&listed["kind"], &listed["items"][0]["observed"]), (&"ReplicaCountViewList".into(), &2.into()));
    let one: Value = serde_json::from_str(&done(&shop, "get web -o json").await?)?;
    assert_eq!(one["kind"], "ReplicaCountView");

    done(&shop, "set web 3 --reason usual").await?;
    done(&shop, "set web 10 --for 2h --reason sale").await?;
    let wide = done(&shop, "list -o wide").await?;
    ensure!(wide.contains("10 until ") && wide.contains("sale") && !wide.contains("usual"), "{wide}");
    ensure!(wide.lines().all(|line| !line.contains('…')), "it is whole in a pipe: {wide}");
    for (line, part) in [
        ("set web 10 --for 0", "'--for <DURATION>': it must be at least 60s"),
        ("set web 10 --for -1h", "'--for <DURATION>': it must not be negative"),
    ] {
        let error = refused(&shop, line, 2).await?;
        ensure!(error.contains(part), "{error}");
    }
    let past = refused(&shop, "set web 3 --until 2020-01-01T00:00:00Z", 1).await?;
    ensure!(past.contains("--until) must be in the future"), "{past}");
    let selector = refused(&shop, "list -l app=in=", 1).await?;
    ensure!(selector.contains("error: --selector "), "{selector}");
    done(&shop, "list --request-timeout 30").await.map(drop)
}

#[tokio::test]
async fn an_export_can_be_applied_and_has_no_difference() -> Result<()> {
    let shop = Namespace::shared("export").await?;
    shop.deployment("web", 2).await?;
    shop.stateful_set("db", 1).await?;
    done(&shop, "set web=3 sts/db=2 --reason exported").await?;
    done(&shop, "set web 5 --for 2h --then-unset").await?;
    for line in ["export", "export -o json", "export deploy,sts", "export web sts/db"] {
        let exported = done(&shop, line).await?;
        ensure!(!exported.contains("status") && exported.contains("reason"), "{exported}");
        // `kubectl diff` fails if there is a difference.
        shop.kubectl_with(&["diff", "--filename=-"], &exported).await.context(exported.clone())?;
    }
    let exported = done(&shop, "export sts").await?;
    done(&shop, "unset sts db").await?;
    shop.kubectl_with(&["apply", "--filename=-"], &exported).await?;
    let spec = shop.get("replicacount/statefulset.db").await?["spec"].take();
    assert_eq!((&spec["replicas"], &spec["reason"]), (&2.into(), &"exported".into()));
    // What `get` prints is no object of the API.
    let view = done(&shop, "get web -o yaml").await?;
    ensure!(shop.kubectl_with(&["apply", "--filename=-"], &view).await.is_err(), "{view}");
    let unmanaged = refused(&shop, "export nosuch", 1).await?;
    ensure!(unmanaged.contains("error: "), "{unmanaged}");
    Ok(())
}

#[tokio::test]
async fn a_refusal_that_targets_share_is_printed_once() -> Result<()> {
    let shop = Namespace::shared("grouped").await?;
    shop.deployment("web", 1).await?;
    let missing: Vec<_> = (0..20).map(|index| format!("no-{index}")).collect();
    let line = format!("set web {} --replicas 2", missing.join(" "));
    let set = plugin(&shop, &line).await?;
    assert_eq!((set.code, set.stdout.as_str()), (Some(1), "deployment.apps/web set to 2 (was not managed)\n"));
    assert_eq!(set.stderr.matches("does not exist").count(), 1, "{set:?}");
    for name in &missing {
        ensure!(set.stderr.contains(&format!("deployment.apps/{name}")), "{name} is missing in {set:?}");
    }
    ensure!(set.stderr.ends_with("error: 20 of 21 targets could not be set\n"), "{set:?}");
    let long = refused(&shop, &format!("get {}", "x".repeat(300)), 2).await?;
    ensure!(long.len() < 300 && long.contains("…"), "{long}");
    let flag = refused(&shop, "list -x", 2).await?;
    ensure!(!flag.contains("as a value") && flag.contains("\nhint: "), "{flag}");
    Ok(())
}

#[tokio::test]
async fn ctrl_c_ends_a_command_with_an_account_of_what_was_done() -> Result<()> {
    let shop = Namespace::shared("interrupted").await?;
    let names: Vec<_> = (0..400).map(|index| format!("w-{index}")).collect();
    let bulk = format!("set --replicas 2 --allow-missing {}", names.join(" "));
    for (line, start, end) in [
        (bulk.as_str(), "error: interrupted: ", " of 400 targets were set\n"),
        (
            "set late 3 --allow-missing --wait",
            "error: interrupted: the counts were set, but these are not ready: ",
            "late",
        ),
    ] {
        let mut plugin = shop.cluster.plugin();
        plugin.args(line.split(' ')).args(["--namespace", &shop.name]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = plugin.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        lines.next_line().await?.context("no line")?;
        let pid = child.id().context("it has ended")?.to_string();
        run(shop.cluster.command("kill").args(["-INT", &pid])).await?;
        while lines.next_line().await?.is_some() {}
        let mut stderr = String::new();
        child.stderr.take().context("no standard error")?.read_to_string(&mut stderr).await?;
        assert_eq!(child.wait().await?.code(), Some(130), "{stderr}");
        ensure!(stderr.starts_with(start) && stderr.contains(end), "{stderr}");
        if line == bulk {
            let set: usize = stderr[start.len()..].split(' ').next().context("no number")?.parse()?;
            let stored = managed(&shop).await?.split(' ').filter(|name| name.starts_with("deployment.w-")).count();
            ensure!(set < 400 && stored == set && stderr.contains("not set: "), "{stored} are stored: {stderr}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_wait_that_takes_too_long_has_its_exit_code() -> Result<()> {
    let shop = Namespace::shared("timeouts").await?;
    let wait = plugin(&shop, "set late 3 --allow-missing --wait --timeout 0.2s").await?;
    assert_eq!((wait.code, wait.stdout.as_str()), (Some(4), "deployment.apps/late set to 3 (was not managed)\n"));
    ensure!(wait.stderr.starts_with("error: not ready after 200ms: deployment.apps/late: "), "{wait:?}");
    Ok(())
}

#[tokio::test]
async fn a_wait_says_why_pods_are_not_ready_and_who_took_over() -> Result<()> {
    let shop = Namespace::shared("pending").await?;
    for name in ["web", "api"] {
        shop.deployment(name, 1).await?;
        let nowhere = r#"{"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null},
            "template": {"spec": {"nodeSelector": {"zone": "nowhere"}}}}}"#;
        shop.kubectl(&["patch", &format!("deployment/{name}"), "--patch", nowhere]).await?;
    }
    let late = plugin(&shop, "set web 3 --wait --timeout 3s").await?;
    assert_eq!(late.code, Some(4), "{late:?}");
    ensure!(late.stderr.contains("pods: Unschedulable: 0/") && late.stderr.contains("node"), "{late:?}");

    let mut waiting = shop.cluster.plugin();
    waiting
        .args(["set", "api", "3", "--wait", "--namespace", &shop.name])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut waiting = waiting.kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(waiting.stdout.take().context("no standard output")?).lines();
    lines.next_line().await?.context("no line")?;
    done(&shop, "set api 5").await?;
    let ended = waiting.wait_with_output().await?;
    let stderr = String::from_utf8(ended.stderr)?;
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    ensure!(
        stderr.contains("deployment.apps/api was set to 5 by ") && stderr.contains("before its 3 were"),
        "{stderr}"
    );
    Ok(())
}

#[tokio::test]
async fn help_and_hints_name_the_program_as_it_was_started() -> Result<()> {
    let link = shared_cluster().await?.folder().join("kubectl-hold_replicas");
    std::os::unix::fs::symlink(release::program("kubectl-replicas")?, &link)?;
    let help = outcome(Command::new(&link).arg("--help")).await?;
    ensure!(help.code == Some(0) && help.stdout.contains("kubectl hold-replicas set web 3"), "{help:?}");
    ensure!(!help.stdout.contains("kubectl replicas"), "{help:?}");
    let wrong = outcome(Command::new(&link).args(["set", "--frobnicate"])).await?;
    ensure!(wrong.code == Some(2) && wrong.stderr.contains("`kubectl hold-replicas set --help`"), "{wrong:?}");
    Ok(())
}
