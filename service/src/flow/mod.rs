//! How a payment is made durable, around a provider that cannot take part in a transaction.
//!
//! 1. Transaction A stores what is about to be asked: key, payment, event, operation.
//! 2. The provider is asked, with the operation's id as its idempotency key.
//! 3. Transaction B stores the answer: payment, event, operation, transfer, outbox row, and the response for the key.
//!
//! Each transaction is one statement. A process may die at any point, and the operation of A says what is left to do:
//! [`Payments::look_up`] asks the provider what has become of it, and asks for it again if the provider knows nothing of it.
//! Because of the idempotency key, the provider carries it out once, whoever asks and how often.
//!
//! Whoever stores something about a payment does so for the version that they read. The second one reads again and decides
//! again.

pub mod response;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::domain::{
    Action, Answer, ApiKeyId, Fingerprint, Kind, NewPayment, Operation, OperationId, OperationState, Payment,
    PaymentId, Refusal, Settlement,
};
use crate::provider::{self, Found, NoAnswer, Provider};
use crate::store::{Earlier, Request, Store, StoreError, StoredResponse};

/// How often the provider is asked within the limit, if its answers are lost.
const PROVIDER_TRIES: u32 = 3;
/// How often a payment is read again because another request has changed it, before the client is asked to come back.
const MOVE_TRIES: u32 = 64;
/// The longest pause before that. Those who compete for a payment spread out over it.
const MOVE_PAUSE: Duration = Duration::from_millis(20);
/// In seconds: until an operation without an answer is looked up. Longer than a request usually takes, with repetitions of
/// its statements. Two that work on one operation ask for the same thing, and one of them books the answer.
const CHECK_AFTER: i32 = 60;
/// In seconds: the same for an operation whose answer has been waited for.
const CHECK_UNKNOWN_AFTER: i32 = 2;

/// How old a payment may be when it is submitted. The shop has given up, or sold the goods with another payment, long before:
/// a process or database that returns after days must not charge the customer.
const SUBMIT_WITHIN: SignedDuration = SignedDuration::from_hours(24);

#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("there is no such payment")]
    NotFound,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the payment has version {0} by now")]
    Changed(i32),
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("the first request with this idempotency key is still under way")]
    InProgress,
    #[error("too many requests change this payment at the same time")]
    Contended,
    #[error("the provider's answer to an operation contradicts what is stored")]
    Contradiction,
    #[error("the database belongs to the region `{0}`")]
    ForeignDatabase(String),
}

/// The answer to a client's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub response: StoredResponse,
    /// Whether it is the stored answer of an earlier request.
    pub is_replay: bool,
}

/// A move of an existing payment, as a client asks for it.
#[derive(Debug, Clone)]
pub struct Move {
    pub payment: PaymentId,
    pub action: Action,
    /// The only version that the client wants to change.
    pub version: Option<i32>,
}

pub struct Payments {
    pub store: Store,
    provider: Arc<dyn Provider>,
    /// How long the provider may take before the answer counts as unknown.
    provider_limit: Duration,
}

impl Payments {
    pub fn new(store: Store, provider: Arc<dyn Provider>, provider_limit: Duration) -> Self {
        Self { store, provider, provider_limit }
    }

    /// Makes a payment.
    pub async fn create(&self, request: &Request, new: NewPayment, by: ApiKeyId) -> Result<Reply, FlowError> {
        for _ in 0..MOVE_TRIES {
            let now = Timestamp::now();
            let (change, operation) = Payment::create(new.clone(), by, request.key.clone(), now);
            if self.store.create(request, &change, &operation, CHECK_AFTER).await? {
                return self.carry_out(request, change.payment, operation).await;
            }
            let (region, earlier) = self.store.earlier(request.account, &request.key, now).await?;
            match (region, earlier) {
                (region, _) if region.as_deref() != Some(&new.region) => {
                    return Err(FlowError::ForeignDatabase(region.unwrap_or_else(|| "none".to_owned())));
                }
                // The statement was repeated, and the first run had taken effect.
                (_, Some(earlier)) if earlier.operation == operation.id => {
                    return self.carry_out(request, change.payment, operation).await;
                }
                (_, Some(earlier)) => return replay(request.fingerprint, earlier),
                // The other request's transaction was not visible yet, or has failed.
                (_, None) => pause().await,
            }
        }
        Err(FlowError::InProgress)
    }

    /// Captures, voids or refunds a payment.
    pub async fn change(&self, request: &Request, wanted: &Move, by: ApiKeyId) -> Result<Reply, FlowError> {
        let mut begun: Option<Operation> = None;
        for _ in 0..MOVE_TRIES {
            let now = Timestamp::now();
            let found = self.store.before_move(request, wanted.payment, now).await?;
            let payment = found.payment.ok_or(FlowError::NotFound)?;
            match (found.earlier, begun.take()) {
                // As above.
                (Some(earlier), Some(operation)) if earlier.operation == operation.id => {
                    return self.carry_out(request, payment, operation).await;
                }
                (Some(earlier), _) => return replay(request.fingerprint, earlier),
                (None, _) => {}
            }
            if wanted.version.is_some_and(|version| version != payment.version) {
                return Err(FlowError::Changed(payment.version));
            }
            let (change, operation) = payment.begin(wanted.action, by, request.key.clone(), now)?;
            if self.store.begin(request, payment.version, &change, &operation, CHECK_AFTER).await? {
                return self.carry_out(request, change.payment, operation).await;
            }
            begun = Some(operation);
            pause().await;
        }
        Err(FlowError::Contended)
    }

