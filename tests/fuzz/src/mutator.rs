//! Mutations of valid inputs.

use std::ops::Range;

use fastrand::Rng;

/// The longest input, in bytes: as much as the server reads of one message.
const LONGEST: usize = 64 * 1024;

/// Numbers at the limits of the types that parsers read them into.
const NUMBERS: [&[u8]; 14] = [
    b"0",
    b"-1",
    b"00",
    b"0.5",
    b"1e309",
    b"2147483647",
    b"2147483648",
    b"-2147483649",
    b"253402300800",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551615",
    b"18446744073709551616",
];

/// Bytes with a meaning to many parsers: lengths and numbers at their limits, and characters of several bytes.
const WORDS: [&[u8]; 14] = [
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80\x80\x80\x80\xf8\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\x07",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x80",
    b"\0",
    b"\n",
    b" ",
    b"\xc3\xa9",
    b"\xe2\x80\xae",
    b"\xf0\x9f\xa6\x80",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
];

/// Makes inputs by changing valid ones.
#[derive(Clone, Default)]
pub struct Mutator {
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    /// Adds valid inputs.
    pub fn add_seeds<T: AsRef<[u8]>>(&mut self, seeds: impl IntoIterator<Item = T>) {
        self.seeds.extend(seeds.into_iter().map(|seed| seed.as_ref().to_vec()));
    }

    /// Adds words with a meaning to the parser.
    pub fn add_words<T: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = T>) {
        self.words.extend(words.into_iter().map(|word| word.as_ref().to_vec()));
    }

    /// Makes the input of a seed and a number. Half of all inputs have one change, a quarter have two, and so on.
    pub fn input(&self, seed: u64, number: u64) -> Vec<u8> {
        // The odd factor makes the inputs of neighbouring numbers unrelated.
        let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut input = rng.choice(&self.seeds).cloned().unwrap_or_default();
        loop {
            self.change(&mut rng, &mut input);
            input.truncate(LONGEST);
            if rng.bool() {
                return input;
            }
        }
    }

    fn change(&self, rng: &mut Rng, input: &mut Vec<u8>) {
        let part = part(rng, input.len());
        match rng.u8(..12) {
            0 => flip(rng, input),
            1 => input[part].iter_mut().for_each(|byte| *byte = rng.u8(..)),
            2 => drop(input.drain(part)),
            3 => {
                let copy = input[part].to_vec();
                insert(rng, input, &copy);
            }
            4 => self.splice(rng, input),
            5 => {
                let at = rng.usize(..=input.len());
                input.truncate(at);
            }
            6 => repeat(rng, input, part),
            7 => replace_number(rng, input),
            8 => insert(rng, input, rng.clone().choice(NUMBERS).unwrap_or_default()),
            9 => insert(rng, input, rng.clone().choice(WORDS).unwrap_or_default()),
            _ => match rng.choice(&self.words) {
                Some(word) => insert(rng, input, word),
                None => flip(rng, input),
            },
        }
    }

    /// Replaces the rest of the input by the rest of another valid input.
    fn splice(&self, rng: &mut Rng, input: &mut Vec<u8>) {
        let Some(other) = rng.choice(&self.seeds) else { return };
        let (at, from) = (rng.usize(..=input.len()), rng.usize(..=other.len()));
        input.truncate(at);
        input.extend_from_slice(&other[from..]);
    }
}

fn flip(rng: &mut Rng, input: &mut [u8]) {
    if let Some(byte) = rng.choice(input.iter_mut()) {
        *byte ^= 1 << rng.u8(..8);
    }
}

fn insert(rng: &mut Rng, input: &mut Vec<u8>, word: &[u8]) {
    let at = rng.usize(..=input.len());
    input.splice(at..at, word.iter().copied());
}

/// Repeats a part, mostly a few times, and sometimes up to the longest input.
fn repeat(rng: &mut Rng, input: &mut Vec<u8>, part: Range<usize>) {
    let times = if rng.u8(..64) == 0 { LONGEST / part.len().max(1) } else { rng.usize(1..32) };
    let copies = input[part.clone()].repeat(times.min(LONGEST / part.len().max(1)));
    input.splice(part.end..part.end, copies);
}

/// Replaces a number by a number at a limit.
fn replace_number(rng: &mut Rng, input: &mut Vec<u8>) {
    let digits: Vec<_> = (0..input.len()).filter(|&at| input[at].is_ascii_digit()).collect();
    let Some(&start) = rng.choice(&digits) else { return };
    let length = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    input.splice(start..start + length, rng.choice(NUMBERS).unwrap_or_default().iter().copied());
}

/// Chooses a part of the input, which is mostly short.
fn part(rng: &mut Rng, length: usize) -> Range<usize> {
    let start = rng.usize(..=length);
    let most = if rng.u8(..8) == 0 { length - start } else { (length - start).min(8) };
    start..start + rng.usize(..=most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_inputs_of_bounded_length() {
        let mut mutator = Mutator::default();
        mutator.add_seeds(["app=web", "replicas: 3"]);
        mutator.add_words(["notin"]);
        let inputs = |seed| (0..5000).map(|number| mutator.input(seed, number)).collect::<Vec<_>>();
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        let longest = inputs(1).iter().map(Vec::len).max().unwrap_or_default();
        assert!((1000..=LONGEST).contains(&longest), "{longest}");
    }
}
