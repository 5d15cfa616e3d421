//! A client on the stage, and what it does.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::mcp::{Client, SessionId};

/// The notification that the tools changed.
const LIST_CHANGED: &str = "notifications/tools/list_changed";

/// A client. The hub's answers tell which tools it may use, call by call.
pub(super) struct Actor {
    /// What the scenario calls it: `A`, `B` …
    pub label: String,
    /// `None` once it has left.
    client: RefCell<Option<Rc<Client>>>,
    /// The categories that the hub returned to it, all calls together.
    returned: RefCell<BTreeSet<String>>,
}

impl Actor {
    /// A client that has just connected.
    pub(super) fn new(label: &str, client: Client) -> Self {
        Self { label: label.to_owned(), client: RefCell::new(Some(Rc::new(client))), returned: RefCell::default() }
    }

    /// Its session; `None` once it has left.
    pub(super) fn client(&self) -> Option<Rc<Client>> {
        self.client.borrow().clone()
    }

    /// Takes the client away, to close it. Nobody may be using it.
    pub(super) fn take(&self) -> Option<Client> {
        let client = self.client.borrow_mut().take()?;
        Rc::try_unwrap(client).ok()
    }

    /// Its session's id.
    pub(super) fn session(&self) -> Option<SessionId> {
        self.client()?.session().cloned()
    }

    /// Notes what the hub returned to it.
    pub(super) fn note_returned(&self, categories: &[String]) {
        self.returned.borrow_mut().extend(categories.iter().cloned());
    }

    /// What the hub returned to it so far.
    pub(super) fn returned(&self) -> BTreeSet<String> {
        self.returned.borrow().clone()
    }

    /// How many `notifications/tools/list_changed` came.
    pub(super) fn list_changes(&self) -> usize {
        self.notifications(|method| method == LIST_CHANGED)
    }

    /// How many notifications of other kinds came.
    pub(super) fn other_notifications(&self) -> usize {
        self.notifications(|method| method != LIST_CHANGED)
    }

    fn notifications(&self, wanted: impl Fn(&str) -> bool) -> usize {
        self.client().map_or(0, |client| client.notifications().iter().filter(|one| wanted(&one.method)).count())
    }
}
