//! The UID of an object.

use std::fmt;

/// The UID of an object. A UUID, which every UID from the API server is, takes 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Uid(Form);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Form {
    Uuid([u8; 16]),
    Text(Box<str>),
}

impl From<&str> for Uid {
    fn from(text: &str) -> Self {
        let number = u128::from_str_radix(&text.replace('-', ""), 16);
        let uuid = number.ok().map(|number| Self(Form::Uuid(number.to_be_bytes())));
        // Only a text that is written exactly as it was read: lower-case, with the dashes in their places.
        uuid.filter(|uuid| uuid.to_string() == text).unwrap_or_else(|| Self(Form::Text(text.into())))
    }
}

impl Default for Uid {
    fn default() -> Self {
        Self::from("")
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Text(text) => f.write_str(text),
            Form::Uuid(bytes) => {
                for (index, byte) in bytes.iter().enumerate() {
                    if matches!(index, 4 | 6 | 8 | 10) {
                        f.write_str("-")?;
                    }
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_uuid_takes_no_text() {
        assert_eq!(size_of::<Uid>(), 24);
        assert!(matches!(Uid::from("8d2f2c3e-5a60-4a7e-9c7f-0123456789ab").0, Form::Uuid(_)));
        assert!(matches!(Uid::from("8D2F2C3E-5a60-4a7e-9c7f-0123456789ab").0, Form::Text(_)));
    }

    proptest! {
        #[test]
        fn every_uid_is_written_as_it_is_read(text in "[-+0-9a-fA-F]{0,40}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|.*") {
            prop_assert_eq!(Uid::from(&*text).to_string(), text);
        }
    }
}
