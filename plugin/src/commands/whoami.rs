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
    Ok(output::print(&match args.output {
        Some(format) => output::serialize(&caller, format)?,
        None => lines(&caller),
    })?)
}

fn lines(caller: &Caller) -> String {
    format!("User:    {}\nGroups:  {}\n", caller.user, caller.groups.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_shown_with_all_groups() {
        let caller = Caller { user: "alice".to_owned(), groups: vec!["sre".to_owned(), "all".to_owned()] };
        assert_eq!(lines(&caller), "User:    alice\nGroups:  sre, all\n");
    }
}
