//! `/v1/payments` and what is below it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::V1;
use super::input::{self, Caller};
use super::problem::{self, Problem};
use crate::domain::{
    Action, AmountError, CaptureMethod, Currency, Customer, Description, Event, FieldError, Fingerprint,
    Hash, Metadata, Money, NewPayment, OperationId, Payment, PaymentId, PaymentMethod, Scope, Status,
    contains_card_number,
};
use crate::flow::response::{PaymentBody, RefundBody, to_json};
use crate::flow::{FlowError, Move, Reply};
use crate::store::{self, Filter};

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const DEFAULT_LIMIT: i64 = 10;
const MAX_LIMIT: i64 = 100;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct NewPaymentBody {
    /// In minor units.
    amount: i64,
    currency: String,
    payment_method: String,
    #[serde(default, skip_serializing_if = "Capture::is_automatic")]
    capture: Capture,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

impl NewPaymentBody {
    /// Of what is asked for. What is missing is left out, also by later releases with more fields: a request that is
    /// repeated during a rollout, or a day later, has the same fingerprint.
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of("POST /v1/payments", to_json(self).as_bytes())
    }
}

#[derive(Deserialize, Serialize, Default, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Capture {
    #[default]
    Automatic,
    Manual,
}

impl Capture {
    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_automatic(&self) -> bool {
        matches!(self, Self::Automatic)
    }
}

/// The body of a capture or refund. Without an amount: all of what is left.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct AmountBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<i64>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct EmptyBody {}

pub async fn create(
    State(v1): State<Arc<V1>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let credential = caller.with(Scope::PaymentsWrite)?.clone();
    let key = input::idempotency_key(request.headers())?;
    let mut body: NewPaymentBody = input::json(request).await?;
    // The same request, said in another way.
    body.region.take_if(|region| *region == v1.region);
    let request = store::Request { account: credential.account, key, fingerprint: body.fingerprint() };
    let new = new_payment(&v1, &request, body)?;
    let payments = Arc::clone(&v1.payments);
    let reply = finish(&v1, async move { payments.create(&request, new, credential.key).await }).await?;
    Ok(answer(reply))
}

fn new_payment(v1: &V1, request: &store::Request, body: NewPaymentBody) -> Result<NewPayment, Problem> {
    if let Some(region) = body.region {
        if contains_card_number(&region) {
            return Err(Problem::card_number("region"));
        }
        return Err(Problem::region(&region, &v1.region));
    }
    let currency =
        Currency::of_code(&body.currency).map_err(|error| Problem::invalid("currency", error.to_string()))?;
    let amount = Money::new(body.amount, currency)
        .map_err(|error: AmountError| Problem::invalid("amount", error.to_string()))?;
    let method = body.payment_method;
    if contains_card_number(&method) {
        return Err(Problem::card_number("payment_method"));
    }
    let method = PaymentMethod::new(method).ok_or_else(|| {
        let detail = "must be a token of the payment provider, which starts with `pm_`";
        Problem::invalid("payment_method", detail)
    })?;
    Ok(NewPayment {
        account: request.account,
        region: v1.region.clone(),
        amount,
        capture_method: match body.capture {
            Capture::Automatic => CaptureMethod::Automatic,
            Capture::Manual => CaptureMethod::Manual,
        },
        method,
        customer: body.customer.map(Customer::new).transpose().map_err(|error| field("customer", error))?,
        description: body
            .description
            .map(Description::new)
            .transpose()
            .map_err(|error| field("description", error))?,
        metadata: Metadata::new(body.metadata).map_err(|error| field("metadata", error))?,
    })
}

fn field(param: &str, error: FieldError) -> Problem {
    match error {
        FieldError::CardNumber => Problem::card_number(param),
        other => Problem::invalid(param, other.to_string()),
    }
}

/// A request to move a payment.
type Asked = (State<Arc<V1>>, Caller, Path<String>, Request);

pub async fn capture(asked: Asked) -> Result<Response, Problem> {
    change(asked, Scope::PaymentsWrite, "capture", |body: &AmountBody| Action::Capture(body.amount)).await
}

pub async fn void(asked: Asked) -> Result<Response, Problem> {
    change(asked, Scope::PaymentsWrite, "void", |_: &EmptyBody| Action::Void).await
}

pub async fn refund(asked: Asked) -> Result<Response, Problem> {
    change(asked, Scope::RefundsWrite, "refunds", |body: &AmountBody| Action::Refund(body.amount)).await
}

