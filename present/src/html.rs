//! The report as one HTML file that a person opens: it needs no network and contains no script at all, which its own policy enforces. What
//! is opened by a click is opened by the style sheet (`:target`).
//!
//! Each part has a view, which holds what is shown in words and numbers, and a template, which escapes all of it.

mod diagram;
mod histogram;
mod matrix;
mod page;
mod plan;
mod story;
mod totals;
mod verdict;

pub use self::page::page;

/// The style of every page, also of those that are not reports.
pub const STYLE: &str = include_str!("html/templates/style.css");
