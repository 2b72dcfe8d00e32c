//! Whatever clients, providers and reconciliation do, in whatever order, a payment keeps its invariants.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use strum::VariantArray;

use super::payment::Transfer;
use super::*;

/// Something that happens to a payment. Numbers choose among the operations that are open at that time.
#[derive(Debug, Clone)]
enum Happening {
    Capture(Option<i64>),
    Void,
    Refund(Option<i64>),
    Approved(usize),
    Declined(usize),
    NoAnswer(usize),
    /// The answer of an operation that has been settled arrives again.
    Again(usize),
    Expire,
    Wait(i64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let amount = || prop::option::of(1..=120_i64);
    prop_oneof![
        amount().prop_map(Happening::Capture),
        Just(Happening::Void),
        amount().prop_map(Happening::Refund),
        (0..4_usize).prop_map(Happening::Approved),
        (0..4_usize).prop_map(Happening::Approved),
        (0..4_usize).prop_map(Happening::Declined),
        (0..4_usize).prop_map(Happening::NoAnswer),
        (0..4_usize).prop_map(Happening::Again),
        Just(Happening::Expire),
        (1..100_i64).prop_map(Happening::Wait),
    ]
}

/// A payment and everything that was stored for it.
struct History {
    payment: Payment,
    events: Vec<Event>,
    transfers: Vec<Transfer>,
    open: Vec<Operation>,
    settled: Vec<(Operation, Answer)>,
    now: Timestamp,
}

impl History {
    fn new(capture_method: CaptureMethod) -> Self {
        let now = Timestamp::from_second(1_795_299_048).unwrap();
        let (change, operation) = Payment::create(new_payment(capture_method), ApiKeyId::new(), key(), now);
        let mut history = Self {
            payment: change.payment.clone(),
            events: Vec::new(),
            transfers: Vec::new(),
            open: vec![operation],
            settled: Vec::new(),
            now,
        };
        history.store(change);
        history
    }

    fn store(&mut self, change: Change) {
        self.payment = change.payment;
        self.events.push(change.event);
        self.transfers.extend(change.transfer);
    }

    fn begin(&mut self, action: Action) {
        if let Ok((change, operation)) = self.payment.begin(action, ApiKeyId::new(), key(), self.now) {
            self.store(change);
            self.open.push(operation);
        }
    }

    fn answer(&mut self, choice: usize, answer: Answer) {
        if self.open.is_empty() {
            return;
        }
        let at = choice % self.open.len();
        let mut operation = self.open[at].clone();
        let is_no_news = operation.state == OperationState::Unknown && answer == Answer::Unknown;
        match self.payment.settle(&operation, &answer, self.now) {
            Settlement::Change(change) if !is_no_news => self.store(*change),
            Settlement::NoNews if is_no_news => {}
            other => panic!("{other:?} of {operation:?} {answer:?} {:?}", self.payment.status),
        }
        operation.state = answer.state();
        if answer == Answer::Unknown {
            self.open[at] = operation;
        } else {
            self.open.remove(at);
            self.settled.push((operation, answer));
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Capture(amount) => self.begin(Action::Capture(amount)),
            Happening::Void => self.begin(Action::Void),
            Happening::Refund(amount) => self.begin(Action::Refund(amount)),
            Happening::Approved(choice) => {
                self.answer(choice, Answer::Approved { reference: "reference".to_owned() });
            }
            Happening::Declined(choice) => self.answer(choice, Answer::Declined { code: "code".to_owned() }),
            Happening::NoAnswer(choice) => self.answer(choice, Answer::Unknown),
            Happening::Again(choice) => {
                if let Some((operation, answer)) = self.settled.get(choice) {
                    assert_eq!(self.payment.settle(operation, answer, self.now), Settlement::NoNews);
                    let other = match answer {
                        Answer::Declined { .. } => Answer::Approved { reference: "another".to_owned() },
                        _ => Answer::Declined { code: "another".to_owned() },
                    };
                    let contradiction = self.payment.settle(operation, &other, self.now);
                    assert_eq!(contradiction, Settlement::Contradiction);
                }
            }
            Happening::Expire => {
                if let Some(change) = self.payment.expire(self.now) {
                    self.store(change);
                }
            }
            Happening::Wait(hours) => self.now += SignedDuration::from_hours(hours),
        }
    }

