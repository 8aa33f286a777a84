pub(crate) mod event;
mod lab;

pub(crate) use self::lab::{Made, build, demolish, launch};
