//! ListReplicaCounts: pages of the index.

use std::sync::Arc;

use contract::replicas::v1::{ListReplicaCountsRequest, ListReplicaCountsResponse, ReplicaCount};
use jiff::Timestamp;
use prost::Message;
use tokio::task::consume_budget;
use tonic::Response;

use super::{
    action::Action, authorizer::OF_CALL, backend::Backend, convert, error::Error, filter::Filter,
    lists::MAX_PAGE_BYTES, page,
};
use crate::{
    index::{Index, TargetSnapshot},
    resources::TargetKey,
    tls::Identity,
};

pub(super) async fn list(
    backend: &Backend,
    caller: &Arc<Identity>,
    request: ListReplicaCountsRequest,
) -> Result<Response<ListReplicaCountsResponse>, Error> {
    let listing = Listing::of(backend, caller, request).await?;
    let place = backend.lists.page(caller).await?;
    let resource_version = backend.index.version().to_string();
    let (replica_counts, next) = listing.page(&backend.index, listing.after.clone()).await;
    let next_page_token = next.as_ref().map(page::token).unwrap_or_default();
    Ok(place.answer(ListReplicaCountsResponse { replica_counts, next_page_token, resource_version }))
}

/// What to list, once it is known that the caller may.
pub(super) struct Listing {
    filter: Filter,
    size: usize,
    after: Option<TargetKey>,
}

impl Listing {
    /// Checks a request and the caller's rights, and waits until the index can answer.
    pub(super) async fn of(
        backend: &Backend,
        caller: &Arc<Identity>,
        request: ListReplicaCountsRequest,
    ) -> Result<Self, Error> {
        let mut filter = backend.validator.filter(request.namespace, &request.label_selector, request.all_targets)?;
        let size = page::size(request.page_size)?;
        let after = page::parse_token(&request.page_token)?;
        backend.authorizer.check(caller, Action::on_replica_counts("list", filter.namespace(), "")).await?;
        filter.kinds = backend.listable_kinds(OF_CALL, caller, &filter).await?;
        backend.ready_to_read(&request.min_resource_version).await?;
        Ok(Self { filter, size, after })
    }

    /// The page after a key, and the key that the next one starts after.
    pub(super) async fn page(&self, index: &Index, after: Option<TargetKey>) -> (Vec<ReplicaCount>, Option<TargetKey>) {
        let Page { entries, next } = select(index, &self.filter, after, self.size).await;
        let (now, mut bytes) = (Timestamp::now(), 0);
        let mut replica_counts = Vec::with_capacity(entries.len());
        for (place, snapshot) in entries.iter().enumerate() {
            let replica_count = convert::replica_count(snapshot, now);
            bytes += replica_count.encoded_len();
            if bytes > MAX_PAGE_BYTES && place > 0 {
                return (replica_counts, Some(entries[place - 1].key.clone()));
            }
            replica_counts.push(replica_count);
            consume_budget().await;
        }
        (replica_counts, next)
    }
}

/// The selected targets of a page.
struct Page {
    entries: Vec<TargetSnapshot>,
    /// The last key of the page, if more selected targets follow.
    next: Option<TargetKey>,
}

/// Selects the next targets after a key. The index is locked only while it is read, and other calls take turns with
/// this one.
async fn select(index: &Index, filter: &Filter, mut after: Option<TargetKey>, limit: usize) -> Page {
    let mut entries: Vec<TargetSnapshot> = Vec::new();
    loop {
        let page = index.page(filter.scope(), after.as_ref());
        for snapshot in page.entries {
            consume_budget().await;
            if !filter.selects(&snapshot) {
                continue;
            }
            if entries.len() == limit {
                let next = entries.last().map(|last| last.key.clone());
                return Page { entries, next };
            }
            entries.push(snapshot);
        }
        match page.next {
            Some(last) => after = Some(last),
            None => return Page { entries, next: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{grpc::validate::RequestValidator, index::fixtures};

    #[tokio::test]
    async fn a_page_that_ends_with_the_last_selected_entry_has_no_next() {
        struct Row {
            name: &'static str,
            selector: &'static str,
            limit: usize,
            selected: &'static [&'static str],
            has_next: bool,
        }
        // The index holds api, db and web.
        for Row { name, selector, limit, selected, has_next } in [
            Row { name: "all", selector: "", limit: 3, selected: &["api", "db", "web"], has_next: false },
            Row { name: "a part", selector: "", limit: 2, selected: &["api", "db"], has_next: true },
            Row {
                name: "the rest is not selected",
                selector: "app=api",
                limit: 1,
                selected: &["api"],
                has_next: false,
            },
            Row { name: "none", selector: "app=x", limit: 1, selected: &[], has_next: false },
        ] {
            let validator = RequestValidator { namespace: None, max_replicas: 100 };
            let mut filter = validator.filter("shop".into(), selector, true).unwrap();
            filter.kinds = fixtures::index().kinds().iter().map(|kind| kind.group_kind.clone()).collect();
            let page = select(&fixtures::index(), &filter, None, limit).await;
            let names: Vec<_> = page.entries.iter().map(|snapshot| &*snapshot.key.name).collect();
            assert_eq!((&names[..], page.next.is_some()), (selected, has_next), "{name}");
        }
    }
}
