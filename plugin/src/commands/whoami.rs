//! `kubectl replicas whoami`.

use clap::Args;
use contract::replicas::v1::GetServerInfoRequest;
use jiff::Timestamp;
use serde::Serialize;

use super::connect::connect_with_certificate;
use crate::{
    args::ConnectionArgs,
    certificate::CertificateSummary,
    error::Error,
    kubernetes::ApiUser,
    output::{self, DocumentFormat},
    time::local,
};

/// Show the user and the groups that the server sees, and the client certificate that names them
///
/// With --as, it also shows who acts as that user: the user of the kubeconfig.
#[derive(Debug, Args)]
pub(crate) struct WhoamiArgs {
    /// Print a document for programs
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<DocumentFormat>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Caller {
    user: String,
    groups: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<Certificate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_by: Option<ApiUser>,
}

/// The client certificate that names the user.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Certificate {
    issuer: String,
    not_after: Timestamp,
}

/// Asks the server who the caller is.
pub(crate) async fn run(args: WhoamiArgs, connection: &ConnectionArgs) -> Result<(), Error> {
    let (session, certificate) = connect_with_certificate(connection).await?;
    let info = session.answer(session.client.clone().get_server_info(GetServerInfoRequest {})).await?;
    let certificate = certificate.map(|CertificateSummary { issuer, not_after, .. }| Certificate { issuer, not_after });
    let impersonated_by = session.impersonator().await?;
    let caller = Caller { user: info.user, groups: info.groups, certificate, impersonated_by };
    Ok(match args.output {
        Some(format) => output::print_document(&output::serialize(&caller, format)?),
        None => output::print(&lines(&caller)),
    }?)
}

fn lines(caller: &Caller) -> String {
    let enumerate = |groups: &[String]| groups.iter().map(|it| output::printable(it)).collect::<Vec<_>>().join(", ");
    let certificate = caller.certificate.as_ref().map(|Certificate { issuer, not_after }| {
        format!("Issuer:  {}\nEnds:    {}\n", output::printable(issuer), local(*not_after))
    });
    let impersonated_by = caller.impersonated_by.as_ref().map(|ApiUser { user, groups }| {
        format!("Impersonated by:\n  User:    {}\n  Groups:  {}\n", output::printable(user), enumerate(groups))
    });
    let caller = format!("User:    {}\nGroups:  {}\n", output::printable(&caller.user), enumerate(&caller.groups));
    caller + &certificate.unwrap_or_default() + &impersonated_by.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_is_shown_with_all_groups() {
        let caller = Caller {
            user: "alice".to_owned(),
            groups: vec!["sre".to_owned(), "all".to_owned()],
            certificate: None,
            impersonated_by: None,
        };
        assert_eq!(lines(&caller), "User:    alice\nGroups:  sre, all\n");
        let not_after: Timestamp = "2026-11-23T18:00:00Z".parse().unwrap();
        let issuer = "a\u{1b}[2J".to_owned();
        let caller = Caller { certificate: Some(Certificate { issuer, not_after }), ..caller };
        let expected = format!("User:    alice\nGroups:  sre, all\nIssuer:  a [2J\nEnds:    {}\n", local(not_after));
        assert_eq!(lines(&caller), expected);
        let caller = Caller {
            user: "al\u{1b}[2Jice\nGroups:  root".to_owned(),
            groups: vec!["a\u{202e}b".to_owned()],
            certificate: None,
            impersonated_by: Some(ApiUser { user: "te\nss".to_owned(), groups: vec!["ops".to_owned()] }),
        };
        let by = "Impersonated by:\n  User:    te ss\n  Groups:  ops\n";
        assert_eq!(lines(&caller), format!("User:    al [2Jice Groups:  root\nGroups:  a b\n{by}"));
    }
}
