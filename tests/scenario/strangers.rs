//! Programs that answer like a hub over HTTP and do anything but MCP: a clear verdict, in bounded time and memory.

use std::time::Duration;

use hubwatch::hub::client::HubClient;
use hubwatch::mcp::Endpoint;
use hubwatch::scenario::outcome::Played;
use hubwatch::scenario::{Scenario, Target};
use hubwatch::watch::{Environment, HubName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::command::Running;
use super::hub::{Hub, fork};
use super::play::{options, plays, signs, step};

/// What a program does where a hub opens its stream, or answers a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strange {
    /// It answers a page.
    Page,
    /// It accepts the connection and says nothing.
    Silent,
    /// It sends comments for ever, and no endpoint.
    Comments,
    /// It sends one line without an end.
    EndlessLine,
    /// It names an endpoint of somebody else.
    Foreign,
    /// It answers all messages with status 500.
    Refuses,
    /// It ends the stream after the handshake.
    Ends,
    /// Calls are answered with other ids.
    WrongIds,
    /// Calls are answered twice, with different categories.
    Twice,
    /// Calls are answered with so many bytes.
    Huge(usize),
    /// Calls are answered by what is no JSON-RPC.
    Garbage,
    /// Each call brings a flood of notifications before its answer.
    Flood,
}

const ALL: [Strange; 12] = [
    Strange::Page,
    Strange::Silent,
    Strange::Comments,
    Strange::EndlessLine,
    Strange::Foreign,
    Strange::Refuses,
    Strange::Ends,
    Strange::WrongIds,
    Strange::Twice,
    Strange::Huge(10_000_000),
    Strange::Garbage,
    Strange::Flood,
];

/// A program in front of a hub: what is not MCP is the hub's.
async fn strange(hub: &Hub, how: Strange) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let behind = hub.url.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        let (to, from) = unbounded_channel();
        let mut from = Some(from);
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (to, behind) = (to.clone(), behind.clone());
            // The stream of the first client that opens one gets the answers; the others get nothing.
            if let Some((head, stream)) = head(stream).await {
                let answers = if head.starts_with("GET /mcp") { from.take() } else { None };
                tokio::spawn(serve(how, head, stream, to, answers, behind));
            }
        }
    });
    url
}

/// Reads a request's head, with as much of its body as has come.
async fn head(mut stream: TcpStream) -> Option<(String, TcpStream)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_lowercase()
                .split("content-length: ")
                .nth(1)
                .map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
            if body.len() >= length {
                return Some((text, stream));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

async fn serve(
    how: Strange,
    request: String,
    mut stream: TcpStream,
    to: UnboundedSender<String>,
    answers: Option<UnboundedReceiver<String>>,
    behind: String,
) {
    if request.starts_with("GET /mcp") {
        open(how, stream, answers).await;
    } else if request.starts_with("POST /messages") {
        let message: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap_or_default();
        let refuses = how == Strange::Refuses;
        let status = if refuses { "500 Internal Server Error" } else { "202 Accepted" };
        let _ = stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes()).await;
        if !refuses {
            answer(how, &message, &to);
        }
    } else {
        // The hub's own answer, on a connection that ends with it.
        let Ok(mut hub) = TcpStream::connect(behind).await else { return };
        let (line, rest) = request.split_once("\r\n").unwrap();
        let _ = hub.write_all(format!("{line}\r\nConnection: close\r\n{rest}").as_bytes()).await;
        let _ = tokio::io::copy(&mut hub, &mut stream).await;
    }
}

