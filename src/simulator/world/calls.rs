//! Calls of the meta-tool `hub__analyze_prompt`, checkpoint by checkpoint.

use super::*;
use crate::simulator::behaviour::{Behaviour, Notifies};
use crate::simulator::hub::Call;
use crate::simulator::prompts::by_keyword;

const NO_CATEGORY_AFTER: Micros = Micros::new(500_000);
const HANDSHAKE_RETRY: Micros = Micros::new(50_000);
const CATEGORIES: &str = r#"["github","filesystem","web","docker","git","python","database","memory","vertex_ai","meta"]"#;
const FETCHING: &str = "[GoogleGenerativeAI Error]: Error fetching from https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent: ";

/// The result of a call.
struct Analysis {
    categories: Vec<String>,
    confidence: &'static str,
    reasoning: &'static str,
}

impl World {
    pub(super) fn analyze(&mut self, client: &str, gemini: Gemini) {
        let wanted: &[String] = if let Gemini::Answers { categories, .. } = &gemini { categories } else { &[] };
        let prompt = prompt_for(wanted).to_owned();
        let Some(session) = self.newest_session(client) else {
            self.analyze_after_handshake(client, gemini);
            return;
        };
        let id = self.next_call();
        self.call(CallRequest { id, session, prompt, gemini });
    }

    /// Starts a call. A client that is still in its handshake calls when it is done.
    fn analyze_after_handshake(&mut self, client: &str, gemini: Gemini) {
        let shaking = self.hub.as_ref().is_some_and(|hub| hub.clients.iter().any(|client| client.name.is_none()));
        if shaking {
            let step = Step::Analyze { client: client.to_owned(), gemini };
            self.later(HANDSHAKE_RETRY, Event::Step(step));
        }
    }

    pub(super) fn call(&mut self, request: CallRequest) {
        let now = self.now;
        let Some(hub) = &mut self.hub else { return };
        let Some(client) = hub.client(&request.session) else { return };
        if !self.profile.is_fork() {
            return;
        }
        let client = client.name.clone().unwrap_or_default();
        if self.profile.behaviour.session_isolation == Some(false) {
            // Known from the fork's behaviour, without its lines.
            self.shutdown(StopCause::OwnError);
            return;
        }
        hub.resources.work(9_000);
        let CallRequest { id, session, prompt, gemini } = request;
        hub.calls.push(Call { id, session, client, prompt, start: now, gemini_start: now, gemini });
        self.say_entry(id);
        self.ask_gemini(id, 1);
    }

    fn say_entry(&mut self, id: u64) {
        let Some(call) = self.call_of(id) else { return };
        let entry = session_fields(&call.session).text("prompt", &call.prompt).raw("hasContext", false);
        let calling = session_fields(&call.session).raw("validCategories", CATEGORIES);
        self.say(Saying::debug("CHECKPOINT 1: handleAnalyzePrompt entry").swapped(entry));
        let gemini_start = self.hub.as_ref().map_or(self.now, |hub| hub.busy_until);
        if let Some(call) = self.hub.as_mut().and_then(|hub| hub.calls.iter_mut().find(|call| call.id == id)) {
            call.gemini_start = gemini_start;
        }
        self.say(Saying::debug("CHECKPOINT 2: Calling analyzePromptWithFallback").swapped(calling));
    }

    fn call_of(&self, id: u64) -> Option<Call> {
        self.hub.as_ref()?.calls.iter().find(|call| call.id == id).cloned()
    }

    fn ask_gemini(&mut self, id: u64, round: u32) {
        let Some(call) = self.call_of(id) else { return };
        let after = match call.gemini {
            Gemini::Answers { after, .. } => after,
            Gemini::NoCategories => NO_CATEGORY_AFTER,
            Gemini::RateLimited | Gemini::KeyInvalid | Gemini::Fails => {
                let rounds = self.profile.gemini_rounds;
                self.about(rounds[(round as usize - 1).min(rounds.len() - 1)].get())
            }
            Gemini::Silent => return,
        };
        self.later(after, Event::GeminiRound { call: id, round });
    }

    pub(super) fn gemini_round(&mut self, id: u64, round: u32) {
        let Some(call) = self.call_of(id) else { return };
        match &call.gemini {
            Gemini::Answers { categories, .. } => {
                let analysis = Analysis { categories: categories.clone(), confidence: "0.93", reasoning: "stand-in" };
                self.finish_call(id, &analysis, false);
            }
            Gemini::NoCategories => {
                let analysis = Analysis { categories: Vec::new(), confidence: "0", reasoning: "No reasoning provided" };
                self.finish_call(id, &analysis, false);
            }
            Gemini::RateLimited => self.rate_limited(&call, round),
            Gemini::KeyInvalid => self.key_invalid(&call),
            Gemini::Fails => self.gemini_failed(&call),
            Gemini::Silent => {}
        }
    }