    /// Finds out what has become of an operation that has no answer, and stores it. True if it has one now.
    pub async fn look_up(&self, id: OperationId) -> Result<bool, FlowError> {
        let (payment, operation) = self.store.before_settle(id).await?.ok_or(FlowError::NotFound)?;
        if !matches!(operation.state, OperationState::Pending | OperationState::Unknown) {
            return Ok(true);
        }
        let question = question(&payment, &operation);
        let found = tokio::time::timeout(self.provider_limit, self.provider.look_up(&question)).await;
        let answer = match found {
            Ok(Ok(Found::Answer(answer))) => answer,
            Ok(Ok(Found::Nothing)) if is_too_old(&operation, Timestamp::now()) => {
                Answer::Declined { code: "not_submitted_in_time".to_owned() }
            }
            Ok(Ok(Found::Nothing)) => self.ask(&question).await,
            Ok(Err(NoAnswer)) | Err(_) => Answer::Unknown,
        };
        let is_answered = answer != Answer::Unknown;
        self.settle(payment, operation, &answer).await?;
        Ok(is_answered)
    }

    /// Ends authorizations that can no longer be captured, at most `limit`. Gives how many.
    pub async fn expire(&self, limit: i64) -> Result<u64, FlowError> {
        let mut count = 0;
        for payment in self.store.expired(limit).await? {
            if let Some(change) = payment.expire(Timestamp::now())
                && self.store.expire(payment.version, &change).await?
            {
                count += 1;
            }
        }
        Ok(count)
    }

    async fn carry_out(
        &self,
        request: &Request,
        payment: Payment,
        operation: Operation,
    ) -> Result<Reply, FlowError> {
        let answer = self.ask(&question(&payment, &operation)).await;
        if let Some(response) = self.settle(payment, operation, &answer).await? {
            return Ok(Reply { response, is_replay: false });
        }
        // It has been settled by another process, or by the first run of a statement that was repeated.
        let (_, earlier) = self.store.earlier(request.account, &request.key, Timestamp::now()).await?;
        let response = earlier.and_then(|earlier| earlier.response).ok_or(FlowError::InProgress)?;
        Ok(Reply { response, is_replay: false })
    }

    /// Asks the provider, again if the answer is lost, until the limit.
    async fn ask(&self, question: &provider::Request) -> Answer {
        let asked = async {
            for _ in 0..PROVIDER_TRIES {
                if let Ok(answer) = self.provider.submit(question).await {
                    return answer;
                }
            }
            Answer::Unknown
        };
        tokio::time::timeout(self.provider_limit, asked).await.unwrap_or(Answer::Unknown)
    }

    /// Stores an answer. `None` if that was not needed: it is stored already, or says nothing new.
    ///
    /// Payment and operation are read by one statement: an operation changes only together with its payment's version, so
    /// the guard of the version covers both.
    async fn settle(
        &self,
        mut payment: Payment,
        mut operation: Operation,
        answer: &Answer,
    ) -> Result<Option<StoredResponse>, FlowError> {
        for _ in 0..MOVE_TRIES {
            let change = match payment.settle(&operation, answer, Timestamp::now()) {
                Settlement::Change(change) => change,
                Settlement::NoNews => return Ok(None),
                Settlement::Contradiction => {
                    tracing::error!(
                        payment = %payment.id, operation = %operation.id, ?answer,
                        "the provider's answer contradicts what is stored; fix: ask the provider, and correct the books"
                    );
                    return Err(FlowError::Contradiction);
                }
            };
            let response = response::settled(&change.payment, &operation, answer);
            let (version, check_after) = (payment.version, CHECK_UNKNOWN_AFTER);
            if self.store.settle(version, &change, &operation, answer, &response, check_after).await? {
                return Ok(Some(response));
            }
            pause().await;
            (payment, operation) =
                self.store.before_settle(operation.id).await?.ok_or(FlowError::NotFound)?;
        }
        Err(FlowError::Contended)
    }
}

fn is_too_old(operation: &Operation, now: Timestamp) -> bool {
    let begins = matches!(operation.kind, Kind::Authorize | Kind::Charge);
    begins && now.duration_since(operation.id.created_at()) > SUBMIT_WITHIN
}

fn question(payment: &Payment, operation: &Operation) -> provider::Request {
    provider::Request {
        operation: operation.id,
        kind: operation.kind,
        amount: payment.amount.with_minor(operation.amount),
        method: payment.method.clone(),
        reference: payment.reference.clone(),
    }
}

/// The answer to a request whose key is known.
fn replay(fingerprint: Fingerprint, earlier: Earlier) -> Result<Reply, FlowError> {
    if earlier.fingerprint != fingerprint {
        return Err(FlowError::KeyReused);
    }
    let response = earlier.response.ok_or(FlowError::InProgress)?;
    Ok(Reply { response, is_replay: true })
}

async fn pause() {
    tokio::time::sleep(rand::random_range(Duration::ZERO..MOVE_PAUSE)).await;
}
