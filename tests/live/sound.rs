//! What holds for every report holds for those that the live tests read.

use hubwatch::report::Report;
use serde_json::Value;

use crate::invariants::broken;

/// The report, in which everything adds up.
pub(crate) fn sound(report: Value) -> Value {
    let read: Report = serde_json::from_value(report.clone()).unwrap();
    assert_eq!(broken(&read), Vec::<String>::new());
    report
}
