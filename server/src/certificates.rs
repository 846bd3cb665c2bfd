//! Which certificates the server uses and accepts, by its settings.

use std::sync::Arc;

use anyhow::ensure;
use kube::Client;

use crate::{
    args::{Args, CertificateSource},
    pki::{NotBefore, managed::ManagedCertificates, signer::Signer},
    tls::{ClientCa, ClientRules, PemSource},
};

/// The source of the server's certificate, what it accepts of clients, and the signer of their certificates if the
/// settings ask for one.
///
/// # Errors
///
/// Names the settings that exclude each other.
pub(crate) fn from_settings(
    args: &Args,
    client: &Client,
) -> Result<(PemSource, ClientRules, Option<Signer>), anyhow::Error> {
    use CertificateSource::{Files, Managed};
    let not_before = Arc::new(NotBefore::new(args.clients.clients_not_before_file.clone()));
    let client_ca = args.clients.client_ca.unwrap_or(args.certificates);
    if client_ca == Files {
        ensure!(
            args.certificates == Files,
            "CLIENT_CA=files needs CERTIFICATES=files: otherwise there is no such file"
        );
        ensure!(
            !args.signer.sign_clients,
            "SIGN_CLIENTS needs CLIENT_CA=managed: otherwise there is no CA to sign with"
        );
        let ca = ClientCa::Foreign(args.clients.reserved_names.clone().into());
        return Ok((PemSource::Files(args.files.clone()), ClientRules { ca, not_before }, None));
    }
    let managed = args.managed.clone();
    let managed = Arc::new(ManagedCertificates::new(client, managed, &args.pod, not_before.clone())?);
    let signer = args.signer.sign_clients.then(|| Signer::new(client.clone(), managed.clone(), args.signer.clone()));
    let source = match args.certificates {
        Files => PemSource::ManagedClients(args.files.clone(), managed),
        Managed => PemSource::Managed(managed),
    };
    Ok((source, ClientRules { ca: ClientCa::Managed, not_before }, signer))
}
