//! What a task returned: one JSON text, so that it is the same whether the task ran here or came from a store.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::TaskError;
use crate::task::Text;

use super::failure::not_json;

/// What a task returned. Cheap to clone.
///
/// Shown with `{}`, text comes as it is and everything else as JSON; `parse` makes a typed value of it.
///
/// ```
/// use task::TaskOutput;
///
/// let output = TaskOutput::from("processed");
/// assert_eq!(output.to_string(), "processed");
/// assert_eq!(output.parse::<String>()?, "processed");
/// assert_eq!(TaskOutput::new(&vec![1, 2])?.parse::<Vec<u8>>()?, [1, 2]);
/// # Ok::<(), task::TaskError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TaskOutput(Text);

impl TaskOutput {
    /// Of any value that JSON can carry; for others an error ERR_TASK_SERIALIZE, which is never retried.
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self, TaskError> {
        let text =
            serde_json::to_string(value).map_err(|error| not_json("the output cannot be JSON", error))?;
        Ok(Self(text.into()))
    }

    /// As a value of this type; an error ERR_TASK_SERIALIZE where it is something else.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        serde_json::from_str(&self.0).map_err(|error| not_json("the output is something else", error))
    }

    /// As JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// From a text that is known to be JSON.
    pub(super) fn from_json(text: Text) -> Self {
        Self(text)
    }

    pub(super) fn into_json(self) -> Text {
        self.0
    }
}

impl fmt::Display for TaskOutput {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::from_str::<String>(&self.0) {
            Ok(text) => out.pad(&text),
            Err(_) => out.pad(&self.0),
        }
    }
}

impl fmt::Debug for TaskOutput {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Serialize for TaskOutput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        text.serialize(serializer)
    }
}

/// The types whose values JSON can always carry.
macro_rules! always {
    ($($type:ty),*) => {$(
        impl From<$type> for TaskOutput {
            fn from(value: $type) -> Self {
                Self(serde_json::to_string(&value).unwrap_or_else(|_| "null".into()).into())
            }
        }
    )*};
}

always!(
    (),
    bool,
    &str,
    String,
    i8,
    i16,
    i32,
    i64,
    isize,
    u8,
    u16,
    u32,
    u64,
    usize,
    f32,
    f64,
    serde_json::Value
);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn text_is_shown_as_it_is_and_the_rest_as_json() {
        assert_eq!(
            format!("{:>4}|{:?}", TaskOutput::from("a\"b"), TaskOutput::from("a\"b")),
            " a\"b|\"a\\\"b\""
        );
        assert_eq!(TaskOutput::from(()).to_string(), "null");
        assert_eq!(TaskOutput::from(1.5).to_string(), "1.5");
        assert_eq!(TaskOutput::new(&Some([1, 2])).unwrap().to_string(), "[1,2]");
    }

    #[test]
    fn what_json_cannot_carry_is_an_error() {
        let odd = HashMap::from([(vec![1], 2)]);
        let error = TaskOutput::new(&odd).unwrap_err();
        assert_eq!((error.code(), error.is_retryable()), ("ERR_TASK_SERIALIZE", false));
        let error = TaskOutput::from("text").parse::<u32>().unwrap_err();
        assert_eq!(error.code(), "ERR_TASK_SERIALIZE");
    }

    #[test]
    fn an_output_within_another_value_stays_what_it_is() {
        let inner = TaskOutput::new(&("a", 1)).unwrap();
        assert_eq!(TaskOutput::new(&vec![inner.clone(), inner]).unwrap().as_json(), r#"[["a",1],["a",1]]"#);
    }
}
