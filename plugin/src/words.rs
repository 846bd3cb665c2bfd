//! The words of a command line that name targets: `web sts/db`, or a kind and names as in kubectl, `deployment web db`.
//!
//! A word that kubectl reads as a kind is never the name of a Deployment. Such a Deployment is `deployment/NAME`.

use crate::target::{self, KindRef, TargetRef, parse_kind};

/// Words that people use as kinds, and that only the API server knows. Before other words they are refused, since the
/// command would otherwise change the Deployments that those words name.
const DISCOVERED_KINDS: [&str; 3] = ["ro", "rollout", "rollouts"];

/// Words that people use as kinds, though objects of these kinds have no count to hold. Before other words they are
/// refused for the same reason.
const OTHER_KINDS: [&str; 21] = [
    "po",
    "pod",
    "pods",
    "svc",
    "service",
    "services",
    "ds",
    "daemonset",
    "daemonsets",
    "job",
    "jobs",
    "cj",
    "cronjob",
    "cronjobs",
    "hpa",
    "horizontalpodautoscaler",
    "horizontalpodautoscalers",
    "replicacount",
    "replicacounts",
    "all",
    "scaledobject",
];

/// Why the words cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Target(#[from] target::Error),
    #[error("{word:?} is a kind, not the name of a target")]
    OnlyKind { word: String },
    #[error("{word:?} is a kind whose objects have no count to hold")]
    OtherKind { word: String },
    #[error("{kind:?} may be a kind or the name of a Deployment")]
    Ambiguous { kind: String, name: String },
    #[error("{word:?} names its kind itself, so {kind:?} must not stand before it")]
    TwoKinds { kind: String, word: String },
    #[error("{word:?} is a second target")]
    TwoTargets { word: String },
    #[error("{flag} cannot be used with the names of targets")]
    Names { flag: &'static str },
    #[error("the cluster has no kind {word:?}, and {flag} cannot be used with the names of targets")]
    NoKind { word: String, flag: &'static str },
    #[error("{word:?} is not a kind")]
    NotKind { word: String },
    #[error("no targets are named or chosen")]
    NothingChosen,
    #[error("the value of --selector is blank, so it chooses no targets")]
    BlankSelector,
    #[error("--filename cannot be used with --selector")]
    FileAndSelector,
}

impl Error {
    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Target(error) => return error.hint(),
            Self::OnlyKind { word } => format!(
                "name a target of that kind, as {word}/NAME; a Deployment with that name is deployment/{}",
                word.to_ascii_lowercase()
            ),
            Self::OtherKind { word } => format!("a Deployment that is named {word} is deployment/{word}"),
            Self::Ambiguous { kind, name } => format!("write {kind}/{name}, or deployment/{kind} for the Deployment"),
            Self::TwoKinds { kind, .. } => format!("leave out {kind}"),
            Self::TwoTargets { .. } => "name one target, as TARGET or KIND NAME".to_owned(),
            Self::Names { .. } => "leave out either; a kind may stand beside it, such as deployments".to_owned(),
            Self::NoKind { .. } => {
                "leave out the name or the flag; `kubectl api-resources` lists the kinds that you can use with \
                 it"
                .to_owned()
            }
            Self::NotKind { .. } => "separate targets by spaces; commas separate kinds, such as deploy,sts".to_owned(),
            Self::NothingChosen => {
                "name targets, such as web or sts/db, or choose them with --all, -A, -l SELECTOR or -f FILE".to_owned()
            }
            Self::BlankSelector => {
                "give labels, such as app=web; without --selector, the command takes all of the targets".to_owned()
            }
            Self::FileAndSelector => "leave out either".to_owned(),
        })
    }
}

/// What a single word may be besides a target.
enum KindWord {
    Known(KindRef),
    /// A kind that the API server knows, such as `rollouts.argoproj.io` or `rollout`. It could also be a Deployment's
    /// name.
    Discovered(KindRef),
    Other,
}

fn kind_word(word: &str) -> Option<KindWord> {
    if word.contains('/') {
        return None;
    }
    match parse_kind(word)? {
        KindRef::Resource { resource, group } if group.is_empty() && OTHER_KINDS.contains(&resource.as_str()) => {
            Some(KindWord::Other)
        }
        KindRef::Resource { resource, group } if group.is_empty() && !DISCOVERED_KINDS.contains(&resource.as_str()) => {
            None
        }
        kind @ KindRef::Resource { .. } => Some(KindWord::Discovered(kind)),
        kind @ KindRef::BuiltIn(_) => Some(KindWord::Known(kind)),
    }
}

/// Reads targets, and refuses one that is named twice.
pub(crate) fn parse(words: &[String]) -> Result<Vec<TargetRef>, Error> {
    let targets = parse_all(words)?;
    target::check_distinct(&targets.iter().collect::<Vec<_>>())?;
    Ok(targets)
}

fn parse_all(words: &[String]) -> Result<Vec<TargetRef>, Error> {
    let Some((first, rest)) = words.split_first() else { return Ok(Vec::new()) };
    match (kind_word(first), rest) {
        (Some(KindWord::Known(kind)), [_, ..]) => rest.iter().map(|name| of_kind(first, &kind, name)).collect(),
        (Some(KindWord::Discovered(_)), [name, ..]) if !rest.iter().any(|word| word.contains('/')) => {
            Err(Error::Ambiguous { kind: first.clone(), name: name.clone() })
        }
        (Some(KindWord::Other), [_, ..]) => Err(Error::OtherKind { word: first.clone() }),
        _ => words.iter().map(|word| parse_one(word)).collect(),
    }
}

