//! `paylab init`: a commented experiment to begin with.

use clap::{Args, ValueEnum};

use crate::{exit::Exit, output::print_text};

/// The options of `paylab init`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Whose API yours is like; any shows every field with a comment
    #[arg(long, value_name = "API", default_value = "any")]
    pub like: Like,
}

/// An API to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Like {
    /// None in particular
    Any,
    /// Form bodies, a key in a header, a list by the last id
    Stripe,
    /// A key in the body, a list by cursor
    Square,
    /// A repeat is a conflict that points to the payment
    Gocardless,
    /// Decimal amounts, a list whose pages are linked
    Mollie,
    /// A header marks repeats, and payments are looked up by key
    Increase,
    /// The lesson's service: a key in a header, and nothing but a total to be read
    Lesson,
}

impl Like {
    const fn experiment(self) -> &'static str {
        match self {
            Self::Any => include_str!("init/any.yaml"),
            Self::Stripe => include_str!("../../../examples/targets/stripe.yaml"),
            Self::Square => include_str!("../../../examples/targets/square.yaml"),
            Self::Gocardless => include_str!("../../../examples/targets/gocardless.yaml"),
            Self::Mollie => include_str!("../../../examples/targets/mollie.yaml"),
            Self::Increase => include_str!("../../../examples/targets/increase.yaml"),
            Self::Lesson => include_str!("../../../examples/targets/lesson.yaml"),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// The experiment cannot be printed.
pub fn init(options: &Options) -> anyhow::Result<Exit> {
    print_text(options.like.experiment())?;
    Ok(Exit::AsExpected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_experiment_to_begin_with_can_be_read() {
        for like in Like::value_variants() {
            let read = paylab_resource::file::parse(like.experiment(), 0);
            assert!(read.is_ok(), "{like:?}: {read:?}");
            assert!(read.unwrap().contract.is_some(), "{like:?}");
        }
    }
}
