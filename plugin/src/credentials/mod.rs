//! Client certificates: how the plugin gets, imports, stores and renews them.

mod ca_trust;
mod certificate_request;
mod certificate_subject;
mod credential_store;
mod error;
mod import;
mod login;
mod renewal;

pub(crate) use self::{
    certificate_request::LoginOptions,
    certificate_subject::CertificateSubject,
    error::Error,
    import::{ImportSource, Imported, import},
    login::log_in,
    renewal::{Renewal, renew_if_due},
};
