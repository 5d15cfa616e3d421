//! The hub's log: what stands in it beside facts of other topics, and how it could be read.

use super::facts;
use crate::watch::names;
use crate::watch::quantity::{Bytes, Count, Timestamp};
use crate::watch::record::{record, terms};
use crate::watch::text::Text;

terms! {
    /// The level of a line.
    pub enum Level {
        /// `trace` and `debug`.
        Debug = "debug",
        /// `info`.
        Info = "info",
        /// `warn`.
        Warn = "warn",
        /// `error` and `fatal`.
        Error = "error",
    }
}

terms! {
    /// What lines of text claim and only the API, the process table or the event stream can confirm.
    pub enum ClaimKind {
        /// That the hub started.
        HubStart = "hub_start",
        /// That the hub stops or stopped.
        HubStop = "hub_stop",
        /// That a server changed.
        ServerChange = "server_change",
    }
}

terms! {
    /// Why a claim was not believed.
    pub enum ClaimRefusal {
        /// The line names another process than the hub's.
        OtherProcess = "other_process",
        /// The API shows the opposite.
        Contradicted = "contradicted",
        /// The hub's list has no such server.
        NotListed = "not_listed",
        /// Nothing confirmed it in time.
        Unconfirmed = "unconfirmed",
        /// The watch ended before anything could confirm it.
        Undecided = "undecided",
        /// More claims waited for confirmation than are kept.
        TooMany = "too_many",
    }
}

terms! {
    /// What shows that another hub writes into the log as well.
    pub enum SharedSign {
        /// Lines of another process.
        OtherProcess = "other_process",
        /// A start or stop that the watched hub's API contradicts.
        ForeignStart = "foreign_start",
    }
}

record! {
    /// The hub could not write its log.
    pub struct LogWriteFailed {
        /// What it says about it.
        pub error: Text = names::ERROR,
    }
}

record! {
    /// The same line again and again. It is collapsed: a few samples went out, the rest is this count.
    pub struct Storm {
        /// The line's text.
        pub line: Text = names::LINE,
        /// How often it came since the storm was last reported.
        pub count: Count = names::COUNT,
        /// How many bytes that was.
        pub bytes: Bytes = names::BYTES,
        /// The first of these lines.
        pub first: Timestamp = names::FIRST,
        /// The last of these lines.
        pub last: Timestamp = names::LAST,
        /// What such a storm is known to mean, if it is a known one.
        pub means: Option<Text> = names::MEANS,
    }
}

record! {
    /// Warnings or errors of one kind during the interval, grouped by their text with its numbers, ids and paths masked.
    pub struct Lines {
        /// Their level.
        pub level: Level = names::LEVEL,
        /// The masked text.
        pub template: Text = names::TEMPLATE,
        /// How many.
        pub count: Count = names::COUNT,
    }
}

record! {
    /// The log file was emptied: every hub does that to its legacy file when it starts.
    pub struct LogTruncated {
        /// Unread bytes that were in it, as far as it is known.
        pub bytes: Bytes = names::BYTES,
    }
}

record! {
    /// Another file stands under the log's name.
    pub struct LogReplaced {
        /// Its path.
        pub path: Text = names::PATH,
    }
}

record! {
    /// The log file can't be read.
    pub struct LogUnreadable {
        /// Its path.
        pub path: Text = names::PATH,
        /// Why.
        pub reason: Text = names::REASON,
    }
}

record! {
    /// Lines claimed that the watched hub or one of its servers started, stopped or changed, and the hub did not confirm it: another
    /// hub that writes the same log, or a server whose output looks like the hub's lines.
    pub struct ClaimsDropped {
        /// What they claimed.
        pub claim: ClaimKind = names::CLAIM,
        /// How many lines.
        pub count: Count = names::COUNT,
        /// Why they were not believed.
        pub refusal: ClaimRefusal = names::CLAIM_REFUSAL,
    }
}

record! {
    /// Another hub writes to the log, too: by default all hubs of a user write to the same file.
    pub struct LogShared {
        /// What shows it.
        pub sign: SharedSign = names::SHARED_SIGN,
        /// The other process, where its lines name it.
        pub pid: Option<u32> = names::PROCESS_PID,
    }
}

facts! {
    /// The hub's log: what stands in it beside facts of other topics, and how it could be read.
    pub enum LogFact in Log {
        LogWriteFailed = "mcphub.log.write_failed",
        Storm = "mcphub.log.storm",
        Lines = "mcphub.log.lines",
        LogTruncated = "mcphub.log.truncated",
        LogReplaced = "mcphub.log.replaced",
        LogUnreadable = "mcphub.log.unreadable",
        ClaimsDropped = "mcphub.log.claims_dropped",
        LogShared = "mcphub.log.shared",
    }
}