async fn change<B: for<'de> Deserialize<'de> + Serialize>(
    (State(v1), caller, Path(id), request): Asked,
    scope: Scope,
    route: &str,
    action: fn(&B) -> Action,
) -> Result<Response, Problem> {
    let credential = caller.with(scope)?.clone();
    let payment = payment_id(&id)?;
    let key = input::idempotency_key(request.headers())?;
    let version = input::version(request.headers())?;
    let body: B = input::json(request).await?;
    let operation = format!("POST /v1/payments/{payment}/{route}");
    let fingerprint = Fingerprint::of(&operation, to_json(&body).as_bytes());
    let request = store::Request { account: credential.account, key, fingerprint };
    let wanted = Move { payment, action: action(&body), version };
    let payments = Arc::clone(&v1.payments);
    let reply = finish(&v1, async move { payments.change(&request, &wanted, credential.key).await }).await?;
    Ok(answer(reply))
}

/// Finishes `work` also when the client goes away: otherwise the client could not know what has become of it.
async fn finish(
    v1: &V1,
    work: impl Future<Output = Result<Reply, FlowError>> + Send + 'static,
) -> Result<Reply, Problem> {
    match v1.platform.lifecycle.work.spawn(work).await {
        Ok(outcome) => outcome.map_err(Problem::from),
        Err(error) => match error.try_into_panic() {
            // Answered as a panic of this handler would be.
            Ok(panic) => std::panic::resume_unwind(panic),
            // Cancelled, which happens only when the process ends.
            Err(_) => Err(Problem::unavailable()),
        },
    }
}

fn answer(reply: Reply) -> Response {
    /// What headers repeat from the body.
    #[derive(Deserialize)]
    struct Named {
        id: Option<String>,
        object: Option<String>,
        version: Option<i32>,
    }
    let status = StatusCode::from_u16(reply.response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let named: Option<Named> = serde_json::from_str(&reply.response.body).ok();
    let mut response = if status.is_success() {
        (status, [(CONTENT_TYPE, JSON)], reply.response.body).into_response()
    } else {
        problem::stored(status, reply.response.body)
    };
    let headers = response.headers_mut();
    if let Some(Named { id: Some(id), object: Some(object), version }) = named
        && object == "payment"
    {
        headers.extend(version.map(|version| (ETAG, etag(version))));
        let location = HeaderValue::try_from(format!("/v1/payments/{id}")).ok();
        headers.extend(location.filter(|_| status != StatusCode::OK).map(|location| (LOCATION, location)));
    }
    if reply.is_replay {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn etag(version: i32) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

pub async fn one(
    State(v1): State<Arc<V1>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let payment = find(&v1, &caller, &id).await?;
    let headers = [(CONTENT_TYPE, JSON), (ETAG, etag(payment.version))];
    Ok((headers, to_json(&PaymentBody::from(&payment))).into_response())
}

async fn find(v1: &V1, caller: &Caller, id: &str) -> Result<Payment, Problem> {
    let credential = caller.with(Scope::PaymentsRead)?;
    let payment = v1.payments.store.payment(payment_id(id)?).await.map_err(FlowError::from)?;
    // A payment of another account does not exist for this one.
    payment.filter(|payment| payment.account == credential.account).ok_or_else(|| FlowError::NotFound.into())
}

fn payment_id(text: &str) -> Result<PaymentId, Problem> {
    text.parse().map_err(|_| FlowError::NotFound.into())
}

/// A page of a list. `next` is what `after` has to be for the next one.
#[derive(Serialize)]
struct Page<T> {
    object: &'static str,
    data: Vec<T>,
    has_more: bool,
    next: Option<String>,
}

impl<T> Page<T> {
    /// Of `items`, which were asked for with one more than `limit`.
    fn new<I>(mut items: Vec<I>, limit: i64, cursor: fn(&I) -> String, body: impl Fn(I) -> T) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(cursor);
        Self { object: "list", data: items.into_iter().map(body).collect(), has_more, next }
    }
}

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, JSON)], to_json(&self)).into_response()
    }
}

pub async fn list(
    State(v1): State<Arc<V1>>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let account = caller.with(Scope::PaymentsRead)?.account;
    let mut filter = Filter::default();
    let mut limit = DEFAULT_LIMIT;
    for (name, value) in parameters(query.as_deref())? {
        match name.as_str() {
            "limit" => limit = page_limit(&value)?,
            "after" => filter.after = Some(value.parse().map_err(|_| not_a_cursor())?),
            "customer" => {
                let customer = Customer::new(value).map_err(|error| field("customer", error))?;
                filter.customer = Some(customer.as_str().to_owned());
            }
            "status" => {
                let status: Status =
                    value.parse().map_err(|_| Problem::invalid("status", "must be a status of a payment"))?;
                filter.status = Some(status);
            }
            "created_from" => filter.created_from = Some(time("created_from", &value)?),
            "created_before" => filter.created_before = Some(time("created_before", &value)?),
            _ => return Err(unknown_parameter()),
        }
    }
    let payments = v1.payments.store.payments(account, &filter, limit + 1).await.map_err(FlowError::from)?;
    let page = Page::new(
        payments,
        limit,
        |payment| payment.id.to_string(),
        |payment| raw(&PaymentBody::from(&payment)),
    );
    Ok(page.into_response())
}

