//! Feeds parsers with mutations of what they accept, and fails where one panics, hangs, or takes memory without end.
//!
//! ```text
//! fuzz::target("selector").seeds(["app=web"]).words(["notin"]).text(|text| text.parse::<Selector>().is_ok());
//! ```
//!
//! `FUZZ_INPUTS` says how many inputs each target gets, `FUZZ_SEED` which. Equal seeds give equal inputs.

mod mutator;
pub mod x509;

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

pub use mutator::Mutator;

/// How many inputs each target gets unless the environment says otherwise: so many that all targets take seconds.
const INPUTS: u64 = 2000;

/// The longest CPU time of a parser for one input. The slowest need a few milliseconds.
const SLOW: Duration = Duration::from_secs(1);

/// How often a slow input is tried: the first time may include work that is done once.
const TRIES: u32 = 3;

/// How long until a parser hangs.
const HANG: Duration = Duration::from_secs(20);

/// The most memory that the process may take, in MiB: many times what the tests need, and far below what an input could
/// bring about that expands without end.
const MEMORY: u64 = 1024;

/// Of how many inputs a parser must accept one: where it accepts fewer, only its first bytes are tested.
const ACCEPTED: u64 = 50;

/// How many inputs each target gets.
pub fn inputs() -> u64 {
    setting("FUZZ_INPUTS").unwrap_or(INPUTS)
}

/// Which inputs the targets get.
pub fn seed() -> u64 {
    setting("FUZZ_SEED").unwrap_or(1)
}

fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    let number = text.parse();
    assert!(number.is_ok(), "{name} is no number: {text:?}");
    number.ok()
}

/// Begins a target with this name.
pub fn target(name: &'static str) -> Target {
    Target { name, mutator: Mutator::default() }
}

/// Something that parses.
pub struct Target {
    name: &'static str,
    mutator: Mutator,
}

impl Target {
    /// Adds inputs that the parser accepts.
    pub fn seeds<T: AsRef<[u8]>>(mut self, seeds: impl IntoIterator<Item = T>) -> Self {
        self.mutator.add_seeds(seeds);
        self
    }

    /// Adds what means something to the parser, to be put anywhere into inputs.
    pub fn words<T: AsRef<[u8]>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.mutator.add_words(words);
        self
    }

    /// Feeds a parser of text, which tells whether it accepts.
    pub fn text(self, mut parse: impl FnMut(&str) -> bool) {
        self.bytes(|input| parse(&String::from_utf8_lossy(input)));
    }

    /// Feeds a parser, which tells whether it accepts.
    pub fn bytes(self, mut parse: impl FnMut(&[u8]) -> bool) {
        let (inputs, seed, current) = (inputs(), seed(), AtomicU64::new(0));
        let (mut accepted, mut slowest) = (0, Duration::ZERO);
        // Dropped when this function ends, in whichever way.
        let (running, ended) = channel::<()>();
        thread::scope(|scope| {
            let _running = running;
            scope.spawn(|| self.watch(&current, seed, ended));
            for number in 0..inputs {
                current.store(number, Ordering::Relaxed);
                let input = self.mutator.input(seed, number);
                let (is_accepted, took) = self.feed(&input, &mut parse);
                accepted += u64::from(is_accepted);
                slowest = slowest.max(took);
            }
        });
        let (name, memory) = (self.name, peak_memory());
        println!(
            "fuzz {name}: {} inputs, {} accepted, slowest {slowest:.1?}, peak memory {} MiB, seed {seed}",
            grouped(inputs),
            grouped(accepted),
            memory.map_or_else(|| "unknown".to_owned(), |memory| memory.to_string()),
        );
        assert!(memory.is_none_or(|memory| memory < MEMORY), "fuzz {name}: it took {memory:?} MiB");
        assert!(accepted * ACCEPTED >= inputs, "fuzz {name}: only {accepted} of {inputs} inputs were accepted");
    }

    fn feed(&self, input: &[u8], parse: &mut impl FnMut(&[u8]) -> bool) -> (bool, Duration) {
        let mut slow = Duration::ZERO;
        for _ in 0..TRIES {
            let began = cpu_time();
            let is_accepted = catch_unwind(AssertUnwindSafe(|| parse(input))).unwrap_or_else(|panic| {
                eprintln!("fuzz {}: panic at the input b\"{}\"", self.name, input.escape_ascii());
                resume_unwind(panic)
            });
            slow = cpu_time().saturating_sub(began);
            if slow < SLOW {
                return (is_accepted, slow);
            }
        }
        assert!(slow < SLOW, "fuzz {}: {slow:?} for the input b\"{}\"", self.name, input.escape_ascii());
        (false, slow)
    }

    /// Ends the process when an input does not end: nothing else stops a parser.
    fn watch(&self, current: &AtomicU64, seed: u64, ended: Receiver<()>) {
        let mut last = None;
        while ended.recv_timeout(HANG) == Err(RecvTimeoutError::Timeout) {
            let number = current.load(Ordering::Relaxed);
            if last == Some(number) {
                let input = self.mutator.input(seed, number);
                eprintln!("fuzz {}: no end after {HANG:?} of the input b\"{}\"", self.name, input.escape_ascii());
                process::abort();
            }
            last = Some(number);
        }
    }
}

/// The CPU time of this thread. Unlike the time on a clock, it does not grow while a busy machine runs something else.
#[cfg(unix)]
fn cpu_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// The time on a clock, where the system has no other.
#[cfg(not(unix))]
fn cpu_time() -> Duration {
    static BEGAN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    BEGAN.get_or_init(std::time::Instant::now).elapsed()
}

/// The most memory that the process has had, in MiB, where the system tells.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}

/// Writes a number with its thousands apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        assert_eq!([7, 1000, 1_234_567].map(grouped), ["7", "1,000", "1,234,567"]);
    }

    #[test]
    #[should_panic(expected = "it does not like this")]
    fn a_panic_of_a_parser_is_one_of_the_test() {
        target("panic").seeds(["ab"]).bytes(|input| {
            assert!(!input.contains(&b'b'), "it does not like this");
            true
        });
    }

    #[test]
    #[should_panic(expected = "inputs were accepted")]
    fn a_parser_that_accepts_nothing_is_not_tested() {
        target("nothing").seeds(["ab"]).bytes(|_| false);
    }
}
