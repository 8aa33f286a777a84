//! What is wrong with one field of an input, and what is allowed there.

use std::fmt;

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldError {
    /// The path of the field, such as `spec.faults[1].name`. Empty when the error is about the input as a whole.
    pub field: String,
    /// What is wrong and what is allowed.
    pub problem: String,
}

impl FieldError {
    /// An error of a field.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.problem) } else { write!(f, "{}: {}", self.field, self.problem) }
    }
}
