//! ListReplicaCounts: a page of the index.

use std::sync::Arc;

use contract::replicas::v1::{ListReplicaCountsRequest, ListReplicaCountsResponse};
use jiff::Timestamp;
use prost::Message;

use super::{action::Action, backend::Backend, convert, error::Error, page};
use crate::tls::Identity;

/// The most bytes of a page. Clients of gRPC accept messages of 4 MiB unless configured otherwise.
const MAX_PAGE_BYTES: usize = 3 * 1024 * 1024;

pub(super) async fn list(
    backend: &Backend,
    caller: &Arc<Identity>,
    request: ListReplicaCountsRequest,
) -> Result<ListReplicaCountsResponse, Error> {
    let mut filter = backend.validator.filter(request.namespace, &request.label_selector, request.all_targets)?;
    let size = page::size(request.page_size)?;
    let after = page::parse_token(&request.page_token)?;
    backend.authorizer.check(caller, Action::on_replica_counts("list", filter.namespace(), "")).await?;
    filter.kinds = backend.listable_kinds(caller, &filter).await?;
    backend.ready_to_read(&request.min_resource_version).await?;

    let resource_version = backend.index.version().to_string();
    let namespace = Some(filter.namespace()).filter(|namespace| !namespace.is_empty());
    let selects = |snapshot: &_| filter.selects(snapshot);
    let page = backend.index.list(filter.all_targets, namespace, after.as_ref(), size, selects);
    let (now, mut next, mut bytes) = (Timestamp::now(), page.next, 0);
    let mut replica_counts = Vec::with_capacity(page.entries.len());
    for (place, snapshot) in page.entries.iter().enumerate() {
        let replica_count = convert::replica_count(snapshot, now);
        bytes += replica_count.encoded_len();
        if bytes > MAX_PAGE_BYTES && place > 0 {
            next = Some(page.entries[place - 1].key.clone());
            break;
        }
        replica_counts.push(replica_count);
    }
    let next_page_token = next.as_ref().map(page::token).unwrap_or_default();
    Ok(ListReplicaCountsResponse { replica_counts, next_page_token, resource_version })
}
