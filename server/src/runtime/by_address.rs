//! What is open for peers, by their addresses: if there is too much, the address that has the most loses its oldest.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

/// What is open, by the address of its peer.
pub(crate) struct ByAddress<T> {
    /// The oldest of each address first. No address has none.
    open: HashMap<IpAddr, VecDeque<(u64, T)>>,
    len: usize,
    next_number: u64,
}

/// One of the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    address: IpAddr,
    number: u64,
}

impl<T> Default for ByAddress<T> {
    fn default() -> Self {
        Self { open: HashMap::new(), len: 0, next_number: 0 }
    }
}

impl<T> ByAddress<T> {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds one, which is the newest.
    pub(crate) fn add(&mut self, address: IpAddr, value: T) -> Entry {
        let (address, number) = (address.to_canonical(), self.next_number);
        self.next_number += 1;
        self.len += 1;
        self.open.entry(address).or_default().push_back((number, value));
        Entry { address, number }
    }

    /// Takes one, unless it was taken before.
    pub(crate) fn take(&mut self, Entry { address, number }: Entry) -> Option<T> {
        let all = self.open.get_mut(&address)?;
        let place = all.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        let (_, value) = all.remove(place)?;
        if all.is_empty() {
            self.open.remove(&address);
        }
        self.len -= 1;
        Some(value)
    }

    /// The oldest of the address that has the most.
    pub(crate) fn of_most(&self) -> Option<&T> {
        self.get(self.most()?)
    }

    /// Takes the oldest of the address that has the most.
    pub(crate) fn take_of_most(&mut self) -> Option<T> {
        let entry = self.most()?;
        self.take(entry)
    }

    /// Takes the oldest of the address that has the fewest.
    pub(crate) fn take_of_fewest(&mut self) -> Option<T> {
        let (_, Reverse(number), address) =
            self.counts().min_by_key(|(count, Reverse(number), _)| (*count, *number))?;
        self.take(Entry { address, number })
    }

    /// Of addresses that have as many, the one with the oldest.
    fn most(&self) -> Option<Entry> {
        let (_, Reverse(number), address) = self.counts().max()?;
        Some(Entry { address, number })
    }

    /// For each address: how many it has, the number of its oldest, and itself.
    fn counts(&self) -> impl Iterator<Item = (usize, Reverse<u64>, IpAddr)> {
        self.open.iter().filter_map(|(address, all)| Some((all.len(), Reverse(all.front()?.0), *address)))
    }

    fn get(&self, Entry { address, number }: Entry) -> Option<&T> {
        let all = self.open.get(&address)?;
        let place = all.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        all.get(place).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One for each letter, which is its address. Its value is its place.
    fn open(letters: &str) -> ByAddress<usize> {
        let mut open = ByAddress::default();
        for (place, letter) in letters.bytes().enumerate() {
            open.add(IpAddr::from([10, 0, 0, letter]), place);
        }
        open
    }

    #[test]
    fn the_address_with_the_most_loses_its_oldest_and_that_with_the_fewest_comes_first() {
        for (name, letters, of_most, of_fewest) in [
            ("none", "", None, None),
            ("one address: its oldest", "aaaa", Some(0), Some(0)),
            ("a flood beside a probe that came first", "paaaa", Some(1), Some(0)),
            ("a flood beside a probe that came last", "aaap", Some(0), Some(3)),
            ("two floods: the larger one", "abbabb", Some(1), Some(0)),
            ("equal shares: the oldest", "abab", Some(0), Some(0)),
        ] {
            assert_eq!(open(letters).of_most().copied(), of_most, "{name}");
            assert_eq!(open(letters).take_of_most(), of_most, "{name}");
            assert_eq!(open(letters).take_of_fewest(), of_fewest, "{name}");
        }
    }

    #[test]
    fn what_is_taken_is_gone_and_an_address_without_any_is_forgotten() {
        let mut open = open("ab");
        let third = open.add(IpAddr::from([10, 0, 0, b'a']), 2);
        assert_eq!((open.take(third), open.take(third), open.len()), (Some(2), None, 2));
        let mapped = open.add("::ffff:10.0.0.98".parse().unwrap(), 3);
        assert_eq!(open.take_of_most(), Some(1), "one address in two forms");
        assert_eq!((open.take(mapped), open.len(), open.open.len()), (Some(3), 1, 1));
    }
}
