//! Bulk commands of the plugin: targets that flags and files choose, the plan, and the question.

use std::{fs, process::Stdio};

use anyhow::{Context, Result, ensure};
use cluster::wait;
use tokio::io::AsyncWriteExt;

use support::{Namespace, Outcome, PATIENCE, outcome};

async fn plugin(shop: &Namespace<'_>, line: &str) -> Result<Outcome> {
    outcome(shop.cluster.plugin().args(line.split(' ')).args(["--namespace", &shop.name])).await
}

async fn done(shop: &Namespace<'_>, line: &str) -> Result<Outcome> {
    let outcome = plugin(shop, line).await?;
    ensure!(outcome.code == Some(0), "{line}: {outcome:?}");
    Ok(outcome)
}

/// The names and the counts of the ReplicaCounts, in one line.
async fn held(shop: &Namespace<'_>) -> Result<String> {
    let path = "--output=jsonpath={range .items[*]}{.metadata.name}={.spec.replicas} {end}";
    Ok(shop.kubectl(&["get", "replicacounts", path]).await?.trim().to_owned())
}

/// Waits until the server knows this number of targets in the namespace.
async fn wait_for_targets(shop: &Namespace<'_>, count: usize) -> Result<()> {
    wait::until("the targets to be known", PATIENCE, async || {
        let listed = done(shop, "list --all-targets -o name").await?.stdout;
        ensure!(listed.lines().count() == count, "{listed}");
        Ok(())
    })
    .await
}

/// Runs the plugin on a terminal, where somebody gives this answer.
async fn on_terminal(shop: &Namespace<'_>, line: &str, answer: &str) -> Result<Outcome> {
    let line = format!("kubectl replicas {line} --color=never --namespace={}", shop.name);
    let mut terminal = shop.cluster.on_terminal(100, &line);
    terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = terminal.spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(answer.as_bytes()).await?;
    stdin.flush().await?;
    let output = child.wait_with_output().await?;
    drop(stdin);
    let stdout = String::from_utf8(output.stdout)?.replace('\r', "");
    Ok(Outcome { code: output.status.code(), stdout, stderr: String::from_utf8(output.stderr)? })
}

