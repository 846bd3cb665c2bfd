//! The user that the API server takes the caller for.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{Api, Client, api::PostParams};
use serde::Serialize;

use super::{cluster::Cluster, error::Error, request::send};

/// A user of the API server.
#[derive(Debug, Serialize)]
pub(crate) struct ApiUser {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
}

/// Asks the API server for the user of the kubeconfig's credentials, without impersonation.
pub(crate) async fn own(cluster: &Cluster, limit: Duration) -> Result<ApiUser, Error> {
    ask(cluster.own_client().await?, limit).await
}

/// Asks the API server whom it takes the caller for, with impersonation if the flags ask for it.
pub(crate) async fn caller(cluster: &Cluster, limit: Duration) -> Result<ApiUser, Error> {
    ask(cluster.client().await?, limit).await
}

async fn ask(client: Client, limit: Duration) -> Result<ApiUser, Error> {
    let reviews: Api<SelfSubjectReview> = Api::all(client);
    let review = SelfSubjectReview::default();
    let review =
        send(limit, "ask the API server for your user", reviews.create(&PostParams::default(), &review)).await?;
    let info = review.status.and_then(|status| status.user_info).unwrap_or_default();
    Ok(ApiUser { user: info.username.unwrap_or_default(), groups: info.groups.unwrap_or_default() })
}
