//! The table of the checks, and the loop that makes them.

use std::time::Duration;

use futures::{FutureExt, future::LocalBoxFuture};
use tokio::time::timeout;

use super::{
    access, admission,
    facts::Facts,
    finding::{Finding, Verdict},
    installation,
    report::{self, Checked},
    server, targets,
};
use crate::{args::ConnectionArgs, output, time::describe_limit};

/// How much longer than a request a check may last: the requests in it have the same limit, and say more when it ends.
const GRACE: Duration = Duration::from_secs(3);

/// A check: a step between the user and the targets.
pub(super) struct Check {
    section: &'static str,
    /// The name for programs. It never changes.
    name: &'static str,
    run: Run,
}

type Run = for<'a, 'b> fn(&'a mut Facts<'b>) -> LocalBoxFuture<'a, Verdict>;

const CONFIGURATION: &str = "Configuration";
const API_SERVER: &str = "API server";
const INSTALLATION: &str = "Installation";
const CONNECTION: &str = "Connection";
const RIGHTS: &str = "Rights";
const TARGETS: &str = "Targets";
const ADMISSION: &str = "Admission";

const fn check(section: &'static str, name: &'static str, run: Run) -> Check {
    Check { section, name, run }
}

/// The checks, in their order. Each uses what those before it have found.
pub(super) const CHECKS: [Check; 25] = [
    check(CONFIGURATION, "kubeconfig", |facts| access::kubeconfig(facts).boxed_local()),
    check(CONFIGURATION, "configuration", |facts| access::configuration(facts).boxed_local()),
    check(CONFIGURATION, "certificate", |facts| access::certificate(facts).boxed_local()),
    check(API_SERVER, "api-server", |facts| access::api_server(facts).boxed_local()),
    check(API_SERVER, "api-user", |facts| access::api_user(facts).boxed_local()),
    check(INSTALLATION, "crd", |facts| installation::crd(facts).boxed_local()),
    check(INSTALLATION, "service", |facts| installation::service(facts).boxed_local()),
    check(INSTALLATION, "pods", |facts| installation::pods(facts).boxed_local()),
    check(INSTALLATION, "leader", |facts| installation::leader(facts).boxed_local()),
    check(INSTALLATION, "fence", |facts| installation::fence(facts).boxed_local()),
    check(CONNECTION, report::CONNECTION, |facts| server::connection(facts).boxed_local()),
    check(CONNECTION, "server", |facts| server::info(facts).boxed_local()),
    check(CONNECTION, "version", |facts| server::version(facts).boxed_local()),
    check(CONNECTION, "scope", |facts| server::scope(facts).boxed_local()),
    check(RIGHTS, "list", |facts| server::list(facts).boxed_local()),
    check(RIGHTS, "get", |facts| server::get(facts).boxed_local()),
    check(RIGHTS, "set", |facts| server::set(facts).boxed_local()),
    check(TARGETS, "targets", |facts| targets::targets(facts).boxed_local()),
    check(TARGETS, "found", |facts| targets::found(facts).boxed_local()),
    check(TARGETS, "ready", |facts| targets::ready(facts).boxed_local()),
    check(TARGETS, "contested", |facts| targets::contested(facts).boxed_local()),
    check(ADMISSION, "admission-webhooks", |facts| admission::webhooks(facts).boxed_local()),
    check(ADMISSION, "admission-endpoint", |facts| admission::endpoint(facts).boxed_local()),
    check(ADMISSION, "admission-dry-run", |facts| admission::dry_run(facts).boxed_local()),
    check(ADMISSION, "admission-targets", |facts| admission::targets(facts).boxed_local()),
];

/// Makes all checks, one after another, and shows each.
pub(super) async fn examine(
    connection: &ConnectionArgs,
    mut show: impl FnMut(&Checked) -> Result<(), output::Error>,
) -> Result<Vec<Checked>, output::Error> {
    let mut facts = Facts::new(connection);
    let mut all = Vec::with_capacity(CHECKS.len());
    let limit = connection.request_timeout;
    for Check { section, name, run } in CHECKS {
        let finding = match timeout(limit.saturating_add(GRACE), run(&mut facts)).await {
            Ok(verdict) => verdict.unwrap_or_else(|finding| finding),
            Err(_) => Finding::failed(
                format!("there was no end within {}", describe_limit(limit)),
                "give it more time with --request-timeout",
            ),
        };
        let checked = Checked { section, name, finding };
        show(&checked)?;
        all.push(checked);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_check_has_a_name_of_its_own_and_a_section_without_gaps() {
        let names: BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
        let mut sections: Vec<_> = CHECKS.iter().map(|check| check.section).collect();
        sections.dedup();
        assert_eq!(sections, [CONFIGURATION, API_SERVER, INSTALLATION, CONNECTION, RIGHTS, TARGETS, ADMISSION]);
    }

    #[test]
    fn the_page_lists_each_check() {
        let page = include_str!("../../../../docs/doctor.md");
        let rows: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next()).collect();
        let listed: Vec<_> = rows.iter().flat_map(|row| row.split(", ")).map(|name| name.replace('`', "")).collect();
        assert_eq!(listed, CHECKS.map(|check| check.name));
    }
}
