//! The TLS handshake with the server, and the meaning of its failures.

use std::{io, sync::Arc, time::Duration};

use rustls::{AlertDescription, CertificateError, ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader},
    time,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{certificate_problem::is_of_ca, error_chain::find_cause, tls::ALPN};
use crate::terminal;

/// How long to wait for the server's first bytes. A server may send none before the client does.
const GREETING: Duration = Duration::from_secs(1);

/// The stream under TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why the handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the certificate of {peer} is not signed by the configured CA")]
    UnknownCa { peer: String, source: rustls::Error },
    #[error("the certificate of {peer} is not valid at this time")]
    Expired { peer: String, source: rustls::Error },
    #[error("the certificate of {peer} is not for the name {expected}")]
    OtherName { peer: String, expected: String, presented: Vec<String>, source: rustls::Error },
    #[error("the certificate of {peer} is a CA's own, not a server's")]
    OfCa { peer: String },
    #[error("{peer} does not speak TLS")]
    NotTls { peer: String, source: rustls::Error },
    #[error("{peer} does not accept the connection: {}", describe_alert(*alert))]
    Alert { peer: String, alert: AlertDescription },
    #[error("{peer} speaks TLS, but not gRPC")]
    NotGrpc { peer: String },
    #[error("the TLS handshake with {peer} failed")]
    Other { peer: String, source: io::Error },
}

impl Error {
    fn new(peer: String, error: io::Error) -> Self {
        let Some(source) = find_cause::<rustls::Error>(&error).cloned() else {
            return Self::Other { peer, source: error };
        };
        match &source {
            rustls::Error::InvalidCertificate(problem) => Self::certificate(peer, problem.clone(), error, source),
            rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)
            | rustls::Error::NoApplicationProtocol => Self::NotGrpc { peer },
            rustls::Error::AlertReceived(alert) => Self::Alert { peer, alert: *alert },
            rustls::Error::InvalidMessage(_) => Self::NotTls { peer, source },
            _ => Self::Other { peer, source: error },
        }
    }

    fn certificate(peer: String, problem: CertificateError, error: io::Error, source: rustls::Error) -> Self {
        match problem {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::UnknownCa { peer, source },
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::Expired { peer, source },
            CertificateError::NotValidForNameContext { expected, presented } => {
                Self::OtherName { peer, expected: expected.to_str().into_owned(), presented, source }
            }
            problem if is_of_ca(&problem) => Self::OfCa { peer },
            _ => Self::Other { peer, source: error },
        }
    }

    /// What the user can do.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::UnknownCa { .. } => {
                "check that the configured ca is the one that signed the server's certificate; if an administrator \
                 confirms that the server has a new CA since your login, run: kubectl replicas logout, then kubectl \
                 replicas login"
            }
            Self::OfCa { .. } => "issue the server's certificate with basicConstraints=CA:FALSE",
            Self::Expired { .. } => "renew the server's certificate, or check the clock of this machine",
            Self::OtherName { presented, .. } => {
                return format!(
                    "expect another name with --server-name; the certificate is for {}",
                    show_names(presented)
                );
            }
            Self::Alert { alert, .. } if is_about_client_certificate(*alert) => return refused_hint(*alert).to_owned(),
            Self::Alert { .. } | Self::NotTls { .. } | Self::NotGrpc { .. } | Self::Other { .. } => {
                "check that this is the server's gRPC port; it speaks TLS 1.3 only"
            }
        }
        .to_owned()
    }
}

/// The hint when the server refuses the client certificate with an alert.
pub(super) fn refused_hint(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateExpired | AlertDescription::CertificateRevoked => {
            "get a new one: kubectl replicas login; where that is not available, from an administrator"
        }
        AlertDescription::AccessDenied => "get a certificate with another name from an administrator",
        _ => {
            "get a client certificate from the CA that the server trusts: kubectl replicas logout, then kubectl \
             replicas login; where that is not available, from an administrator"
        }
    }
}

/// The meaning of a server's TLS alert.
pub(super) fn describe_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => "it requires a client certificate, and got none".to_owned(),
        AlertDescription::CertificateExpired => "the client certificate has expired".to_owned(),
        AlertDescription::CertificateRevoked => "the client certificate was revoked".to_owned(),
        AlertDescription::AccessDenied => "the user in the client certificate has a name that is reserved".to_owned(),
        AlertDescription::UnknownCA => "the client certificate is from a CA that it does not trust".to_owned(),
        AlertDescription::DecryptError => "the client certificate is not signed by the CA that it names".to_owned(),
        alert if is_about_client_certificate(alert) => format!("it rejects the client certificate ({alert:?})"),
        AlertDescription::ProtocolVersion => "it does not speak TLS 1.3".to_owned(),
        alert => format!("it answers with the alert {alert:?}"),
    }
}

