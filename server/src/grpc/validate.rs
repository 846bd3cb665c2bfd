//! Validates requests once, where they arrive, so that the RPCs work with domain types.

use std::collections::BTreeSet;

use contract::replicas::v1;
use jiff::Timestamp;

use super::{error::Error, filter::Filter};
use crate::resources::{ReplicaCountState, TargetKey, check_namespace_name, parse_resource_version};

/// The longest reason, in bytes: the schema of ReplicaCount accepts 1,024 characters.
const MAX_REASON: usize = 1024;

/// The longest resource version, in bytes: twice the digits of the largest number.
const MAX_VERSION: usize = 40;

/// Validates requests against the server's settings.
#[derive(Clone, Debug)]
pub(super) struct RequestValidator {
    /// The only namespace that is served; `None` means all.
    pub(super) namespace: Option<String>,
    /// The largest count, in replicas.
    pub(super) max_replicas: i32,
}

/// The count that a Set asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestedCount {
    Exactly(i32),
    /// The count that the target has now.
    Current,
}

/// The resource version that a `ReplicaCount` must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpectedVersion {
    Any,
    /// The target must not be managed.
    Unmanaged,
    Exactly(u64),
}

impl ExpectedVersion {
    fn parse(version: Option<&str>) -> Result<Self, Error> {
        let Some(version) = version else { return Ok(Self::Any) };
        Ok(resource_version("expected_resource_version", version)?.map_or(Self::Unmanaged, Self::Exactly))
    }

    /// The only version that is expected, if there is one.
    pub(super) const fn exactly(self) -> Option<u64> {
        match self {
            Self::Exactly(version) => Some(version),
            Self::Any | Self::Unmanaged => None,
        }
    }

    /// Whether the `ReplicaCount` of a target is the expected one.
    pub(super) fn admits(self, existing: Option<&ReplicaCountState>) -> bool {
        match self {
            Self::Any => true,
            Self::Unmanaged => existing.is_none(),
            Self::Exactly(version) => existing.is_some_and(|count| count.resource_version == version),
        }
    }
}

/// A valid SetReplicaCountRequest.
#[derive(Debug)]
pub(super) struct SetRequest {
    pub(super) key: TargetKey,
    pub(super) count: RequestedCount,
    pub(super) expected: Option<i32>,
    pub(super) version: ExpectedVersion,
    /// The original count to store, in replicas.
    pub(super) original: Option<i32>,
    pub(super) allow_missing: bool,
    pub(super) force: bool,
    pub(super) dry_run: bool,
    pub(super) until: Option<Timestamp>,
    pub(super) then_unset: bool,
    pub(super) reason: String,
    /// Whether an empty reason replaces the one from before.
    pub(super) replace_reason: bool,
    /// The lasting count to store together with an override, and its reason.
    pub(super) lasting: Option<(i32, String)>,
}

/// A valid UnsetReplicaCountRequest.
#[derive(Debug)]
pub(super) struct UnsetRequest {
    pub(super) key: TargetKey,
    pub(super) version: ExpectedVersion,
    pub(super) restore: bool,
    pub(super) force: bool,
    pub(super) dry_run: bool,
}

impl RequestValidator {
    /// Validates a target, which must be in a namespace that is served.
    pub(super) fn target(&self, target: Option<v1::Target>) -> Result<TargetKey, Error> {
        let target = target.ok_or_else(|| Error::invalid("target", "must be given"))?;
        let key = TargetKey::new(&target.namespace, &target.group, &target.kind, &target.name)?;
        self.check_namespace("target.namespace", &key.namespace)?;
        Ok(key)
    }

    pub(super) fn set(&self, request: v1::SetReplicaCountRequest, now: Timestamp) -> Result<SetRequest, Error> {
        let key = self.target(request.target)?;
        let count = match (request.replicas, request.current) {
            (Some(replicas), false) => RequestedCount::Exactly(self.count("replicas", replicas)?),
            (None, true) => RequestedCount::Current,
            (None, false) => return Err(Error::invalid("replicas", "must be given: an absent count is not 0")),
            (Some(_), true) => return Err(Error::invalid("current", "cannot be combined with replicas")),
        };
        let expected = request.expected_replicas.map(|count| self.count("expected_replicas", count)).transpose()?;
        check_reason("reason", &request.reason)?;
        check_reason("lasting_reason", &request.lasting_reason)?;
        let until = request.until.map(|until| parse_until(until, now)).transpose()?;
        if request.then_unset && until.is_none() {
            return Err(Error::invalid("then_unset", "needs until"));
        }
        if request.lasting_replicas.is_some() && until.is_none() {
            return Err(Error::invalid("lasting_replicas", "needs until"));
        }
        if request.lasting_replicas.is_none() && !request.lasting_reason.is_empty() {
            return Err(Error::invalid("lasting_reason", "needs lasting_replicas"));
        }
        let lasting = request.lasting_replicas.map(|count| self.count("lasting_replicas", count)).transpose()?;
        if until.is_some() && count == RequestedCount::Current {
            return Err(Error::invalid("current", "cannot be combined with until"));
        }
        Ok(SetRequest {
            key,
            count,
            expected,
            version: ExpectedVersion::parse(request.expected_resource_version.as_deref())?,
            original: request.original_replicas.map(|count| self.count("original_replicas", count)).transpose()?,
            allow_missing: request.allow_missing,
            force: request.force,
            dry_run: request.dry_run,
            until,
            then_unset: request.then_unset,
            reason: request.reason,
            replace_reason: request.replace_reason,
            lasting: lasting.map(|count| (count, request.lasting_reason)),
        })
    }

