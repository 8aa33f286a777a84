//! One attempt under TLS, straight to the service. The load itself speaks plain HTTP to the proxy, which speaks TLS; this is for the few
//! payments of a check.

use paylab_core::witness::attempt::{AttemptOutcome, Rejection, Uncertainty};
use paylab_part::tls::TlsDialer;
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{Attempted, Failed, ResponseHead, Understood, Wire, answered, read_response, rejection};
use crate::shape::Shape;

impl Wire {
    /// Sends one request over a connection of its own and reads its response. A connection that does not become TLS has not reached the
    /// service.
    pub(crate) async fn attempt_by_tls(&self, tls: &TlsDialer, shape: &Shape, request: &[u8]) -> Attempted {
        let mut outcome_in_time = AttemptOutcome::Rejected(Rejection::Unreached);
        let exchange = timeout(self.timeout, self.exchange_by_tls(tls, shape, request, &mut outcome_in_time));
        let (outcome, answer) = match exchange.await {
            Ok(Ok((head, understood))) => answered(head, understood),
            Ok(Err(failed)) => failed.concluded(),
            Err(_) => (outcome_in_time, None),
        };
        Attempted { outcome, answer, at: Instant::now() }
    }

    /// `late` is what a lapse of time means at each moment.
    async fn exchange_by_tls(
        &self,
        tls: &TlsDialer,
        shape: &Shape,
        request: &[u8],
        late: &mut AttemptOutcome,
    ) -> Result<(ResponseHead, Understood), Failed> {
        let unreached = |error| AttemptOutcome::Rejected(rejection(&error));
        let socket = TcpStream::connect(self.proxy).await.map_err(unreached)?;
        socket.set_nodelay(true).map_err(unreached)?;
        let mut stream = tls.handshake(socket).await.map_err(|error| unreached(error.into()))?;
        *late = AttemptOutcome::Unknown(Uncertainty::Timeout);
        let written = async {
            stream.write_all(request).await?;
            stream.flush().await
        };
        written.await.map_err(|_| Failed::from(Uncertainty::Reset))?;
        read_response(shape, &mut stream).await
    }
}
