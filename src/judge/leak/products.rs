//! Fits of many models to the same points, each in microseconds.
//!
//! A model is a sum of columns (a line, a step …), each times a coefficient, plus one level for each life, plus noise. All columns are
//! whitened once for a kind of noise, the lives' levels are taken out (each life's whitened column of ones is projected out), and all
//! products between columns are kept. A fit then only needs the products of its own columns.
//!
//! Coefficients have a normal prior whose deviation is [`REACH`] times the noise's: wide enough to leave estimates alone, and what
//! makes a needless column cost something. The noise's scale is integrated out. What is left is the marginal likelihood of the model,
//! of which BIC is the usual approximation.

use super::noise::Filter;
use super::points::Points;

/// No model has more columns.
const MAX_TERMS: usize = 12;

/// How large a coefficient may be before its prior resists, as a multiple of the noise.
const REACH: f64 = 20.0;

/// Floors are never believed to be more exact than this (bytes): the pages of a few stacks.
const LEAST_NOISE: f64 = 50e3;

/// As many observations as that belief counts for.
const LEAST_NOISE_WEIGHT: f64 = 2.0;

/// One part of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Term {
    /// A column.
    One(usize),
    /// The first column less the second: a line from one time on that ends at another.
    Less(usize, usize),
}

/// Columns side by side, a row for each point: a one for its life's level, its floor, and the columns of the courses.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<f64>,
    width: usize,
}

impl Table {
    /// Lays columns side by side.
    pub(super) fn new(columns: &[&[f64]]) -> Self {
        let points = columns.first().map_or(0, |column| column.len());
        let row = |point: usize| [1.0].into_iter().chain(columns.iter().map(move |column| column[point]));
        Self { rows: (0..points).flat_map(row).collect(), width: columns.len() + 1 }
    }
}

/// The whitened columns' products for one kind of noise. Column 0 is the floors.
#[derive(Debug)]
pub(super) struct Products {
    count: usize,
    products: Vec<f64>,
    /// Twice the part of the log likelihood that is the same for each model, negated.
    base: f64,
    freedom: f64,
}

impl Products {
    /// Whitens the rows of `table`, of which each begins with a one for the level.
    pub(super) fn new(filter: &Filter, points: &Points, table: &Table) -> Self {
        let width = table.width;
        let count = width - 1;
        let whitened = filter.whiten(&table.rows, width);
        let mut products = vec![0.0; count * count];
        let mut base = filter.log_determinant;
        let mut with_level = vec![0.0; width];
        for life in points.lives() {
            with_level.fill(0.0);
            for row in whitened[life.start * width..life.end * width].chunks_exact(width) {
                add_scaled(&mut with_level, row, row[0]);
                add_square(&mut products, &row[1..], 1.0);
            }
            let square = with_level[0];
            base += square.ln();
            add_square(&mut products, &with_level[1..], -square.recip());
        }
        let freedom = (points.len() - points.begins.len()) as f64;
        Self { count, products, base, freedom }
    }

    fn product(&self, one: Term, other: Term) -> f64 {
        let at = |row: usize, column: usize| self.products[row.min(column) * self.count + row.max(column)];
        match (one, other) {
            (Term::One(one), Term::One(other)) => at(one, other),
            (Term::One(one), Term::Less(more, less)) | (Term::Less(more, less), Term::One(one)) => at(one, more) - at(one, less),
            (Term::Less(a, b), Term::Less(c, d)) => at(a, c) - at(a, d) - at(b, c) + at(b, d),
        }
    }

