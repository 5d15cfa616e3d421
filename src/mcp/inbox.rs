//! What came from the server: answers, matched with their requests; notifications; and what a client can't use.

use std::collections::HashMap;
use std::time::Instant;

use tokio::sync::oneshot;

use super::answer::Answer;
use super::error::{Ended, McpError};
use super::limits::Limits;
use super::message::{Outcome, Outgoing, PING, Received, RequestId, excerpt, read};
use super::transport::Incoming;

/// The beginning of a fault: enough to recognise the message.
const FAULT_START: usize = 200;

/// A notification of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// When the whole message had arrived.
    pub at: Instant,
    /// For example `notifications/tools/list_changed`.
    pub method: String,
    /// The exact JSON text of the whole message.
    pub raw: String,
}

/// Something from the server that a client can't use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// When it arrived.
    pub at: Instant,
    /// What is wrong.
    pub kind: FaultKind,
    /// The beginning of what came, at most 200 bytes, without control characters.
    pub start: String,
}

/// What is wrong with something that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// An answer whose id no request had, or one of another type.
    UnknownId,
    /// A second answer to a request, or one to a request that the server had refused.
    AnsweredTwice,
    /// Neither JSON-RPC 2.0 nor an answer that MCP knows.
    Unreadable,
    /// Larger than [`Limits::message_bytes`].
    TooLarge,
    /// A request of the server other than `ping`. It was answered with `-32601 Method not found`.
    ForeignRequest,
    /// An event of the stream that is neither a `message` nor the first `endpoint`.
    UnknownEvent,
}

/// A request whose answer has not come.
struct Pending {
    /// Taken when nobody waits any more.
    waiter: Option<oneshot::Sender<Result<Answer, McpError>>>,
    sent: Instant,
}

/// Everything that came in one session.
pub(super) struct Inbox {
    limits: Limits,
    last: u64,
    pending: HashMap<RequestId, Pending>,
    notifications: Vec<Notification>,
    notification_bytes: usize,
    notifications_dropped: u64,
    faults: Vec<Fault>,
    faults_dropped: u64,
    ended: Option<Ended>,
}

/// Where the answer to a request comes.
pub(super) type AnswerReceiver = oneshot::Receiver<Result<Answer, McpError>>;