    fn check(&self) {
        let payment = &self.payment;
        let amounts = [payment.refunded, payment.refunding];
        assert!(amounts.iter().all(|amount| *amount >= 0), "{payment:?}");
        assert!(payment.refunded + payment.refunding <= payment.captured, "{payment:?}");
        assert!(payment.captured <= payment.amount.minor(), "{payment:?}");

        let open_refunds: i64 = self
            .open
            .iter()
            .filter(|operation| operation.kind == Kind::Refund)
            .map(|refund| refund.amount)
            .sum();
        assert_eq!(open_refunds, payment.refunding);
        let others = self.open.iter().filter(|operation| operation.kind != Kind::Refund).count();
        let is_busy =
            matches!(payment.status, Status::Created | Status::Capturing | Status::Voiding | Status::Unknown);
        assert_eq!(others, usize::from(is_busy), "{payment:?}");

        let merchant = format!("merchant:{}", payment.account);
        let balance: i64 = self
            .transfers
            .iter()
            .map(|transfer| if transfer.credit == merchant { transfer.amount } else { -transfer.amount })
            .sum();
        assert_eq!(balance, payment.captured - payment.refunded);

        let mut previous = Hash::NONE;
        for (event, sequence) in self.events.iter().zip(1..) {
            assert_eq!((event.payment, event.sequence), (payment.id, sequence));
            assert_eq!(event.hash, event.hash_after(previous));
            previous = event.hash;
        }
        assert_eq!(usize::try_from(payment.version), Ok(self.events.len()));
        assert_eq!(payment.head, previous);
    }
}

fn key() -> IdempotencyKey {
    IdempotencyKey::stored("a key".to_owned())
}

fn new_payment(capture_method: CaptureMethod) -> NewPayment {
    NewPayment {
        account: AccountId::new(),
        region: "eu-south-2".to_owned(),
        amount: Money::new(100, Currency::of_code("EUR").unwrap()).unwrap(),
        capture_method,
        method: PaymentMethod::new("pm_ok".to_owned()).unwrap(),
        customer: Some(Customer::new("a person".to_owned()).unwrap()),
        description: Some(Description::new("a person's shoes".to_owned()).unwrap()),
        metadata: Metadata::default(),
    }
}

proptest! {
    #[test]
    fn every_history_keeps_the_invariants(
        is_manual: bool,
        happenings in prop::collection::vec(happening(), 0..40),
    ) {
        let mut history =
            History::new(if is_manual { CaptureMethod::Manual } else { CaptureMethod::Automatic });
        history.check();
        for happening in happenings {
            history.happen(happening);
            history.check();
        }
        for event in &history.events {
            prop_assert!(!event.data.contains("person"), "{}", event.data);
        }
    }
}

/// Which moves each state admits. Every other one is refused.
#[test]
fn each_state_admits_exactly_these_moves() {
    let admits = |status: Status| -> &[&str] {
        match status {
            Status::Authorized => &["capture", "void"],
            Status::Captured | Status::PartiallyRefunded => &["refund"],
            _ => &[],
        }
    };
    for status in Status::VARIANTS {
        let mut history = History::new(CaptureMethod::Manual);
        history.payment.status = *status;
        // Something is left to refund, so that only the state can refuse it.
        history.payment.captured = 50;
        let moves =
            [("capture", Action::Capture(None)), ("void", Action::Void), ("refund", Action::Refund(Some(1)))];
        for (name, action) in moves {
            let outcome = history.payment.begin(action, ApiKeyId::new(), key(), history.now);
            assert_eq!(outcome.is_ok(), admits(*status).contains(&name), "{name} {status:?}");
            if let Err(refusal) = outcome {
                assert!(matches!(refusal, Refusal::State { .. }), "{refusal:?}");
            }
        }
    }
}

#[test]
fn an_authorization_can_be_captured_for_a_week() {
    let mut history = History::new(CaptureMethod::Manual);
    history.answer(0, Answer::Approved { reference: "reference".to_owned() });
    let until = history.payment.authorized_until.unwrap();
    assert_eq!(until, history.now + SignedDuration::from_hours(7 * 24));
    let before = until - SignedDuration::from_micros(1);
    let capture = |now| history.payment.begin(Action::Capture(None), ApiKeyId::new(), key(), now);
    assert!(capture(before).is_ok());
    assert_eq!(capture(until).unwrap_err(), Refusal::Expired { at: until });
    assert_eq!(history.payment.expire(before), None);
    assert_eq!(history.payment.expire(until).unwrap().payment.status, Status::Expired);
}
