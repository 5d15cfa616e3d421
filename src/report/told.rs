//! What the hub logged about the start of its servers and its background work, in sentences. No criterion depends on it.

use super::model::Report;
use super::words::minute;

/// Returns the sentences; none if the hub logged nothing of the kind.
pub(super) fn sentences(report: &Report) -> Vec<String> {
    let (hub, tools) = (&report.hub, &report.tools);
    let started = hub.servers_started.map(|started| {
        let (up, total, at) = (started.up, started.total, minute(started.at));
        format!("When the hub last logged the start of its servers ({at} UTC), {up} of {total} servers were up.")
    });
    let marketplace = repeated(
        "The hub could not read the marketplace's registry, and went on without it",
        tools.marketplace_failed,
        tools.last_marketplace_error.as_deref(),
    );
    let sorting = repeated(
        "The hub's LLM could not sort a tool into a category",
        tools.categorizations_failed,
        tools.last_categorization_error.as_deref(),
    );
    let readers = repeated("The hub lost a reader of its event stream", hub.subscribers_failed, None);
    [started, marketplace, sorting, readers].into_iter().flatten().collect()
}

fn repeated(what: &str, times: u64, error: Option<&str>) -> Option<String> {
    let times = match times {
        0 => return None,
        1 => "once".to_owned(),
        2.. => format!("{times} times"),
    };
    Some(error.map_or_else(|| format!("{what}: {times}."), |error| format!("{what}: {times}, the last time with: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_happened_is_not_told_and_an_error_is_quoted() {
        assert_eq!(repeated("It failed", 0, Some("no such host")), None);
        assert_eq!(repeated("It failed", 1, None).unwrap(), "It failed: once.");
        assert_eq!(repeated("It failed", 3, Some("no such host")).unwrap(), "It failed: 3 times, the last time with: no such host");
    }
}