#[derive(Serialize)]
struct EventBody {
    object: &'static str,
    sequence: i32,
    r#type: String,
    at: Timestamp,
    data: Box<RawValue>,
    hash: Hash,
}

impl From<Event> for EventBody {
    fn from(event: Event) -> Self {
        let data = RawValue::from_string(event.data).unwrap_or_else(|_| RawValue::NULL.to_owned());
        Self {
            object: "event",
            sequence: event.sequence,
            r#type: event.kind,
            at: event.at,
            data,
            hash: event.hash,
        }
    }
}

pub async fn events(
    State(v1): State<Arc<V1>>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let payment = find(&v1, &caller, &id).await?;
    let (mut after, mut limit) = (0, DEFAULT_LIMIT);
    for (name, value) in parameters(query.as_deref())? {
        match name.as_str() {
            "limit" => limit = page_limit(&value)?,
            "after" => after = sequence(&value)?,
            _ => return Err(unknown_parameter()),
        }
    }
    let events = v1.payments.store.events(payment.id, after, limit + 1).await.map_err(FlowError::from)?;
    let page = Page::new(events, limit, |event| event.sequence.to_string(), EventBody::from);
    Ok(page.into_response())
}

pub async fn refunds(
    State(v1): State<Arc<V1>>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let payment = find(&v1, &caller, &id).await?;
    let (mut after, mut limit) = (None, DEFAULT_LIMIT);
    for (name, value) in parameters(query.as_deref())? {
        match name.as_str() {
            "limit" => limit = page_limit(&value)?,
            "after" => {
                let id: OperationId = value.replacen("re_", "op_", 1).parse().map_err(|_| not_a_cursor())?;
                after = Some(id);
            }
            _ => return Err(unknown_parameter()),
        }
    }
    let refunds = v1.payments.store.refunds(payment.id, after, limit + 1).await.map_err(FlowError::from)?;
    let cursor = |refund: &store::StoredOperation| format!("re_{}", refund.operation.id.0.simple());
    let page = Page::new(refunds, limit, cursor, |refund| raw(&RefundBody::of(&refund, &payment)));
    Ok(page.into_response())
}

/// JSON that a page contains as it is.
fn raw(body: &impl Serialize) -> Box<RawValue> {
    RawValue::from_string(to_json(body)).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// The parameters of a query, decoded. None occurs twice.
fn parameters(query: Option<&str>) -> Result<Vec<(String, String)>, Problem> {
    let parameters: Vec<_> =
        form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    let mut names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Problem::malformed("the query has a parameter twice"));
    }
    Ok(parameters)
}

fn page_limit(value: &str) -> Result<i64, Problem> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
    let limit = value.parse().ok().filter(|limit| is_plain && (1..=MAX_LIMIT).contains(limit));
    limit.ok_or_else(|| Problem::invalid("limit", format!("must be a number between 1 and {MAX_LIMIT}")))
}

fn time(param: &str, value: &str) -> Result<Timestamp, Problem> {
    value
        .parse()
        .map_err(|_| Problem::invalid(param, "must be a time of RFC 3339, such as 2026-11-30T22:00:00Z"))
}

/// The number of an event.
fn sequence(value: &str) -> Result<i32, Problem> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|_| is_plain).ok_or_else(not_a_cursor)
}

fn not_a_cursor() -> Problem {
    Problem::invalid("after", "must be `next` of the page before")
}

fn unknown_parameter() -> Problem {
    Problem::malformed("the query has an unknown parameter")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_of_a_request_is_the_same_in_every_release() {
        let body: NewPaymentBody =
            serde_json::from_str(r#"{"payment_method":"pm_ok","currency":"EUR","amount":1050}"#).unwrap();
        let pinned = r#"{"amount":1050,"currency":"EUR","payment_method":"pm_ok"}"#;
        assert_eq!(body.fingerprint(), Fingerprint::of("POST /v1/payments", pinned.as_bytes()));
        let with_defaults: NewPaymentBody = serde_json::from_str(
            r#"{"amount":1050,"currency":"EUR","payment_method":"pm_ok","capture":"automatic","metadata":{}}"#,
        )
        .unwrap();
        assert_eq!(with_defaults.fingerprint(), body.fingerprint());
    }
}
