//! The forms that texts of an experiment must have: each as a regular expression for the schema, and in words for error messages.

/// The form of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextForm {
    /// The regular expression that the whole text matches.
    pub pattern: &'static str,
    /// What is wrong with a text that does not match, and what is allowed.
    pub mismatch: &'static str,
}

/// The name of an experiment, with which the name of a Service can begin.
pub const EXPERIMENT_NAME: TextForm = TextForm {
    pattern: "^[a-z]([a-z0-9-]*[a-z0-9])?$",
    mismatch: "is not a name; begin with a lower-case letter and use lower-case letters, digits and inner dashes",
};
/// The name of a fault.
pub const FAULT_NAME: TextForm = TextForm {
    pattern: "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
    mismatch: "is not a name; use lower-case letters, digits and inner dashes",
};
/// A duration.
pub const DURATION: TextForm = TextForm {
    // At most nine digits, so that no unit overflows.
    pattern: "^[0-9]{1,9}(ms|s|m|h)$",
    mismatch: "is not a duration; use a whole number of ms, s, m or h, such as 250ms or 5s",
};
/// An amount in major units.
pub const AMOUNT: TextForm = TextForm {
    pattern: r"^[0-9]{1,10}(\.[0-9]{1,2})?$",
    mismatch: "is not an amount; use digits with at most two decimals, such as \"1.00\"",
};
/// A currency.
pub const CURRENCY: TextForm =
    TextForm { pattern: "^[A-Z]{3}$", mismatch: "is not a currency; use three capital letters, such as EUR" };
/// The name of a Secret.
pub const SECRET_NAME: TextForm = TextForm {
    pattern: "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
    mismatch: "is not the name of a Secret; use lower-case letters, digits, dots and inner dashes",
};
/// An account, or the key of a Secret.
pub const ACCOUNT_OR_KEY: TextForm = TextForm {
    pattern: "^[A-Za-z0-9._-]+$",
    mismatch: "is not an account or key; use letters, digits, dots, dashes and underscores",
};
/// What a contract calls a secret.
pub const SECRET_OF_CONTRACT: TextForm = TextForm {
    pattern: "^[A-Za-z0-9_]+$",
    mismatch: "is not what a contract can call a secret; use letters, digits and underscores",
};
/// The name of an environment variable.
pub const VARIABLE: TextForm = TextForm {
    pattern: "^[-._A-Za-z][-._A-Za-z0-9]*$",
    mismatch: "is not the name of a variable; use letters, digits, dots, dashes and underscores, and begin with no digit",
};
/// An amount of a resource of Kubernetes, which may also be a whole number.
pub const QUANTITY: TextForm = TextForm {
    pattern: r"^[0-9]+(\.[0-9]+)?([KMGTPE]i|[numkMGTPE]|[eE][0-9]+)?$",
    mismatch: "is not a quantity; use a number with a suffix such as 500m or 64Mi",
};

/// Every form.
pub const ALL: [TextForm; 10] = [
    EXPERIMENT_NAME,
    FAULT_NAME,
    DURATION,
    AMOUNT,
    CURRENCY,
    SECRET_NAME,
    ACCOUNT_OR_KEY,
    SECRET_OF_CONTRACT,
    VARIABLE,
    QUANTITY,
];
