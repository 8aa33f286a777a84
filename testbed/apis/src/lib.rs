//! Small payment services for tests, whose APIs have the shapes of well-known ones. Each has a correct conduct, and a broken one
//! that breaks exactly-once in a way of its own, so that a test knows which class of verdict must come. They know nothing of Paylab.

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;

mod amount;
mod books;
pub mod gocardless;
pub mod increase;
pub mod lesson;
pub mod mollie;
pub mod square;
pub mod stripe;

/// Whether a service treats repeats as its API promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// Every payment is booked once, and its repeats are told so.
    Correct,
    /// The service has the bug that its module describes.
    Broken,
}

/// The API whose shape a service has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// Form bodies; a repeat gets the stored answer.
    Stripe,
    /// The key is in the JSON body.
    Square,
    /// A repeat is a conflict that points to the resource.
    Gocardless,
    /// Amounts are decimal texts, and pages are linked.
    Mollie,
    /// A header marks a repeat, and payments are looked up by key.
    Increase,
    /// The lesson's service, of which only a total can be read.
    Lesson,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 6] =
        [Self::Stripe, Self::Square, Self::Gocardless, Self::Mollie, Self::Increase, Self::Lesson];

    /// The routes of a new service of this shape, with empty books.
    pub fn router(self, conduct: Conduct) -> Router {
        match self {
            Self::Stripe => stripe::router(conduct),
            Self::Square => square::router(conduct),
            Self::Gocardless => gocardless::router(conduct),
            Self::Mollie => mollie::router(conduct),
            Self::Increase => increase::router(conduct),
            Self::Lesson => lesson::router(conduct),
        }
    }
}

/// Serves a router to everybody who connects, until the future is dropped.
///
/// # Errors
/// If the listener fails.
pub async fn serve(listener: TcpListener, router: Router) -> std::io::Result<()> {
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>()).await
}
