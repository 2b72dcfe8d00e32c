//! A provider that moves no money. The payment method says what it does:
//!
//! | token | |
//! |---|---|
//! | `pm_ok` | approves at once |
//! | `pm_declined` | declines the authorization or charge |
//! | `pm_later_declined` | approves an authorization or charge, and declines each capture, void, and refund |
//! | `pm_timeout` | carries everything out and never answers; a look-up gives the answer |
//! | `pm_slow_5s` | approves after five seconds |
//! | `pm_twice` | carries it out and loses the first answer; when it is asked again, it gives the same answer |
//!
//! Anything else is declined as unknown.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Found, NoAnswer, Provider, Reply, Request};
use crate::domain::{Answer, Kind, OperationId};

#[derive(Default)]
pub struct Simulated {
    /// Operations of `pm_twice` whose first answer was lost and that have not been asked for again.
    lost: Mutex<HashSet<OperationId>>,
}

impl Simulated {
    /// True for the first of two calls.
    fn loses_answer(&self, operation: OperationId) -> bool {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.remove(&operation) {
            return false;
        }
        lost.insert(operation)
    }

    async fn answer(&self, request: &Request) -> Result<Answer, NoAnswer> {
        tracing::debug!(
            operation = %request.operation,
            amount = %request.amount,
            reference = request.reference,
            "simulated provider"
        );
        match request.method.as_str() {
            "pm_timeout" => std::future::pending().await,
            "pm_slow_5s" => tokio::time::sleep(Duration::from_secs(5)).await,
            "pm_twice" if self.loses_answer(request.operation) => return Err(NoAnswer),
            _ => {}
        }
        Ok(verdict(request))
    }
}

impl Provider for Simulated {
    fn submit<'a>(&'a self, request: &'a Request) -> Reply<'a, Answer> {
        Box::pin(self.answer(request))
    }

    fn look_up<'a>(&'a self, request: &'a Request) -> Reply<'a, Found> {
        // It keeps no books. What is asked again is answered as the first time, except by `pm_timeout`.
        let found = match request.method.as_str() {
            "pm_timeout" => Found::Answer(verdict(request)),
            _ => Found::Nothing,
        };
        Box::pin(std::future::ready(Ok(found)))
    }
}

/// The same for each operation, however often it is asked for.
fn verdict(request: &Request) -> Answer {
    let declined = |code: &str| Answer::Declined { code: code.to_owned() };
    let is_new = matches!(request.kind, Kind::Authorize | Kind::Charge);
    match request.method.as_str() {
        "pm_declined" => declined("card_declined"),
        "pm_later_declined" if !is_new => declined("refused_by_provider"),
        "pm_ok" | "pm_later_declined" | "pm_timeout" | "pm_slow_5s" | "pm_twice" => {
            Answer::Approved { reference: format!("sim_{}", request.operation.0.simple()) }
        }
        _ => declined("unknown_payment_method"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Currency, Money, PaymentMethod};

    fn request(method: &str, kind: Kind) -> Request {
        Request {
            operation: OperationId::new(),
            kind,
            amount: Money::new(1000, Currency::of_code("EUR").unwrap()).unwrap(),
            method: PaymentMethod::new(method.to_owned()).unwrap(),
            reference: None,
        }
    }

    #[tokio::test]
    async fn an_operation_whose_answer_was_lost_is_answered_when_it_is_asked_again() {
        let provider = Simulated::default();
        let request = request("pm_twice", Kind::Charge);
        assert_eq!(provider.submit(&request).await, Err(NoAnswer));
        let answer = provider.submit(&request).await.unwrap();
        assert_eq!(answer, Answer::Approved { reference: format!("sim_{}", request.operation.0.simple()) });
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_without_an_answer_can_be_looked_up() {
        let provider = Simulated::default();
        let request = request("pm_timeout", Kind::Charge);
        assert!(tokio::time::timeout(Duration::from_hours(1), provider.submit(&request)).await.is_err());
        assert!(matches!(provider.look_up(&request).await, Ok(Found::Answer(Answer::Approved { .. }))));
    }

    #[tokio::test]
    async fn declined_methods_are_declined_with_their_reason() {
        let provider = Simulated::default();
        for (method, kind, code) in [
            ("pm_declined", Kind::Charge, "card_declined"),
            ("pm_later_declined", Kind::Refund, "refused_by_provider"),
            ("pm_other", Kind::Authorize, "unknown_payment_method"),
        ] {
            let answer = provider.submit(&request(method, kind)).await.unwrap();
            assert_eq!(answer, Answer::Declined { code: code.to_owned() }, "{method}");
        }
    }
}