#[tokio::test]
async fn flags_choose_targets_which_need_yes_without_a_terminal() -> Result<()> {
    let shop = Namespace::shared("bulk").await?;
    for name in ["a", "b"] {
        shop.deployment(name, 1).await?;
    }
    shop.stateful_set("db", 1).await?;
    wait_for_targets(&shop, 3).await?;
    for (line, part) in [
        ("set --all --replicas 2", "error: 3 targets would be set, and there is no terminal to ask\nhint: "),
        ("set --all --current", "3 targets would be set"),
        ("set -l app=a --replicas 0", "1 target would be set"),
        ("set --all", "no count is given for the targets that the flags choose"),
        ("set a --all --replicas 2", "--all cannot be used with the names of targets"),
        ("set -f x.yaml --all", "cannot be used with"),
        ("unset -f x.yaml a", "cannot be used with"),
        ("set -f x.yaml -l app=a", "--filename cannot be used with --selector"),
        ("set --selector= --replicas 0 --yes", "the value of --selector is blank"),
        ("set -A --selector= --replicas 0 --yes", "the value of --selector is blank"),
        ("unset --selector= --restore --yes", "the value of --selector is blank"),
        ("adopt --selector= --yes", "the value of --selector is blank"),
        ("set --replicas 0 --yes", "no targets are named or chosen"),
        ("unset --all=false --yes", "no targets are named or chosen"),
        ("unset a --force=maybe", "invalid value 'maybe' for '--force': it must be true or false"),
    ] {
        let refused = plugin(&shop, line).await?;
        ensure!(refused.code == Some(2) && refused.stderr.contains(part), "{line}: {refused:?}");
    }
    assert_eq!(held(&shop).await?, "", "nothing that was refused is set");

    assert_eq!(done(&shop, "list a --selector= --watch=false -o name").await?.stdout, "deployment.apps/a\n");

    let none = done(&shop, "set -l app=nosuch --replicas 2 --yes").await?;
    ensure!(none.stdout.is_empty() && none.stderr.contains("No targets found"), "{none:?}");
    let dry = done(&shop, "set --all --replicas 2 --dry-run").await?;
    ensure!(dry.stdout.matches("(server dry run)").count() == 3, "{dry:?}");
    done(&shop, "set sts --all=true --replicas 3 --yes=1 --wait=false").await?;
    assert_eq!(held(&shop).await?, "statefulset.db=3");
    let one = done(&shop, "set -l app=a --replicas 4").await?;
    assert_eq!(one.stdout, "deployment.apps/a set to 4 (was not managed)\n", "one target is no question");
    let all = done(&shop, "set --all --replicas +1 --yes").await?;
    ensure!(all.stderr == "3 targets set\n", "{all:?}");
    assert_eq!(held(&shop).await?, "deployment.a=5 deployment.b=2 statefulset.db=4");

    // Targets that are named need no answer in a script.
    done(&shop, "set --replicas 0 a b").await?;
    let unset = plugin(&shop, "unset deploy --all").await?;
    ensure!(unset.code == Some(2) && unset.stderr.contains("2 targets would be unset"), "{unset:?}");
    done(&shop, "unset deploy --all --restore --yes").await?;
    assert_eq!(held(&shop).await?, "statefulset.db=4");
    for name in ["deployment/a", "deployment/b"] {
        assert_eq!(shop.replicas(name).await?, 1, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn targets_of_several_namespaces_are_told_apart() -> Result<()> {
    let (shop, other) = (Namespace::shared("bulk-here").await?, Namespace::shared("bulk-there").await?);
    for space in [&shop, &other] {
        space.deployment("everywhere", 1).await?;
        wait_for_targets(space, 1).await?;
    }
    let line = "set -A -l app=everywhere --replicas 2 --yes --wait --timeout 60s";
    let set = done(&shop, line).await?;
    for part in ["set to 2 (was not managed)", "is ready (2/2)"] {
        ensure!(set.stdout.contains(&format!("deployment.apps/everywhere {part}")), "{set:?}");
        ensure!(set.stdout.contains(&format!("deployment.apps/everywhere in {} {part}", other.name)), "{set:?}");
    }
    done(&shop, "unset -A -l app=everywhere --yes").await?;
    assert_eq!((held(&shop).await?, held(&other).await?), (String::new(), String::new()));
    Ok(())
}

#[tokio::test]
async fn a_terminal_shows_the_plan_and_asks() -> Result<()> {
    let shop = Namespace::shared("asked").await?;
    for name in ["a", "b"] {
        shop.deployment(name, 1).await?;
    }
    wait_for_targets(&shop, 2).await?;
    for (line, question, answer) in [
        ("set --replicas 2 a b", "Set 2 targets? [y/N]", "n\n"),
        ("set --all --replicas 2", "Set 2 targets? [y/N]", "\n"),
        ("set a 0", "Set deployment.apps/a? [y/N]", "no\n"),
    ] {
        let asked = on_terminal(&shop, line, answer).await?;
        ensure!(asked.code == Some(1) && asked.stdout.contains(question), "{line}: {asked:?}");
        let new = if line.contains('0') { "1     0" } else { "1     2" };
        ensure!(asked.stdout.contains("NOW   NEW   NOTE\n") && asked.stdout.contains(new), "{line}: {asked:?}");
        ensure!(asked.stdout.contains("error: nothing was set"), "{line}: {asked:?}");
    }
    assert_eq!(held(&shop).await?, "");
    for (line, answer, shown) in
        [("set a 3", "", false), ("set --replicas 2 a b", "y\n", true), ("set --replicas 0 a b --yes", "", false)]
    {
        let set = on_terminal(&shop, line, answer).await?;
        ensure!(set.code == Some(0) && set.stdout.contains("[y/N]") == shown, "{line}: {set:?}");
    }
    assert_eq!(held(&shop).await?, "deployment.a=0 deployment.b=0");
    let unset = on_terminal(&shop, "unset --all --restore", "yes\n").await?;
    ensure!(unset.code == Some(0) && unset.stdout.contains("Unset 2 targets? [y/N]"), "{unset:?}");
    assert_eq!(held(&shop).await?, "");
    Ok(())
}

#[tokio::test]
async fn an_exported_file_is_set_again() -> Result<()> {
    let shop = Namespace::shared("bulk-file").await?;
    shop.deployment("web", 2).await?;
    shop.stateful_set("db", 1).await?;
    done(&shop, "set web=3 sts/db=2 --reason stored").await?;
    done(&shop, "set web 5 --for 2h --reason sale").await?;
    let file = shop.cluster.folder().join("bulk-file.yaml");
    let path = file.display();
    for format in ["yaml", "json"] {
        let exported = done(&shop, &format!("export -o {format}")).await?.stdout;
        fs::write(&file, &exported)?;
        let unset = plugin(&shop, &format!("unset -f {path}")).await?;
        ensure!(unset.code == Some(2), "{unset:?}");
        done(&shop, &format!("unset -f {path} --yes")).await?;
        assert_eq!(held(&shop).await?, "");
        let set = done(&shop, &format!("set -f {path} --yes")).await?;
        ensure!(
            set.stdout.contains("deployment.apps/web set to 5 until ") && set.stderr == "2 targets set\n",
            "{set:?}"
        );
        assert_eq!(done(&shop, &format!("export -o {format}")).await?.stdout, exported);
    }
    let again = done(&shop, &format!("set -f {path} --yes")).await?;
    ensure!(again.stdout.matches(" unchanged\n").count() == 2 && again.stderr == "2 targets unchanged\n", "{again:?}");

    // All of the file is checked before the first write.
    let exported = fs::read_to_string(&file)?;
    for (name, text, part) in [
        (
            "a typing error",
            exported.replace("\"replicas\": 2", "\"replica\": 2"),
            "holds no ReplicaCounts that can be read",
        ),
        (
            "too many replicas",
            exported.replace("\"replicas\": 2", "\"replicas\": 99999"),
            "the server accepts at most 10000",
        ),
        (
            "another namespace",
            exported.replace(&format!("\"{}\"", shop.name), "\"elsewhere\""),
            "of the namespace elsewhere",
        ),
    ] {
        fs::write(&file, text.replace("\"replicas\": 3", "\"replicas\": 4"))?;
        let refused = plugin(&shop, &format!("set -f {path} --yes")).await?;
        ensure!(refused.code != Some(0) && refused.stderr.contains(part), "{name}: {refused:?}");
        assert_eq!(held(&shop).await?, "deployment.web=3 statefulset.db=2", "{name}");
    }
    let mut set = shop.cluster.plugin();
    set.args(["set", "-f", "-", "--yes", "--namespace", &shop.name]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut set = set.stderr(Stdio::piped()).spawn()?;
    let changed = exported.replace("\"replicas\": 2", "\"replicas\": 7");
    set.stdin.take().context("no standard input")?.write_all(changed.as_bytes()).await?;
    let set = set.wait_with_output().await?;
    ensure!(set.status.success(), "{set:?}");
    assert_eq!(held(&shop).await?, "deployment.web=3 statefulset.db=7");
    Ok(())
}
