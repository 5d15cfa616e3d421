//! Amendments: what is learned about a fact after it was sent becomes another fact, which refers to the first.

use std::collections::BTreeMap;

use super::fact::{Fact, FactKind, WatcherFact};
use super::ids::FactId;
use super::{Watch, When};

/// Gives each fact the best time that any of the Watches knows for it, and takes the amendments out of them.
pub fn amend(watches: &mut [Watch]) {
    let mut better: BTreeMap<FactId, When> = BTreeMap::new();
    for watch in watches.iter_mut() {
        watch.facts.retain(|fact| {
            let FactKind::Watcher(WatcherFact::FactAmended(amendment)) = &fact.kind else { return true };
            better
                .entry(amendment.fact)
                .and_modify(|when| *when = if fact.when.width() < when.width() { fact.when } else { *when })
                .or_insert(fact.when);
            false
        });
    }
    if better.is_empty() {
        return;
    }
    for fact in watches.iter_mut().flat_map(|watch| &mut watch.facts) {
        improve(fact, &better);
    }
}

fn improve(fact: &mut Fact, better: &BTreeMap<FactId, When>) {
    if let Some(when) = better.get(&fact.id).filter(|when| when.width() < fact.when.width()) {
        fact.when = *when;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{FactAmended, Timestamp};
    use super::*;

    proptest! {
        #[test]
        fn a_fact_gets_the_time_of_its_amendment_and_keeps_all_else(mut watch: Watch, mut fact: Fact, late: Watch, id: FactId) {
            prop_assume!(!matches!(fact.kind, FactKind::Watcher(WatcherFact::FactAmended(_))));
            fact.when = When::between(Timestamp::from_secs(1), Timestamp::from_secs(3));
            let exact = When::At(Timestamp::from_secs(2));
            watch.facts.retain(|other| other.id != fact.id);
            watch.facts.push(fact.clone());
            let mut late = Watch { facts: Vec::new(), ..late };
            late.facts.push(Fact { id, when: exact, source: fact.source, kind: FactAmended { fact: fact.id }.into() });
            let mut watches = [watch, late];
            amend(&mut watches);
            prop_assert!(watches[1].facts.is_empty());
            prop_assert_eq!(watches[0].facts.last(), Some(&Fact { when: exact, ..fact }));
        }
    }
}