/// Reads one word as a target.
pub(crate) fn parse_one(word: &str) -> Result<TargetRef, Error> {
    match kind_word(word) {
        Some(KindWord::Known(_)) => Err(Error::OnlyKind { word: word.to_owned() }),
        _ => Ok(word.parse()?),
    }
}

/// Reads the targets of a command that only shows them: TARGET..., or KIND NAME..., where the kind may be one that only
/// the API server knows.
pub(crate) fn parse_shown(words: &[String]) -> Result<Vec<TargetRef>, Error> {
    let targets = match words {
        [first, names @ ..] if !names.is_empty() && !names.iter().any(|name| name.contains('/')) => {
            match kind_word(first) {
                Some(KindWord::Discovered(kind)) => {
                    names.iter().map(|name| of_kind(first, &kind, name)).collect::<Result<_, _>>()?
                }
                _ => parse_all(words)?,
            }
        }
        words => parse_all(words)?,
    };
    target::check_distinct(&targets.iter().collect::<Vec<_>>())?;
    Ok(targets)
}

/// Reads one target, as TARGET or as KIND NAME.
pub(crate) fn parse_single(words: &[String]) -> Result<TargetRef, Error> {
    let second = |word: &String| Err(Error::TwoTargets { word: word.clone() });
    match words {
        [kind, name, rest @ ..] => match (parse_pair(kind, name), rest) {
            (None, _) => second(name),
            (Some(_), [word, ..]) => second(word),
            (Some(pair), []) => pair,
        },
        words => parse_one(&words.concat()),
    }
}

/// Reads KIND NAME where nothing but a kind can be the first word. Returns None if it is none.
pub(crate) fn parse_pair(first: &str, name: &str) -> Option<Result<TargetRef, Error>> {
    match kind_word(first)? {
        KindWord::Known(kind) | KindWord::Discovered(kind) => Some(of_kind(first, &kind, name)),
        KindWord::Other => Some(Err(Error::OtherKind { word: first.to_owned() })),
    }
}

fn of_kind(first: &str, kind: &KindRef, name: &str) -> Result<TargetRef, Error> {
    if name.contains('/') {
        return Err(Error::TwoKinds { kind: first.to_owned(), word: name.to_owned() });
    }
    Ok(TargetRef::new(kind.clone(), name, name)?)
}

/// The first of several words, if it may be a kind that only the API server knows: as a kind, and as a Deployment.
pub(crate) fn perhaps_kind(words: &[String]) -> Option<(KindRef, TargetRef)> {
    let [first, _, ..] = words else { return None };
    if kind_word(first).is_some() || words.iter().any(|word| word.contains('/')) {
        return None;
    }
    parse_kind(first).zip(parse_one(first).ok())
}

/// Kinds whose targets a command takes; all kinds if there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    pub(crate) kinds: Vec<KindRef>,
    /// The flag that chooses targets, beside which no word can be the name of one.
    pub(crate) flag: Option<&'static str>,
}

/// What a command takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    Kinds(Kinds),
    Targets(Vec<TargetRef>),
}

/// What the words of a command mean, as far as they say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListedWords {
    Clear(Listed),
    /// A kind if the cluster has it, and the name of a Deployment otherwise.
    Open {
        kind: KindRef,
        target: TargetRef,
    },
}

/// Reads the words of `list`: nothing, kinds separated by commas, or targets.
pub(crate) fn parse_listed(words: &[String]) -> Result<ListedWords, Error> {
    let of_kinds = |kinds| ListedWords::Clear(Listed::Kinds(Kinds { kinds, flag: None }));
    Ok(match words {
        [] => of_kinds(Vec::new()),
        // No name has a comma.
        [kinds] if kinds.contains(',') => {
            of_kinds(kinds.split(',').map(|word| listed_kind(word, None)).collect::<Result<_, _>>()?)
        }
        [word] => match kind_word(word) {
            Some(KindWord::Known(kind)) => of_kinds(vec![kind]),
            Some(KindWord::Discovered(kind)) => ListedWords::Open { kind, target: parse_one(word)? },
            Some(KindWord::Other) | None => ListedWords::Clear(Listed::Targets(vec![parse_one(word)?])),
        },
        words => ListedWords::Clear(Listed::Targets(parse(words)?)),
    })
}

/// Reads the words beside a flag that chooses targets: kinds, perhaps separated by commas.
pub(crate) fn parse_kinds(words: &[String], flag: &'static str) -> Result<Kinds, Error> {
    let kinds = words.iter().flat_map(|word| word.split(',')).map(|word| listed_kind(word, Some(flag)));
    Ok(Kinds { kinds: kinds.collect::<Result<_, _>>()?, flag: Some(flag) })
}

fn listed_kind(word: &str, flag: Option<&'static str>) -> Result<KindRef, Error> {
    let not_kind = || flag.map_or_else(|| Error::NotKind { word: word.to_owned() }, |flag| Error::Names { flag });
    match kind_word(word) {
        Some(KindWord::Known(kind) | KindWord::Discovered(kind)) => Ok(kind),
        Some(KindWord::Other) => Err(Error::OtherKind { word: word.to_owned() }),
        None => parse_kind(word).ok_or_else(not_kind),
    }
}

#[cfg(test)]
mod tests;