async fn open(how: Strange, mut stream: TcpStream, answers: Option<UnboundedReceiver<String>>) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    let mut write = async |text: &str| stream.write_all(text.as_bytes()).await.is_ok();
    match how {
        Strange::Page => {
            write("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\nConnection: close\r\n\r\n<p/>").await;
        }
        Strange::Silent => tokio::time::sleep(Duration::from_secs(60)).await,
        Strange::Comments => {
            write(head).await;
            while write(": still here\n\n").await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Strange::EndlessLine => {
            write(head).await;
            let part = "x".repeat(64 * 1024);
            while write(&part).await {}
        }
        Strange::Foreign => {
            write(head).await;
            write("event: endpoint\ndata: http://192.0.2.1/messages?sessionId=1\n\n").await;
        }
        _ => {
            write(head).await;
            write("event: endpoint\ndata: /messages?sessionId=secret-1\n\n").await;
            let Some(mut answers) = answers else { return tokio::time::sleep(Duration::from_secs(60)).await };
            while let Some(answer) = answers.recv().await {
                if answer.is_empty() || !write(&answer).await {
                    return;
                }
            }
        }
    }
}

fn answer(how: Strange, message: &Value, to: &UnboundedSender<String>) {
    let event = |data: &str| drop(to.send(format!("event: message\ndata: {data}\n\n")));
    let result = |id: &Value, result: Value| event(&json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string());
    let categories = |category: &str| {
        let text = json!({"categories": [category], "reasoning": "so"}).to_string();
        json!({"content": [{"type": "text", "text": text}]})
    };
    let id = &message["id"];
    match message["method"].as_str() {
        Some("initialize") => result(id, json!({"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}})),
        Some("notifications/initialized") if how == Strange::Ends => drop(to.send(String::new())),
        Some("tools/call") => match how {
            Strange::WrongIds => result(&json!(id.as_u64().unwrap() + 1_000), categories("github")),
            Strange::Twice => {
                result(id, categories("github"));
                result(id, categories("filesystem"));
            }
            Strange::Huge(bytes) => {
                let text = "x".repeat(bytes);
                result(id, json!({"content": [{"type": "text", "text": text}]}));
            }
            Strange::Garbage => event("{\"id\": 1, categories"),
            Strange::Flood => {
                (0..20_000).for_each(|_| event(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#));
                result(id, categories("github"));
            }
            _ => {}
        },
        _ => {}
    }
}

async fn played(scenario: Scenario, how: Strange) -> Played {
    let hub = Hub::start(fork()).await;
    let url = strange(&hub, how).await;
    let target = Target {
        hub: HubClient::new(&url, &[], None).unwrap(),
        endpoint: Endpoint::new(&url, &[], None).unwrap(),
        name: HubName::parse("strange").unwrap(),
        environment: Environment::parse("staging").unwrap(),
        state_dir: hub.state_dir(),
        log: None,
        process: None,
    };
    let within = tokio::time::timeout(Duration::from_secs(30), plays(scenario, &target, &options())).await;
    within.unwrap_or_else(|_| panic!("{how:?} hangs")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_bad_answer_has_a_clear_verdict_and_an_end() {
    hubwatch::base::tls::choose_provider();
    let all = futures_util::future::join_all(ALL.map(|how| played(Scenario::MetaTool, how))).await;
    for (how, played) in ALL.into_iter().zip(&all) {
        let (wanted, id, part) = match how {
            Strange::Page => ("1- 2? 3? 4? 5? 6? 7? after+", "1", "not an MCP server: it answered text/html"),
            Strange::Silent => ("1- 2? 3? 4? 5? 6? 7? after+", "1", "no stream within 1 s"),
            Strange::Comments => ("1- 2? 3? 4? 5? 6? 7? after+", "1", "no endpoint event within 1 s"),
            Strange::EndlessLine => ("1- 2? 3? 4? 5? 6? 7? after+", "1", "the first event is larger than 4194304 bytes"),
            Strange::Foreign => ("1- 2? 3? 4? 5? 6? 7? after+", "1", "http://192.0.2.1"),
            Strange::Refuses => ("1- 2? 3? 4? 5? 6? 7? after+", "1", "HTTP status 500"),
            // The hub behind does not count the strange program's clients.
            Strange::Ends => ("1- 2- 3? 4? 5? 6? 7- after+", "2", "the server"),
            Strange::WrongIds => ("1- 2- 3? 4? 5? 6? 7- after+", "2", "no answer to tools/call within 1.5 s"),
            Strange::Twice => ("1- 2+ 3+ 4+ 5+ 6- 7- after+", "2", "github after"),
            Strange::Huge(_) => ("1- 2- 3? 4? 5? 6? 7- after+", "2", "larger than 4194304 bytes"),
            Strange::Garbage => ("1- 2- 3? 4? 5? 6? 7- after+", "2", "no answer to tools/call within 1.5 s"),
            Strange::Flood => ("1- 2+ 3+ 4+ 5+ 6+ 7- after+", "2", "github after"),
        };
        assert_eq!(signs(played), wanted, "{how:?}: {:#?}", played.steps);
        assert!(step(played, id).detail.contains(part), "{how:?}: {:?}", step(played, id));
    }
}

/// The most memory that a process had, in bytes.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(kilobytes.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_ends_with_a_failure_and_little_memory_whatever_it_is_sent() {
    let hub = Hub::start(fork()).await;
    for (how, arguments) in [
        (Strange::Page, ["meta_tool", "tools_usable"]),
        (Strange::EndlessLine, ["meta_tool", "meta_tool"]),
        (Strange::Huge(200_000_000), ["meta_tool", "meta_tool"]),
    ] {
        let url = strange(&hub, how).await;
        let mut command = hub.hubwatch(&["scenario", "run", "--hub", &url, "--format", "json"]);
        command.arg("--state-dir").arg(hub.state_dir()).args(arguments);
        let running = Running::start(command);
        let pid = running.process.id();
        let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let watched = ended.clone();
        let most = tokio::spawn(async move {
            let mut most = 0;
            while !watched.load(std::sync::atomic::Ordering::SeqCst) {
                most = most.max(peak(pid).unwrap_or(0));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            most
        });
        let said = tokio::time::timeout(Duration::from_secs(60), running.end()).await.unwrap_or_else(|_| panic!("{how:?} hangs"));
        ended.store(true, std::sync::atomic::Ordering::SeqCst);
        let most = most.await.unwrap();
        assert_eq!((said.code, &said.json()["verdict"]), (Some(1), &"fail".into()), "{how:?}: {}", said.stderr);
        // 200 MB of an answer are never there at once.
        assert!((1..100_000_000).contains(&most), "{how:?}: {most}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_dies_at_any_request_is_a_failure_in_little_time() {
    use hubwatch::simulator::Behaviour;
    hubwatch::base::tls::choose_provider();
    let one = |scenario: Scenario, request: u64| async move {
        let hub = Hub::start(super::hub::fork_that(Behaviour { dies_at_request: Some(request), ..Behaviour::default() })).await;
        let target = super::play::target(&hub);
        let within = tokio::time::timeout(Duration::from_secs(30), plays(scenario, &target, &options())).await;
        let played = within.unwrap_or_else(|_| panic!("{scenario} hangs when the hub dies at request {request}")).unwrap();
        if hub.mcp_requests() >= request {
            assert_eq!(step(&played, "after").verdict.as_str(), "fail", "{scenario} {request}: {:#?}", played.steps);
        }
        hub.mcp_requests()
    };
    let scenarios =
        [Scenario::SessionIsolation, Scenario::ConcurrentSessions, Scenario::HighLoad, Scenario::SseLost, Scenario::ToolsUsable];
    let pairs = scenarios.into_iter().flat_map(|scenario| (1..=30).step_by(3).map(move |request| (scenario, request)));
    let deaths = futures_util::future::join_all(pairs.map(|(scenario, request)| one(scenario, request))).await;
    assert!(deaths.chunks(10).all(|requests| requests.iter().any(|requests| *requests > 9)), "{deaths:?}");
}