    pub(super) fn unset(&self, request: v1::UnsetReplicaCountRequest) -> Result<UnsetRequest, Error> {
        let v1::UnsetReplicaCountRequest { target, restore, force, dry_run, expected_resource_version } = request;
        let key = self.target(target)?;
        match ExpectedVersion::parse(expected_resource_version.as_deref())? {
            // What is not managed cannot be unset.
            ExpectedVersion::Unmanaged => Err(Error::invalid("expected_resource_version", "must not be empty")),
            version => Ok(UnsetRequest { key, version, restore, force, dry_run }),
        }
    }

    /// Validates what a List or Watch selects. The kinds that the caller may list are filled in later.
    pub(super) fn filter(&self, namespace: String, selector: &str, all_targets: bool) -> Result<Filter, Error> {
        let requested = Some(namespace).filter(|namespace| !namespace.is_empty());
        if let Some(requested) = &requested {
            check_namespace_name(requested).map_err(|error| Error::of_namespace("namespace", error))?;
            self.check_namespace("namespace", requested)?;
        }
        let selector = selector.parse().map_err(|problem: String| Error::invalid("label_selector", problem))?;
        let namespace = requested.or_else(|| self.namespace.clone());
        Ok(Filter { namespace, selector, all_targets, kinds: BTreeSet::new() })
    }

    pub(super) fn count(&self, field: &'static str, count: i32) -> Result<i32, Error> {
        if count < 0 {
            Err(Error::invalid(field, format!("must not be negative, and is {count}")))
        } else if count > self.max_replicas {
            let problem = format!("must be at most {}, the server's MAX_REPLICAS, and is {count}", self.max_replicas);
            Err(Error::invalid(field, problem))
        } else {
            Ok(count)
        }
    }

    fn check_namespace(&self, field: &'static str, requested: &str) -> Result<(), Error> {
        match &self.namespace {
            Some(served) if served != requested => {
                Err(Error::invalid(field, format!("{requested:?} is not served: this server manages {served:?} only")))
            }
            _ => Ok(()),
        }
    }
}

/// Validates `min_resource_version`; empty means none.
pub(super) fn min_resource_version(version: &str) -> Result<Option<u64>, Error> {
    resource_version("min_resource_version", version)
}

/// Validates a resource version; empty means none.
fn resource_version(field: &'static str, version: &str) -> Result<Option<u64>, Error> {
    if version.len() > MAX_VERSION {
        let problem = format!("is {} characters long: the most is {MAX_VERSION}", version.len());
        return Err(Error::invalid(field, problem));
    }
    match (version, parse_resource_version(version)) {
        ("", _) => Ok(None),
        (_, 0) => Err(Error::invalid(field, format!("{version:?} is not a resource version"))),
        (_, version) => Ok(Some(version)),
    }
}

fn check_reason(field: &'static str, reason: &str) -> Result<(), Error> {
    match reason.len() {
        0..=MAX_REASON => Ok(()),
        length => Err(Error::invalid(field, format!("is {length} bytes long: the most is {MAX_REASON}"))),
    }
}

