//! `kubectl replicas whoami`.

use clap::Args;
use contract::replicas::v1::GetServerInfoRequest;
use serde::Serialize;

use super::connect::connect;
use crate::{
    args::ConnectionArgs,
    error::Error,
    output::{self, DocumentFormat},
};

/// Show the user and the groups that the server sees
#[derive(Debug, Args)]
pub(crate) struct WhoamiArgs {
    /// Print a document for programs
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<DocumentFormat>,
}

#[derive(Serialize)]
struct Caller {
    user: String,
    groups: Vec<String>,
}

/// Asks the server for the caller.
pub(crate) async fn run(args: WhoamiArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let session = connect(connection).await?;
    let info = session.answer(session.client.clone().get_server_info(GetServerInfoRequest {})).await?;
    let caller = Caller { user: info.user, groups: info.groups };
    Ok(match args.output {
        Some(format) => output::print_document(&output::serialize(&caller, format)?),
        None => output::print(&lines(&caller)),
    }?)
}

fn lines(caller: &Caller) -> String {
    let groups: Vec<_> = caller.groups.iter().map(|group| output::printable(group)).collect();
    format!("User:    {}\nGroups:  {}\n", output::printable(&caller.user), groups.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_shown_with_all_groups() {
        let caller = Caller { user: "alice".to_owned(), groups: vec!["sre".to_owned(), "all".to_owned()] };
        assert_eq!(lines(&caller), "User:    alice\nGroups:  sre, all\n");
        let caller = Caller { user: "al\u{1b}[2Jice\nGroups:  root".to_owned(), groups: vec!["a\u{202e}b".to_owned()] };
        assert_eq!(lines(&caller), "User:    al [2Jice Groups:  root\nGroups:  a b\n");
    }
}