impl Inbox {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            last: 0,
            pending: HashMap::new(),
            notifications: Vec::new(),
            notification_bytes: 0,
            notifications_dropped: 0,
            faults: Vec::new(),
            faults_dropped: 0,
            ended: None,
        }
    }

    /// Notes a request that is about to be sent.
    pub(super) fn begin(&mut self) -> Result<(RequestId, AnswerReceiver), McpError> {
        if self.pending.len() >= self.limits.outstanding {
            return Err(McpError::TooManyOutstanding { limit: self.limits.outstanding });
        }
        self.last += 1;
        let (waiter, answer) = oneshot::channel();
        self.pending.insert(RequestId(self.last), Pending { waiter: Some(waiter), sent: Instant::now() });
        Ok((RequestId(self.last), answer))
    }

    /// Notes that a request could not be posted. One that the server refused is not outstanding; one that broke off may have arrived.
    pub(super) fn not_posted(&mut self, id: RequestId, error: McpError) {
        let is_refused = matches!(error, McpError::Status { .. } | McpError::NotMcp { .. });
        if is_refused { self.resolve(id, Err(error)) } else { self.give_up(id, error) }
    }

    /// Notes what came. Returns the reply if the server asked something.
    pub(super) fn take(&mut self, incoming: Incoming) -> Option<Outgoing> {
        match incoming {
            Incoming::Message { bytes, at } => return self.message(bytes, at),
            Incoming::UnknownEvent { start, at } => self.fault(FaultKind::UnknownEvent, &start, at),
            Incoming::TooLarge { request, at } => self.too_large(request, at),
            Incoming::Unanswered { request, how } => self.give_up(request, McpError::Ended { how }),
            Incoming::Ended { how, is_for_answers } => self.end(how, is_for_answers),
        }
        None
    }

    /// Notes the end of the stream; the first one counts. Nobody waits any more for answers that would have come on it.
    pub(super) fn end(&mut self, how: Ended, is_for_answers: bool) {
        let how = self.ended.get_or_insert(how).clone();
        if is_for_answers {
            let waiters = self.pending.values_mut().filter_map(|pending| pending.waiter.take());
            waiters.for_each(|waiter| drop(waiter.send(Err(McpError::Ended { how: how.clone() }))));
        }
    }

    pub(super) fn outstanding(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    pub(super) fn notifications(&self) -> (&[Notification], u64) {
        (&self.notifications, self.notifications_dropped)
    }

    pub(super) fn faults(&self) -> (&[Fault], u64) {
        (&self.faults, self.faults_dropped)
    }

    fn message(&mut self, bytes: Vec<u8>, at: Instant) -> Option<Outgoing> {
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                self.fault(FaultKind::Unreadable, error.as_bytes(), at);
                return None;
            }
        };
        match read(&text) {
            Some(Received::Answer { id, outcome }) => self.answer(id, outcome, &text, at),
            Some(Received::Notification { method }) => {
                let method = method.into_owned();
                self.notify(Notification { at, method, raw: text });
            }
            Some(Received::Request { id, method }) => {
                if method != PING {
                    self.fault(FaultKind::ForeignRequest, text.as_bytes(), at);
                }
                return Some(Outgoing::reply(id, &method));
            }
            None => self.fault(FaultKind::Unreadable, text.as_bytes(), at),
        }
        None
    }

    fn answer(&mut self, id: Option<RequestId>, outcome: Outcome<'_>, text: &str, at: Instant) {
        let Some(id) = id.filter(|id| (1..=self.last).contains(&id.0)) else {
            return self.fault(FaultKind::UnknownId, text.as_bytes(), at);
        };
        let Some(pending) = self.pending.get(&id) else {
            return self.fault(FaultKind::AnsweredTwice, text.as_bytes(), at);
        };
        let Some(outcome) = outcome.read() else {
            return self.fault(FaultKind::Unreadable, text.as_bytes(), at);
        };
        let took = at.saturating_duration_since(pending.sent);
        self.resolve(id, Ok(Answer { outcome, raw: text.to_owned(), took, at }));
    }

    /// A message that is too large can't be read, so its id is not known. While only one request is outstanding, it is the answer to
    /// that one: notifications are small.
    fn too_large(&mut self, request: Option<RequestId>, at: Instant) {
        self.fault(FaultKind::TooLarge, b"", at);
        let only = (self.pending.len() == 1).then(|| self.pending.keys().next().copied()).flatten();
        if let Some(id) = request.or(only) {
            self.resolve(id, Err(McpError::TooLarge { what: "the answer".to_owned(), limit: self.limits.message_bytes }));
        }
    }

    /// The request is not outstanding any more. Its waiter may be gone.
    fn resolve(&mut self, id: RequestId, outcome: Result<Answer, McpError>) {
        if let Some(waiter) = self.pending.remove(&id).and_then(|pending| pending.waiter) {
            let _ = waiter.send(outcome);
        }
    }

    /// Nobody waits for the answer any more, but it may still come.
    fn give_up(&mut self, id: RequestId, error: McpError) {
        if let Some(waiter) = self.pending.get_mut(&id).and_then(|pending| pending.waiter.take()) {
            let _ = waiter.send(Err(error));
        }
    }

    fn notify(&mut self, notification: Notification) {
        let bytes = self.notification_bytes + notification.raw.len();
        if self.notifications.len() >= self.limits.notifications || bytes > self.limits.notification_bytes {
            self.notifications_dropped += 1;
            return;
        }
        self.notification_bytes = bytes;
        self.notifications.push(notification);
    }

    fn fault(&mut self, kind: FaultKind, bytes: &[u8], at: Instant) {
        if self.faults.len() >= self.limits.faults {
            self.faults_dropped += 1;
            return;
        }
        self.faults.push(Fault { at, kind, start: excerpt(bytes, FAULT_START) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox() -> Inbox {
        Inbox::new(Limits { notifications: 3, notification_bytes: 200, faults: 2, outstanding: 2, ..Limits::default() })
    }

    fn message(text: &str) -> Incoming {
        Incoming::Message { bytes: text.as_bytes().to_vec(), at: Instant::now() }
    }

    fn result(id: &str) -> Incoming {
        message(&format!(r#"{{"result":{{"of":{id}}},"jsonrpc":"2.0","id":{id}}}"#))
    }

    fn kinds(inbox: &Inbox) -> Vec<FaultKind> {
        inbox.faults().0.iter().map(|fault| fault.kind).collect()
    }

    #[test]
    fn the_first_answer_counts_and_the_second_is_a_fault() {
        let mut inbox = inbox();
        let (id, mut answer) = inbox.begin().unwrap();
        assert_eq!((id, inbox.outstanding()), (RequestId(1), 1));
        inbox.take(result("1"));
        inbox.take(message(r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"second"}}"#));
        let answer = answer.try_recv().unwrap().unwrap();
        assert_eq!(answer.raw, r#"{"result":{"of":1},"jsonrpc":"2.0","id":1}"#);
        assert_eq!((kinds(&inbox), inbox.outstanding()), (vec![FaultKind::AnsweredTwice], 0));
    }

    #[test]
    fn an_answer_with_a_wrong_id_leaves_its_request_outstanding() {
        let mut inbox = inbox();
        let (_, mut answer) = inbox.begin().unwrap();
        inbox.take(result("\"1\""));
        inbox.take(result("2"));
        assert!(answer.try_recv().is_err());
        assert_eq!((kinds(&inbox), inbox.outstanding()), (vec![FaultKind::UnknownId; 2], 1));
        inbox.take(result("0"));
        assert_eq!((inbox.faults().0.len(), inbox.faults().1), (2, 1));
    }

    #[test]
    fn a_request_that_nobody_awaits_any_more_is_outstanding_until_its_answer_comes() {
        let mut inbox = inbox();
        drop(inbox.begin().unwrap());
        let _second = inbox.begin().unwrap();
        assert!(matches!(inbox.begin(), Err(McpError::TooManyOutstanding { limit: 2 })));
        inbox.take(result("1"));
        assert_eq!((inbox.outstanding(), kinds(&inbox)), (1, vec![]));
    }

    #[test]
    fn a_refused_request_is_not_outstanding_and_one_that_broke_off_is() {
        let mut inbox = inbox();
        let (refused, mut first) = inbox.begin().unwrap();
        inbox.not_posted(refused, McpError::Status { status: 404, body: String::new() });
        assert!(matches!(first.try_recv().unwrap(), Err(McpError::Status { status: 404, .. })));
        let (broken, mut second) = inbox.begin().unwrap();
        inbox.not_posted(broken, McpError::Ended { how: Ended::Reset });
        assert!(matches!(second.try_recv().unwrap(), Err(McpError::Ended { how: Ended::Reset })));
        assert_eq!(inbox.outstanding(), 1);
    }

    #[test]
    fn a_message_that_is_too_large_is_the_answer_to_the_only_request() {
        let mut inbox = inbox();
        let at = Instant::now();
        let (_, mut only) = inbox.begin().unwrap();
        inbox.take(Incoming::TooLarge { request: None, at });
        assert!(matches!(only.try_recv().unwrap(), Err(McpError::TooLarge { .. })));
        let (_, mut one) = inbox.begin().unwrap();
        let (id, mut other) = inbox.begin().unwrap();
        inbox.take(Incoming::TooLarge { request: None, at });
        assert!(one.try_recv().is_err() && other.try_recv().is_err());
        inbox.take(Incoming::TooLarge { request: Some(id), at });
        assert!(matches!(other.try_recv().unwrap(), Err(McpError::TooLarge { .. })));
        assert_eq!(inbox.outstanding(), 1);
    }

    #[test]
    fn notifications_are_kept_within_number_and_size() {
        let mut inbox = inbox();
        let note = |pad: usize| message(&format!(r#"{{"jsonrpc":"2.0","method":"n","params":"{}"}}"#, "x".repeat(pad)));
        inbox.take(note(10));
        inbox.take(note(200));
        inbox.take(note(10));
        inbox.take(note(0));
        inbox.take(note(0));
        let (kept, dropped) = inbox.notifications();
        assert_eq!((kept.len(), dropped, kept[0].method.as_str()), (3, 2, "n"));
    }

    #[test]
    fn a_ping_is_answered_and_another_request_is_a_fault_too() {
        let mut inbox = inbox();
        let reply = inbox.take(message(r#"{"jsonrpc":"2.0","method":"ping","id":"p"}"#)).unwrap();
        assert_eq!((&reply.body[..], kinds(&inbox)), (&br#"{"jsonrpc":"2.0","id":"p","result":{}}"#[..], vec![]));
        assert!(inbox.take(message(r#"{"jsonrpc":"2.0","method":"roots/list","id":5}"#)).is_some());
        inbox.take(Incoming::Message { bytes: vec![0xff], at: Instant::now() });
        assert_eq!(kinds(&inbox), [FaultKind::ForeignRequest, FaultKind::Unreadable]);
    }

    #[test]
    fn the_first_end_counts_and_fails_those_who_wait_for_answers_on_the_stream() {
        let mut inbox = inbox();
        let (_, mut answer) = inbox.begin().unwrap();
        inbox.end(Ended::Reset, false);
        assert!(answer.try_recv().is_err());
        inbox.end(Ended::Ours(crate::mcp::Closing::Finish), true);
        assert!(matches!(answer.try_recv().unwrap(), Err(McpError::Ended { how: Ended::Reset })));
        assert_eq!((inbox.ended(), inbox.outstanding()), (Some(&Ended::Reset), 1));
    }
}
