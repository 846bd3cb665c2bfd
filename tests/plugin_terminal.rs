//! The plugin on a terminal of 80 columns, and in a pipe.

use anyhow::{Result, ensure};

use support::{Namespace, outcome};

/// The columns of the terminal.
const COLUMNS: u16 = 80;

const ESCAPE: char = '\u{1b}';

/// Runs the plugin on the terminal, and returns its lines.
async fn on_terminal(shop: &Namespace<'_>, line: &str) -> Result<Vec<String>> {
    let line = format!("{line} --namespace={}", shop.name);
    let shown = outcome(&mut shop.cluster.on_terminal(COLUMNS, &line)).await?;
    Ok(shown.stdout.replace('\r', "").lines().map(str::to_owned).collect())
}

/// A line as it looks: without colours.
fn without_colors(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    // A colour ends with `m`.
    parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[tokio::test]
async fn tables_are_cut_and_coloured_on_a_terminal_and_whole_in_a_pipe() -> Result<()> {
    let shop = Namespace::shared("terminal").await?;
    let long = format!("web-{}", "x".repeat(56));
    for name in [&*long, "api"] {
        shop.deployment(name, 1).await?;
    }
    let pipe = async |arguments: &[&str]| {
        let mut plugin = shop.cluster.plugin();
        outcome(plugin.env_remove("NO_COLOR").args(arguments).args(["--namespace", &shop.name])).await
    };
    pipe(&["set", "--replicas=2", &long, "api", "--wait", "--reason=because"]).await?;
    for name in [&*long, "api"] {
        shop.wait_for_replica_count(&format!("deployment.{name}"), "ready", |count| count["status"]["ready"] == 2)
            .await?;
    }

    let shown = on_terminal(&shop, "kubectl replicas list").await?;
    assert_eq!(shown.len(), 3, "{shown:?}");
    for line in &shown {
        let text = without_colors(line);
        ensure!(text.chars().count() <= COLUMNS.into(), "{text:?} is too long");
        ensure!(!text.contains(ESCAPE) && line.contains(ESCAPE), "{line:?}");
    }
    ensure!(shown[2].contains("…xxx") && shown[1].contains("deployment.apps/api"), "{shown:?}");
    ensure!(shown[0].starts_with("\u{1b}[1mTARGET"), "{shown:?}");
    for line in
        ["NO_COLOR=1 kubectl replicas list", "kubectl replicas list --color=never", "TERM=dumb kubectl replicas list"]
    {
        let plain = on_terminal(&shop, line).await?.join("\n");
        ensure!(plain.contains("…xxx") && !plain.contains(ESCAPE), "{line}: {plain:?}");
    }

    let piped = pipe(&["list"]).await?;
    ensure!(piped.stdout.contains(&long) && !piped.stdout.contains('…'), "{piped:?}");
    ensure!(!piped.stdout.contains(ESCAPE), "{piped:?}");
    let always = pipe(&["list", "--color=always"]).await?;
    assert_eq!(without_colors(&always.stdout), without_colors(&piped.stdout));
    ensure!(always.stdout.contains(ESCAPE), "{always:?}");
    for format in ["json", "yaml", "name"] {
        let document = pipe(&["list", "--color=always", "-o", format]).await?;
        ensure!(!document.stdout.contains(ESCAPE), "{document:?}");
    }
    Ok(())
}

#[tokio::test]
async fn errors_and_help_are_coloured_and_fit_a_terminal() -> Result<()> {
    let shop = Namespace::shared("terminal-help").await?;
    for line in ["get nosuch", "get a/b/c", "list --frobnicate"] {
        let shown = on_terminal(&shop, &format!("kubectl replicas {line}")).await?.join("\n");
        ensure!(shown.starts_with("\u{1b}[31m\u{1b}[1merror:\u{1b}[0m "), "{line}: {shown:?}");
        ensure!(shown.contains("\n\u{1b}[36m\u{1b}[1mhint:\u{1b}[0m "), "{line}: {shown:?}");
        let plain = on_terminal(&shop, &format!("kubectl replicas {line} --color=never")).await?.join("\n");
        ensure!(plain.starts_with("error: ") && plain.contains("\nhint: "), "{line}: {plain:?}");
        assert_eq!(without_colors(&shown), plain, "{line}");
    }
    for line in ["--help", "set --help", "list -h", "config export --help", "options"] {
        let shown = on_terminal(&shop, &format!("kubectl replicas {line}")).await?;
        let text: Vec<_> = shown.iter().map(|line| without_colors(line)).collect();
        // Paths and commands in examples are never broken.
        let too_long =
            text.iter().find(|line| line.chars().count() > 80 && !line.contains("kubectl") && !line.contains('/'));
        ensure!(too_long.is_none(), "{line}: {too_long:?}");
        let text = text.join("\n");
        match line {
            "options" => ensure!(text.contains("--kubeconfig") && text.contains("--as-group"), "{text}"),
            _ => {
                ensure!(text.contains("\"kubectl replicas options\"") && !text.contains("--kubeconfig"), "{text}");
                let at = |part: &str| text.find(part).unwrap_or(usize::MAX);
                ensure!(at("Examples:") < at("Usage:") && at("Usage:") < at("Options:"), "{line}: {text}");
            }
        }
    }
    Ok(())
}