fn is_about_client_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    let certificate = [
        Alert::AccessDenied,
        Alert::BadCertificate,
        Alert::CertificateExpired,
        Alert::CertificateRequired,
        Alert::CertificateRevoked,
        Alert::CertificateUnknown,
        Alert::DecryptError,
        Alert::UnknownCA,
        Alert::UnsupportedCertificate,
    ];
    certificate.contains(&alert)
}

fn show_names(presented: &[String]) -> String {
    // rustls writes DnsName("localhost") and IpAddress(127.0.0.1).
    let bare = |name: &String| name.split_once('(').map_or(name.as_str(), |(_, name)| name).replace(['"', ')'], "");
    match presented {
        [] => "no name at all".to_owned(),
        names => terminal::one_line(&names.iter().map(bare).collect::<Vec<_>>().join(", ")),
    }
}

/// An encrypted stream, with the bytes that were read ahead.
pub(super) type Encrypted<S> = BufReader<TlsStream<S>>;

/// Runs the TLS handshake. Errors call the server by the name of `peer`.
///
/// In TLS 1.3 the client's handshake ends before the server has checked the client certificate, and a refusal is the
/// first thing to read. Waiting for it costs a round trip. Otherwise the refusal would close the connection under gRPC,
/// and its reason would be lost.
pub(super) async fn shake_hands<S: Stream>(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    stream: S,
    peer: &str,
) -> Result<Encrypted<S>, Error> {
    let failed = |error| Error::new(peer.to_owned(), error);
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(failed)?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
        return Err(Error::NotGrpc { peer: peer.to_owned() });
    }
    let mut stream = BufReader::new(stream);
    match time::timeout(GREETING, stream.fill_buf()).await {
        Ok(Ok([])) => Err(failed(io::ErrorKind::UnexpectedEof.into())),
        Ok(Err(error)) => Err(failed(error)),
        Ok(Ok(_)) | Err(_) => Ok(stream),
    }
}

#[cfg(test)]
mod tests {
    use rustls::{InvalidMessage, OtherError};

    use super::*;

    fn error(error: rustls::Error) -> Error {
        Error::new("the server".to_owned(), io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn each_failure_has_its_message() {
        let name = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("a.example.com").unwrap(),
            presented: vec!["DnsName(\"localhost\")".to_owned(), "IpAddress(127.0.0.1)".to_owned()],
        };
        let table = [
            (
                CertificateError::UnknownIssuer.into(),
                "the certificate of the server is not signed by the configured CA",
            ),
            (
                CertificateError::Other(OtherError(Arc::new(io::Error::other("CaUsedAsEndEntity")))).into(),
                "the certificate of the server is a CA's own, not a server's",
            ),
            (CertificateError::Expired.into(), "the certificate of the server is not valid at this time"),
            (name.into(), "the certificate of the server is not for the name a.example.com"),
            (InvalidMessage::InvalidContentType.into(), "the server does not speak TLS"),
            (rustls::Error::NoApplicationProtocol, "the server speaks TLS, but not gRPC"),
            (
                rustls::Error::AlertReceived(AlertDescription::UnknownCA),
                "the server does not accept the connection: the client certificate is from a CA that it does not trust",
            ),
        ];
        for (cause, text) in table {
            let error = error(cause);
            assert_eq!(error.to_string(), text);
            assert!(!error.hint().is_empty());
        }
    }

    #[test]
    fn a_refused_client_certificate_has_a_hint_for_a_new_one() {
        for (alert, expected) in [
            (AlertDescription::CertificateExpired, "get a new one: kubectl replicas login"),
            (AlertDescription::UnknownCA, "kubectl replicas logout, then kubectl replicas login"),
            (AlertDescription::CertificateUnknown, "kubectl replicas logout, then kubectl replicas login"),
            (AlertDescription::AccessDenied, "with another name from an administrator"),
        ] {
            let hint = error(rustls::Error::AlertReceived(alert)).hint();
            assert!(hint.contains(expected), "{alert:?}: {hint}");
        }
    }

    #[test]
    fn the_names_of_a_certificate_are_shown_without_their_types() {
        assert_eq!(show_names(&["DnsName(\"a.b\")".to_owned(), "c".to_owned()]), "a.b, c");
        assert_eq!(show_names(&[]), "no name at all");
    }
}
