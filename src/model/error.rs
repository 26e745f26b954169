//! Errors as one line.

use std::error::Error;

/// An error with its causes, in one line, for an event or a person. A cause that an error of
/// another crate has said already is not repeated.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Said(&'static str, #[source] Option<Box<Self>>);

    #[test]
    fn causes_follow_in_one_line_and_are_said_once() {
        let cause = Said("denied", None);
        let middle = Said("cannot read: denied", Some(Box::new(cause)));
        let error = Said("no config", Some(Box::new(middle)));
        assert_eq!(with_causes(&error), "no config: cannot read: denied");
        assert_eq!(with_causes(&Said("alone", None)), "alone");
    }
}
