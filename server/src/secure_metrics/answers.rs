//! What the API server has said about tokens, kept for a short time. No token is kept, only its SHA-256.

use std::{collections::HashMap, time::Duration};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use tokio::time::Instant;

/// How old an answer may be. A right that was taken away ends within that time, as for calls.
const MAX_AGE: Duration = Duration::from_secs(10);

/// The most answers that are kept: many times the number of programs that scrape.
const MAX_ANSWERS: usize = 64;

/// Whether the user of a token may read the metrics. The order is that in which answers make room for others: anybody
/// can make up tokens, but only an administrator grants the right.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// It is no token of a user.
    Unknown,
    /// This user may not.
    Denied(String),
    /// The user may.
    Allowed,
}

/// The SHA-256 of a token, which does not lead back to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; SHA256_OUTPUT_LEN]);

impl TokenHash {
    /// That of a token.
    pub(super) fn of(token: &str) -> Self {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }
}

/// The answers that are kept, each with the time of its question.
#[derive(Default)]
pub(super) struct Answers(HashMap<TokenHash, (Access, Instant)>);

impl Answers {
    /// What is known about a token.
    pub(super) fn get(&self, token: TokenHash, now: Instant) -> Option<Access> {
        let (access, asked) = self.0.get(&token)?;
        is_fresh(*asked, now).then(|| access.clone())
    }

    /// Keeps the answer to a question that was asked at this time.
    pub(super) fn keep(&mut self, token: TokenHash, access: Access, asked: Instant) {
        self.0.retain(|_, (_, earlier)| is_fresh(*earlier, asked));
        if self.0.len() >= MAX_ANSWERS && !self.0.contains_key(&token) {
            let first = self.0.iter().min_by_key(|(_, kept)| *kept).map(|(token, _)| *token);
            if let Some(first) = first {
                self.0.remove(&first);
            }
        }
        self.0.insert(token, (access, asked));
    }
}

fn is_fresh(asked: Instant, now: Instant) -> bool {
    now.saturating_duration_since(asked) < MAX_AGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_token_is_its_sha_256() {
        let hash = TokenHash::of("abc").0.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn answers_are_bounded_and_made_up_tokens_displace_no_reader() {
        let (mut answers, start) = (Answers::default(), Instant::now());
        let at = |milliseconds: u64| start + Duration::from_millis(milliseconds);
        let [prometheus, curious] = ["prometheus", "curious"].map(TokenHash::of);
        answers.keep(prometheus, Access::Allowed, at(0));
        answers.keep(curious, Access::Denied("curious".to_owned()), at(1));
        let mut number = 0;
        let mut flood = |answers: &mut Answers, tokens: u64| {
            for _ in 0..tokens {
                number += 1;
                answers.keep(TokenHash::of(&number.to_string()), Access::Unknown, at(1 + number));
            }
        };
        flood(&mut answers, 1000);
        assert_eq!(answers.0.len(), MAX_ANSWERS);
        assert_eq!(answers.get(prometheus, at(1001)), Some(Access::Allowed));
        assert!(answers.get(curious, at(1001)).is_some());
        let [newest, oldest] = ["1000", "1"].map(TokenHash::of);
        assert_eq!((answers.get(newest, at(1001)), answers.get(oldest, at(1001))), (Some(Access::Unknown), None));

        assert_eq!(answers.get(prometheus, at(9_999)), Some(Access::Allowed));
        assert_eq!(answers.get(prometheus, at(10_000)), None, "too old");
        answers.keep(curious, Access::Allowed, at(20_000));
        assert_eq!(answers.0.len(), 1, "old answers are dropped");
    }
}