    fn rate_limited(&mut self, call: &Call, round: u32) {
        let error = format!("{FETCHING}[429 Too Many Requests] Resource has been exhausted (e.g. check quota).");
        let prompt = Fields::new().text("prompt", &call.prompt);
        self.say(Saying::warn("Gemini rate limit exceeded during prompt analysis").with(prompt));
        self.record(Happening::RateLimited { session: call.session.clone() });
        self.say(attempt_failed(round, &error));
        if (round as usize) < self.profile.gemini_rounds.len() {
            self.ask_gemini(call.id, round + 1);
            return;
        }
        if self.profile.behaviour.has_no_fallback {
            if let Some(call) = self.hub.as_mut().and_then(|hub| hub.take_call(call.id)) {
                let text = Fields::new().text("error", "Failed to analyze prompt").text("details", &error).object();
                self.outbox.push(Notice::Answered { call: call.id, text });
                self.call_ended(call, CallOutcome::NoCategories);
            }
            return;
        }
        let fields = Fields::new().text("error", &error);
        self.say(Saying::warn("LLM analysis failed, using heuristic fallback").swapped(fields));
        if self.profile.behaviour.tells_of_fallback {
            self.outbox.push(Notice::FellBack { session: call.session.clone() });
        }
        let reasoning = "Determined via keyword matching (LLM unavailable)";
        let analysis = Analysis { categories: by_keyword(&call.prompt), confidence: "0.6", reasoning };
        self.finish_call(call.id, &analysis, true);
    }

    fn key_invalid(&mut self, call: &Call) {
        let fields = Fields::new().text("prompt", &call.prompt);
        let text = "Gemini API key invalid during prompt analysis".to_owned();
        let reason = "[400 Bad Request] API key not valid. Please pass a valid API key. [{\"reason\":\"API_KEY_INVALID\"}]";
        self.fatal_error(call, Saying::text_as_code(text, fields), &format!("{FETCHING}{reason}"), CallOutcome::KeyInvalid);
    }

    fn gemini_failed(&mut self, call: &Call) {
        let error = format!("{FETCHING}[500 Internal Server Error] An internal error has occurred.");
        let stack = format!("Error: {error}\n    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)");
        let fields = Fields::new().text("error", &stack).text("prompt", &call.prompt);
        let saying = Saying::text_as_code(format!("Gemini prompt analysis failed: {error}"), fields);
        self.fatal_error(call, saying, &error, CallOutcome::GeminiFailed);
    }

    /// Calls the fork's error helper with its default: it logs, and sends its own process SIGTERM.
    fn fatal_error(&mut self, call: &Call, saying: Saying, error: &str, outcome: CallOutcome) {
        self.say(saying);
        self.shutdown(StopCause::OwnError);
        // The retry loop notices it only when the sessions are being closed.
        self.say_later(Micros::new(40_000), attempt_failed(1, error));
        if let Some(call) = self.hub.as_mut().and_then(|hub| hub.take_call(call.id)) {
            self.call_ended(call, outcome);
        }
    }

    fn finish_call(&mut self, id: u64, analysis: &Analysis, fell_back: bool) {
        let Some(call) = self.hub.as_mut().and_then(|hub| hub.take_call(id)) else { return };
        let session = call.session.as_str();
        let complete = session_fields(session).texts("categories", &analysis.categories).raw("confidence", analysis.confidence);
        self.say(Saying::debug("CHECKPOINT 3: LLM analysis complete").swapped(complete));
        let Some(notified) = self.update_tools(session, analysis) else {
            self.call_ended(call, CallOutcome::SessionGone);
            return;
        };
        let response = response_json(analysis);
        let fields = session_fields(session).raw("response", &response);
        self.say(Saying::debug("CHECKPOINT 6: Returning success response").swapped(fields));
        self.outbox.push(Notice::Answered { call: id, text: response });
        let outcome = match (analysis.categories.is_empty(), fell_back) {
            (true, _) => CallOutcome::NoCategories,
            (false, true) => CallOutcome::FellBack { notified },
            (false, false) => CallOutcome::Answered { notified },
        };
        self.call_ended(call, outcome);
    }

    /// Runs checkpoints 4 and 5. Returns whether the client was notified; `None` if its session is gone, which makes the hub stop
    /// itself.
    fn update_tools(&mut self, session: &str, analysis: &Analysis) -> Option<bool> {
        if analysis.categories.is_empty() {
            let found = Fields::new()
                .texts("categories", &analysis.categories)
                .raw("confidence", analysis.confidence)
                .text("reasoning", analysis.reasoning);
            let fields = session_fields(session).raw("analysis", found.object());
            self.say(Saying::warn("No categories identified by LLM analysis").swapped(fields));
            return Some(false);
        }
        let updating = session_fields(session).texts("categories", &analysis.categories);
        self.say(Saying::debug("CHECKPOINT 4: Updating client tools").swapped(updating));
        if self.hub.as_ref().is_none_or(|hub| hub.client(session).is_none()) {
            self.session_missing(session);
            return None;
        }
        let notified = self.expose(session, &analysis.categories);
        self.say(Saying::debug("CHECKPOINT 5: Client tools updated").swapped(session_fields(session)));
        Some(notified)
    }

