//! `kubectl replicas version`.

use clap::Args;
use contract::replicas::v1::GetServerInfoRequest;
use serde::Serialize;

use super::connect::connect;
use crate::{
    args::ConnectionArgs,
    error::Error,
    output::{self, DocumentFormat},
};

/// The version of this program, which is released together with the server.
const CLIENT: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// Print the version of this program and of the server
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// Print only the version of this program, without a connection
    #[arg(long)]
    pub(crate) client: bool,
    /// Print a document for programs
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<DocumentFormat>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    client_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_version: Option<String>,
}

/// Prints the client's version.
pub(crate) fn run_client(args: &VersionArgs) -> Result<(), Error> {
    show(args, None)
}

/// Prints both versions. Without a server it still prints the client's version.
pub(crate) async fn run(args: &VersionArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    match server_version(connection).await {
        Ok(version) => show(args, Some(version)),
        Err(error) => {
            show(args, None)?;
            Err(error)
        }
    }
}

async fn server_version(connection: &ConnectionArgs) -> Result<String, Error> {
    let session = connect(connection).await?;
    let info = session.answer(session.client.clone().get_server_info(GetServerInfoRequest {})).await?;
    Ok(format!("v{}", info.version.trim_start_matches('v')))
}

fn show(args: &VersionArgs, server_version: Option<String>) -> Result<(), Error> {
    let versions = Versions { client_version: CLIENT, server_version };
    Ok(match args.output {
        Some(format) => output::print_document(&output::serialize(&versions, format)?),
        None => output::print(&lines(&versions)),
    }?)
}

fn lines(versions: &Versions) -> String {
    let server = versions.server_version.as_ref();
    let server = server.map(|version| format!("Server Version: {}\n", output::printable(version)));
    format!("Client Version: {}\n{}", versions.client_version, server.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_shown_if_there_is_one() {
        let versions =
            |server: Option<&str>| Versions { client_version: "v1", server_version: server.map(str::to_owned) };
        assert_eq!(lines(&versions(None)), "Client Version: v1\n");
        assert_eq!(lines(&versions(Some("v2"))), "Client Version: v1\nServer Version: v2\n");
    }
}
