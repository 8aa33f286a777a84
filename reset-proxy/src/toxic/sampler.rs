//! Random numbers of toxics. Each is a function of seed, proxy, connection and toxic, so that a run can be repeated.

use std::sync::Arc;

use paylab_core::{
    fault::sampler::fraction,
    payment::{AttemptId, PaymentId},
};

/// The key of all random numbers of one connection.
#[derive(Debug, Clone)]
pub(crate) struct RandomKey {
    pub(crate) seed: u64,
    pub(crate) proxy: Arc<str>,
    /// The number of the connection at its proxy, from 0.
    pub(crate) connection: u64,
}

/// The random numbers of one toxic on one connection, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct ToxicSampler {
    seed: u64,
    connection: u64,
    /// Proxy and toxic.
    purpose: String,
    draws: u32,
}

impl RandomKey {
    pub(crate) fn sampler(&self, toxic: &str) -> ToxicSampler {
        let purpose = format!("{}/{toxic}", self.proxy);
        ToxicSampler { seed: self.seed, connection: self.connection, purpose, draws: 0 }
    }
}

impl ToxicSampler {
    /// Whether the connection has the toxic, which a share of `toxicity` of all connections has. The answer never changes
    /// while toxicity and name stay the same.
    pub(crate) fn has_toxic(&self, toxicity: f64) -> bool {
        self.number(0) < toxicity
    }

    /// The next number in `[0, 1)`.
    pub(crate) fn draw(&mut self) -> f64 {
        self.draws = self.draws.wrapping_add(1);
        self.number(self.draws)
    }

    fn number(&self, index: u32) -> f64 {
        let id = AttemptId { payment: PaymentId(self.connection), attempt: index };
        fraction(self.seed, id, &self.purpose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_are_a_function_of_seed_proxy_connection_and_toxic() {
        let key = |seed, proxy: &str, connection| RandomKey { seed, proxy: proxy.into(), connection };
        let draws = |key: RandomKey, toxic| {
            let mut sampler = key.sampler(toxic);
            [sampler.draw(), sampler.draw()].map(f64::to_bits)
        };
        let one = draws(key(1, "p", 1), "t");
        assert_eq!(one, draws(key(1, "p", 1), "t"));
        let others = [(key(2, "p", 1), "t"), (key(1, "q", 1), "t"), (key(1, "p", 2), "t"), (key(1, "p", 1), "u")];
        for (key, toxic) in others {
            assert_ne!(one, draws(key, toxic));
        }
        assert_ne!(one[0], one[1]);
    }
}
