//! The part of a CertificateSigningRequest that the signer reads.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString, api::certificates::v1::CertificateSigningRequest, apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::Resource;
use serde::{Deserialize, de::IgnoredAny};

use crate::resources::Repair;

/// A request.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = CertificateSigningRequest)]
pub(super) struct Request {
    pub(super) metadata: ObjectMeta,
    pub(super) spec: RequestSpec,
    #[serde(default)]
    pub(super) status: RequestStatus,
}

impl Repair for Request {}

/// What is requested, and by whom. The API server writes the requester.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RequestSpec {
    pub(super) request: ByteString,
    pub(super) signer_name: String,
    pub(super) usages: Vec<String>,
    pub(super) expiration_seconds: Option<i32>,
    pub(super) username: String,
    pub(super) uid: Option<String>,
    pub(super) groups: Vec<String>,
    pub(super) extra: BTreeMap<String, Vec<String>>,
}

/// What was decided so far.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RequestStatus {
    pub(super) certificate: Option<IgnoredAny>,
    pub(super) conditions: Vec<RequestCondition>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RequestCondition {
    #[serde(rename = "type")]
    pub(super) type_: String,
}
