//! `kubectl replicas whoami`.

use clap::Args;
use contract::replicas::v1::GetServerInfoRequest;
use serde::Serialize;

use crate::{
    args::ConnectionArgs,
    connect::Session,
    error::Error,
    output::{self, DocumentFormat},
};

/// Show whom the server takes you for
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

/// Asks the server.
pub(super) async fn run(args: WhoamiArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let session = Session::open(connection).await?;
    let info = session.answer(session.client.clone().get_server_info(GetServerInfoRequest {})).await?;
    let caller = Caller { user: info.user, groups: info.groups };
    output::data(&match args.output {
        Some(format) => output::serialize(&caller, format)?,
        None => lines(&caller),
    })
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
