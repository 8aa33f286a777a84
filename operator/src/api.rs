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

/// Waits for the answer to a request for as long as the time limit allows.
///
/// # Errors
/// The request failed, or took too long.
pub(crate) async fn answered<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    Ok(timeout(ANSWER_TIMEOUT, request).await.map_err(|_| ApiError::Timeout)??)
}
