mod builder;

pub(crate) use self::builder::{Page, is_settled, is_verified, since};
