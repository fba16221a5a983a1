//! Answers of the server, taken apart. What does not fit was not written by these scripts.

use redis::Value;

use crate::store::StoreError;
use crate::time::Millis;

pub(super) fn corrupt(what: &str) -> StoreError {
    StoreError::Corrupt(format!("an answer of the server makes no sense: {what}").into())
}

/// An array, item by item.
pub(super) struct Items(std::vec::IntoIter<Value>);

impl Items {
    pub fn of(value: Value) -> Result<Self, StoreError> {
        match value {
            Value::Array(items) => Ok(Self(items.into_iter())),
            _ => Err(corrupt("no array")),
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn value(&mut self) -> Result<Value, StoreError> {
        self.0.next().ok_or_else(|| corrupt("too short"))
    }

    pub fn items(&mut self) -> Result<Self, StoreError> {
        Self::of(self.value()?)
    }

    pub fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        bytes(self.value()?)
    }

    pub fn text(&mut self) -> Result<String, StoreError> {
        text(self.value()?)
    }

    pub fn number(&mut self) -> Result<i64, StoreError> {
        number(self.value()?)
    }

    /// A number that is -1 where there is none.
    pub fn date(&mut self) -> Result<Option<Millis>, StoreError> {
        Ok(u64::try_from(self.number()?).ok())
    }

    pub fn texts(&mut self) -> Result<Vec<String>, StoreError> {
        texts(self.value()?)
    }

    pub fn map<T>(self, each: impl FnMut(Value) -> Result<T, StoreError>) -> Result<Vec<T>, StoreError> {
        self.0.map(each).collect()
    }
}

pub(super) fn bytes(value: Value) -> Result<Vec<u8>, StoreError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) => Ok(text.into_bytes()),
        _ => Err(corrupt("no text")),
    }
}

pub(super) fn text(value: Value) -> Result<String, StoreError> {
    String::from_utf8(bytes(value)?).map_err(|_| corrupt("not UTF-8"))
}

pub(super) fn texts(value: Value) -> Result<Vec<String>, StoreError> {
    Items::of(value)?.map(text)
}

pub(super) fn number(value: Value) -> Result<i64, StoreError> {
    match value {
        Value::Int(number) => Ok(number),
        other => text(other)?.parse().map_err(|_| corrupt("no number")),
    }
}

/// Reads packed fields one after the other, big end first.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn take(&mut self, size: usize) -> Result<&'a [u8], StoreError> {
        let (taken, rest) = self.0.split_at_checked(size).ok_or_else(|| corrupt("a record is too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of so many bytes.
    pub fn number(&mut self, size: usize) -> Result<u64, StoreError> {
        Ok(self.take(size)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub fn short(&mut self) -> Result<u32, StoreError> {
        Ok(self.number(4)? as u32)
    }

    /// A text behind its length, which has so many bytes.
    pub fn text(&mut self, size: usize) -> Result<&'a str, StoreError> {
        let length = self.number(size)? as usize;
        std::str::from_utf8(self.take(length)?).map_err(|_| corrupt("a record is not UTF-8"))
    }

    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// Packs fields, big end first.
#[derive(Default)]
pub(super) struct Writer(pub Vec<u8>);

impl Writer {
    /// A number of so many bytes; a larger one becomes the largest.
    pub fn number(&mut self, size: usize, number: u64) -> &mut Self {
        let most = if size == 8 { u64::MAX } else { (1 << (8 * size)) - 1 };
        self.0.extend_from_slice(&number.min(most).to_be_bytes()[8 - size..]);
        self
    }

    /// A text behind its length, which has so many bytes.
    pub fn text(&mut self, size: usize, text: &str) -> &mut Self {
        self.number(size, text.len() as u64).0.extend_from_slice(text.as_bytes());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_read_again() {
        let mut writer = Writer::default();
        writer.number(1, 7).number(6, u64::MAX).number(8, u64::MAX).text(2, "a\u{e9}").text(1, "");
        let mut reader = Reader::new(&writer.0);
        assert_eq!(reader.number(1).unwrap(), 7);
        assert_eq!(reader.number(6).unwrap(), (1 << 48) - 1);
        assert_eq!(reader.number(8).unwrap(), u64::MAX);
        assert_eq!((reader.text(2).unwrap(), reader.text(1).unwrap()), ("a\u{e9}", ""));
        assert!(reader.is_empty() && reader.take(1).is_err());
    }
}