    /// Logs that the session is missing, as in the fork's public source; no recording has it.
    fn session_missing(&mut self, session: &str) {
        let error = format!("Session {session} not found");
        let stack =
            format!("Error: {error}\n    at MCPServerEndpoint.updateClientTools (file:///srv/mcp-hub/src/mcp/server.js:299:13)");
        let fields = session_fields(session).text("error", &error).text("stack", &stack);
        self.say(Saying::warn("Attempted to update tools for non-existent session").swapped(session_fields(session)));
        if self.profile.behaviour.survives_leaving {
            return;
        }
        self.say(Saying::data_as_code("CHECKPOINT 7: Error in analyze_prompt meta-tool", fields));
        self.shutdown(StopCause::OwnError);
    }

    /// Exposes more categories to a client. Returns true if the client was notified.
    pub(super) fn expose(&mut self, session: &str, categories: &[String]) -> bool {
        let Some(client) = self.hub.as_mut().and_then(|hub| hub.client_mut(session)) else { return false };
        let (known, added): (Vec<String>, Vec<String>) =
            categories.iter().cloned().partition(|category| client.exposed.contains(category));
        let before = client.exposed.len();
        client.exposed.extend(added.iter().cloned());
        let total = client.exposed.clone();
        self.leaked.extend(added.iter().cloned());
        let accumulating = session_fields(session)
            .text("mode", "additive")
            .texts("requestedCategories", categories)
            .texts("addedCategories", &added)
            .texts("alreadyExposed", &known);
        let updated = session_fields(session)
            .text("mode", "additive")
            .texts("addedCategories", &added)
            .texts("totalCategories", &total)
            .raw("previousSize", before)
            .raw("newSize", total.len())
            .raw("changed", !added.is_empty());
        self.say(Saying::debug("Additive mode: accumulating categories").swapped(accumulating));
        self.say(Saying::info("Updated client tool exposure").swapped(updated));
        self.notify(session, &added)
    }

    fn notify(&mut self, session: &str, added: &[String]) -> bool {
        if added.is_empty() {
            self.say(Saying::debug("No new categories added, skipping notification").swapped(session_fields(session)));
            return false;
        }
        let sent =
            session_fields(session).texts("addedCategories", added).text("mode", "additive").raw("categoriesCount", added.len());
        self.say(Saying::info("Sent tools/list_changed notification to client").swapped(sent));
        self.notify_of_exposure(session);
        true
    }

    fn notify_of_exposure(&mut self, session: &str) {
        let to_caller = Notice::ToolsChanged { session: session.to_owned() };
        match self.profile.behaviour.notifies {
            Notifies::Caller => self.outbox.push(to_caller),
            Notifies::CallerTwice => self.outbox.extend([to_caller.clone(), to_caller]),
            Notifies::Everybody => self.notify_everybody(),
            Notifies::Nobody => {}
        }
    }

    /// Notifies all clients that tools changed.
    pub(super) fn notify_everybody(&mut self) {
        let clients = self.hub.iter().flat_map(|hub| &hub.clients);
        self.outbox.extend(clients.map(|client| Notice::ToolsChanged { session: client.session.clone() }));
    }

    /// Returns whether a client may use the tools of a category. The npm hub filters nothing.
    pub(in crate::simulator) fn exposes(&self, session: &str, category: &str) -> bool {
        let Behaviour { exposes_nothing, leaks_exposure, default_exposure, .. } = &self.profile.behaviour;
        if !self.profile.is_fork() || default_exposure.iter().any(|default| default == category) {
            return true;
        }
        if *exposes_nothing {
            return false;
        }
        let client = self.hub.as_ref().and_then(|hub| hub.client(session));
        let chose = client.is_some_and(|client| client.exposed.iter().any(|exposed| exposed == category));
        chose || (*leaks_exposure && self.leaked.contains(category))
    }

    pub(super) fn call_ended(&mut self, call: Call, outcome: CallOutcome) {
        let end = self.hub.as_ref().map_or(self.now, |hub| hub.busy_until.max(self.now));
        self.record(Happening::CallEnded {
            session: call.session,
            client: call.client,
            start: call.start,
            end,
            outcome,
            gemini_us: self.now.since(call.gemini_start),
        });
    }
}

fn session_fields(session: &str) -> Fields {
    Fields::new().text("sessionId", session)
}

fn attempt_failed(round: u32, error: &str) -> Saying {
    Saying::warn("LLM analysis attempt failed").swapped(Fields::new().raw("attempt", round).text("error", error))
}

fn response_json(analysis: &Analysis) -> String {
    Fields::new()
        .texts("categories", &analysis.categories)
        .raw("confidence", analysis.confidence)
        .text("reasoning", analysis.reasoning)
        .text("message", &format!("Updated tool exposure: {}", analysis.categories.join(", ")))
        .text("nextStep", "Tools list has been updated. Proceed with your request using the newly available tools.")
        .object()
}