fn parse_until(until: prost_types::Timestamp, now: Timestamp) -> Result<Timestamp, Error> {
    let until = Timestamp::new(until.seconds, until.nanos)
        .map_err(|_| Error::invalid("until", "is not a time between the years -9999 and 9999"))?;
    if until <= now {
        return Err(Error::invalid("until", format!("must be in the future, and is {until}")));
    }
    // Users see whole seconds. Rounding up never shortens the override.
    let seconds = until.as_second() + i64::from(until.subsec_nanosecond() > 0);
    Timestamp::from_second(seconds).map_err(|_| Error::invalid("until", "is too far in the future"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validator(namespace: Option<&str>) -> RequestValidator {
        RequestValidator { namespace: namespace.map(Into::into), max_replicas: 100 }
    }

    fn request() -> v1::SetReplicaCountRequest {
        v1::SetReplicaCountRequest {
            target: Some(v1::Target { namespace: "shop".into(), name: "web".into(), ..Default::default() }),
            replicas: Some(3),
            ..Default::default()
        }
    }

    fn refusal(change: impl FnOnce(&mut v1::SetReplicaCountRequest)) -> String {
        let mut request = request();
        change(&mut request);
        validator(None).set(request, Timestamp::UNIX_EPOCH).unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_names_the_field() {
        assert!(validator(None).set(request(), Timestamp::UNIX_EPOCH).is_ok());
        let target = |request: &mut v1::SetReplicaCountRequest, change: fn(&mut v1::Target)| {
            change(request.target.as_mut().unwrap());
        };
        for (message, expected) in [
            (refusal(|r| r.target = None), "target must be given"),
            (refusal(|r| r.replicas = None), "replicas must be given"),
            (refusal(|r| r.replicas = Some(-1)), "replicas must not be negative, and is -1"),
            (refusal(|r| r.replicas = Some(101)), "replicas must be at most 100"),
            (refusal(|r| r.current = true), "current cannot be combined"),
            (refusal(|r| r.expected_replicas = Some(-2)), "expected_replicas must not be negative"),
            (refusal(|r| r.reason = "x".repeat(1025)), "reason is 1025 bytes long"),
            (refusal(|r| r.original_replicas = Some(101)), "original_replicas must be at most 100"),
            (refusal(|r| r.expected_resource_version = Some("x".into())), "expected_resource_version \"x\" is not"),
            (refusal(|r| r.expected_resource_version = Some("7".repeat(41))), "expected_resource_version is 41"),
            (refusal(|r| r.lasting_reason = "x".repeat(1025)), "lasting_reason is 1025 bytes long"),
            (refusal(|r| r.lasting_reason = "x".into()), "lasting_reason needs lasting_replicas"),
            (refusal(|r| r.lasting_replicas = Some(3)), "lasting_replicas needs until"),
            (
                refusal(|r| {
                    r.lasting_replicas = Some(-1);
                    r.until = Some(prost_types::Timestamp { seconds: i64::from(i32::MAX) * 4, nanos: 0 });
                }),
                "lasting_replicas must not be negative",
            ),
            (refusal(|r| r.then_unset = true), "then_unset needs until"),
            (refusal(|r| r.until = Some(prost_types::Timestamp::default())), "until must be in the future"),
            (refusal(|r| target(r, |t| t.name.clear())), "target.name must not be empty"),
            (refusal(|r| target(r, |t| t.name = "a_b".into())), "target.name \"a_b\" is not a DNS subdomain"),
            (
                refusal(|r| target(r, |t| t.name = "x".repeat(300))),
                "target.name is 300 characters long: the most is 242",
            ),
            (refusal(|r| target(r, |t| t.namespace = "a.b".repeat(30))), "target.namespace is 90 characters long"),
            (refusal(|r| target(r, |t| t.kind = "a/b".into())), "target.kind \"a/b\" is not a kind"),
        ] {
            assert!(message.starts_with(expected), "{message:?} should start with {expected:?}");
        }
    }

    #[test]
    fn one_namespace_is_served_where_one_is_set() {
        let validator = validator(Some("shop"));
        assert!(validator.set(request(), Timestamp::UNIX_EPOCH).is_ok());
        assert!(validator.filter("other".into(), "", false).is_err());
        assert_eq!(validator.filter(String::new(), "", false).unwrap().namespace.as_deref(), Some("shop"));
    }

    #[test]
    fn what_a_list_or_watch_selects_is_bounded() {
        struct Row<'a> {
            name: &'a str,
            namespace: String,
            selector: String,
            /// The start of the refusal; empty if there is none.
            refusal: &'a str,
        }
        let row = |name, namespace: &str, selector: &str, refusal| Row {
            name,
            namespace: namespace.to_owned(),
            selector: selector.to_owned(),
            refusal,
        };
        for Row { name, namespace, selector, refusal } in [
            row("usual", "shop", "app=web", ""),
            row("all namespaces", "", "", ""),
            row("the longest namespace", &"x".repeat(63), "", ""),
            row("a longer namespace", &"x".repeat(64), "", "namespace is 64 characters long: the most is 63"),
            row("a huge namespace", &"x".repeat(60_000), "", "namespace is 60000 characters long"),
            row("no DNS label", "a.b", "", "namespace \"a.b\" is not a DNS label"),
            row("a path", "../x", "", "namespace \"../x\" is not a DNS label"),
            row("many requirements", "", &vec!["a"; 33].join(","), "label_selector has more than 32 requirements"),
            row("many bytes", "", &"x".repeat(4097), "label_selector is 4097 bytes long: the most is 4096"),
        ] {
            let message = validator(None).filter(namespace, &selector, false).err().map(|error| error.to_string());
            let message = message.unwrap_or_default();
            assert!(message.starts_with(refusal) && message.is_empty() == refusal.is_empty(), "{name}: {message:?}");
        }
        let version = min_resource_version(&"1".repeat(41)).unwrap_err().to_string();
        assert!(version.starts_with("min_resource_version is 41 characters long: the most is 40"), "{version}");
    }
}
