//! Requests to the Kubernetes API with a time limit, because kube itself waits without one.

use std::time::Duration;

use tokio::time::timeout;

/// How long a reconcile waits for one answer, or for several that it asks for together.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The API server refused the request, or could not be reached.
    #[error(transparent)]
    Request(#[from] kube::Error),
    /// The API server did not answer in time.
    #[error("the API server has not answered within {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout,
}

impl ApiError {
    /// Whether somebody else has changed the object meanwhile, so that the next reconcile will see it.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Request(kube::Error::Api(status)) if status.is_conflict())
    }

    /// What happened, each cause once: kube repeats the words of one in the words of the next.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Request(error) => in_words(error),
            Self::Timeout => self.to_string(),
        }
    }
}

/// What an error of kube says, each cause once.
pub(crate) fn in_words(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        let said = if status.message.is_empty() { "it gives no reason" } else { &status.message };
        return format!("the API server answers with {}: {said}", status.code);
    }
    let mut words = Vec::<String>::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        cause = error.source();
        // An error that only repeats its cause adds nothing.
        let repeated = cause.is_some_and(|cause| text.contains(&cause.to_string()));
        let prefix = match cause {
            Some(cause) if repeated => text.replace(&cause.to_string(), ""),
            Some(_) | None => text,
        };
        let prefix = prefix.trim_matches([' ', ':']).to_owned();
        if !prefix.is_empty() && !words.contains(&prefix) {
            words.push(prefix);
        }
    }
    words.join(": ")
}

/// Waits for the answer to a request for as long as the time limit allows.
///
/// # Errors
/// The request failed, or took too long.
pub(crate) async fn answered<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    Ok(timeout(ANSWER_TIMEOUT, request).await.map_err(|_| ApiError::Timeout)??)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let service = kube::Error::Service(Box::new(io::Error::other(refused)));
        let words = in_words(&service);
        assert_eq!(words.matches("connection refused").count(), 1, "{words}");
        let status =
            |message: &str| kube::core::Status { code: 503, message: message.to_owned(), ..Default::default() };
        let api = |message| in_words(&kube::Error::Api(Box::new(status(message))));
        assert_eq!(api("no leader"), "the API server answers with 503: no leader");
        assert_eq!(api(""), "the API server answers with 503: it gives no reason");
    }
}
