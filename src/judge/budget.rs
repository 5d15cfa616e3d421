//! What the hub's LLM may use, and what that costs: the strategy's "token usage remains within budget".

use serde::{Deserialize, Serialize};

use super::rules::RuleError;

/// `[budget]`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetEntry {
    /// So many tokens a day, prompts and answers together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// The price of a million tokens of prompts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_per_million: Option<f64>,
    /// The price of a million tokens of answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_per_million: Option<f64>,
    /// The currency of these prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
}

impl BudgetEntry {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the hub's LLM may use, and what that costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// So many tokens a day.
    pub tokens_per_day: Option<u64>,
    /// The price of a million tokens of prompts, in millionths of the currency's unit.
    pub input_micros_per_million: Option<u64>,
    /// The same of answers.
    pub output_micros_per_million: Option<u64>,
    /// The currency of these prices.
    pub currency: String,
}

impl Budget {
    /// No budget; prices are in US dollars, as providers list them, unless it is said otherwise.
    pub(super) fn none() -> Self {
        Self { tokens_per_day: None, input_micros_per_million: None, output_micros_per_million: None, currency: "USD".to_owned() }
    }

    /// Returns what so many tokens cost, in millionths of the currency's unit, rounded down; `None` if a price is not known.
    pub fn micros(&self, input: u64, output: u64) -> Option<u64> {
        let of = |tokens: u64, price: u64| u128::from(tokens).saturating_mul(u128::from(price));
        let all = of(input, self.input_micros_per_million?).saturating_add(of(output, self.output_micros_per_million?));
        Some(u64::try_from(all / 1_000_000).unwrap_or(u64::MAX))
    }

    pub(super) fn change(&mut self, entry: &BudgetEntry) -> Result<(), RuleError> {
        let wrong = |key: &str, problem: &str| RuleError::Wrong { place: format!("[budget] {key}"), problem: problem.to_owned() };
        if entry.tokens_per_day == Some(0) {
            return Err(wrong("tokens_per_day", "it must be at least 1; leave it out if there is no budget"));
        }
        self.tokens_per_day = entry.tokens_per_day.or(self.tokens_per_day);
        let price = |key: &str, price: Option<f64>| match price {
            None => Ok(None),
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
            Some(price) if (0.0..=1e9).contains(&price) => Ok(Some((price * 1e6).round() as u64)),
            Some(_) => Err(wrong(key, "a price must be between 0 and 1,000,000,000")),
        };
        self.input_micros_per_million = price("input_per_million", entry.input_per_million)?.or(self.input_micros_per_million);
        self.output_micros_per_million = price("output_per_million", entry.output_per_million)?.or(self.output_micros_per_million);
        self.currency = entry.currency.clone().unwrap_or_else(|| self.currency.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(entry: BudgetEntry) -> Result<Budget, RuleError> {
        let mut budget = Budget::none();
        budget.change(&entry).map(|()| budget)
    }

    #[test]
    fn the_cost_is_known_only_with_both_prices() {
        let both = BudgetEntry { input_per_million: Some(0.3), output_per_million: Some(2.5), ..BudgetEntry::default() };
        assert_eq!(budget(both.clone()).unwrap().micros(1_000_000, 200_000), Some(300_000 + 500_000));
        let one = BudgetEntry { output_per_million: None, ..both };
        assert_eq!(budget(one).unwrap().micros(1, 1), None);
    }

    #[test]
    fn a_price_that_is_none_and_a_budget_of_nothing_are_refused() {
        for price in [-1.0, f64::NAN, f64::INFINITY, 1e10] {
            let error = budget(BudgetEntry { input_per_million: Some(price), ..BudgetEntry::default() }).unwrap_err().to_string();
            assert!(error.starts_with("[budget] input_per_million: "), "{error}");
        }
        assert!(budget(BudgetEntry { tokens_per_day: Some(0), ..BudgetEntry::default() }).is_err());
    }
}