    /// Fits the sum of `terms`; at most [`MAX_TERMS`] of them.
    pub(super) fn fit(&self, terms: &[Term]) -> Fit {
        const FLOORS: Term = Term::One(0);
        let terms = &terms[..terms.len().min(MAX_TERMS)];
        let ridge = (REACH * REACH).recip();
        let mut fit = Fit { count: terms.len(), ..Fit::default() };
        let (mut determinant, mut explained) = (0.0, 0.0);
        for (row, term) in terms.iter().enumerate() {
            for (other, before) in terms[..=row].iter().enumerate() {
                let known: f64 = (0..other).map(|k| fit.factor[row][k] * fit.factor[other][k]).sum();
                let rest = self.product(*term, *before) - known;
                if other == row {
                    fit.unexplained = rest / self.product(*term, *term).max(f64::MIN_POSITIVE);
                    // Rounding must not make it negative.
                    let rest = (rest + ridge).max(ridge / 1e3);
                    determinant += (rest / ridge).ln();
                    fit.factor[row][row] = rest.sqrt();
                } else {
                    fit.factor[row][other] = rest / fit.factor[other][other];
                }
            }
            let known: f64 = (0..row).map(|k| fit.factor[row][k] * fit.turned[k]).sum();
            fit.turned[row] = (self.product(*term, FLOORS) - known) / fit.factor[row][row];
            explained += fit.turned[row] * fit.turned[row];
        }
        let rest = (self.product(FLOORS, FLOORS) - explained).max(0.0) + LEAST_NOISE_WEIGHT * LEAST_NOISE * LEAST_NOISE;
        fit.freedom = self.freedom + LEAST_NOISE_WEIGHT;
        fit.deviation = (rest / fit.freedom).sqrt();
        fit.log_likelihood = -0.5 * (self.base + determinant + fit.freedom * rest.ln());
        fit
    }
}

/// Adds the products of all pairs of a row's values, each times `scale`, to the upper triangle.
fn add_square(products: &mut [f64], row: &[f64], scale: f64) {
    for (index, value) in row.iter().enumerate() {
        add_scaled(&mut products[index * row.len() + index..(index + 1) * row.len()], &row[index..], value * scale);
    }
}

fn add_scaled(sums: &mut [f64], values: &[f64], scale: f64) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * scale);
}

/// A fitted model.
#[derive(Debug, Clone, Default)]
pub(super) struct Fit {
    count: usize,
    /// The lower triangle whose product with its transpose is the columns' products.
    factor: [[f64; MAX_TERMS]; MAX_TERMS],
    turned: [f64; MAX_TERMS],
    deviation: f64,
    /// Which share of the last column's square the others leave unexplained.
    pub unexplained: f64,
    /// The logarithm of how well the model predicted the points, its coefficients' prior included.
    pub log_likelihood: f64,
    /// Degrees of freedom of its estimates.
    pub freedom: f64,
}

/// What a combination of coefficients comes to: Student's t distribution around `mean`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    /// Its middle.
    pub mean: f64,
    /// Its scale.
    pub scale: f64,
    /// Its degrees of freedom.
    pub freedom: f64,
}

impl Fit {
    /// The coefficients' means, in the order of the terms.
    pub(super) fn means(&self) -> Vec<f64> {
        let mut means = vec![0.0; self.count];
        for row in (0..self.count).rev() {
            let known: f64 = (row + 1..self.count).map(|k| self.factor[k][row] * means[k]).sum();
            means[row] = (self.turned[row] - known) / self.factor[row][row];
        }
        means
    }

    /// The sum of the last coefficients, each times its weight.
    pub(super) fn combine(&self, weights: &[f64]) -> Estimate {
        let skipped = self.count.saturating_sub(weights.len());
        let mut solved = [0.0; MAX_TERMS];
        let (mut mean, mut square) = (0.0, 0.0);
        for row in 0..self.count {
            let weight = if row < skipped { 0.0 } else { weights[row - skipped] };
            let known: f64 = (0..row).map(|k| self.factor[row][k] * solved[k]).sum();
            solved[row] = (weight - known) / self.factor[row][row];
            mean += solved[row] * self.turned[row];
            square += solved[row] * solved[row];
        }
        Estimate { mean, scale: self.deviation * square.sqrt(), freedom: self.freedom }
    }
}
