//! Mistakes.
use std::collections::HashMap;
use std::fmt;

#[derive(Debug)]
pub enum OrderError {
    NotFound(i64),
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OrderError::NotFound(id) => write!(f, "order {id} not found"),
        }
    }
}

impl std::error::Error for OrderError {}

#[inline(never)]
pub fn city(known: &HashMap<i64, String>, id: i64) -> String {
    known.get(&id).unwrap().clone()
}

#[inline(never)]
pub fn cities(known: &HashMap<i64, String>, ids: &[i64]) -> Vec<String> {
    ids.iter().map(|id| city(known, *id)).collect()
}

#[inline(never)]
pub fn line(lines: &[i64], at: usize) -> i64 {
    lines[at]
}

#[inline(never)]
pub fn lines(lines: &[i64], at: &[usize]) -> Vec<i64> {
    at.iter().map(|one| line(lines, *one)).collect()
}

#[inline(never)]
pub fn quantity(text: &str) -> i64 {
    text.parse().expect("a quantity is a number")
}

#[inline(never)]
pub fn mean(values: &[i64]) -> i64 {
    values.iter().sum::<i64>() / values.len() as i64
}

#[inline(never)]
pub fn ship(id: i64) {
    panic!("order {id} cannot be shipped");
}

#[inline(never)]
fn ensure(holds: bool, words: &str) {
    assert!(holds, "{words}");
}

#[inline(never)]
pub fn set_quantity(quantity: i64) {
    ensure(quantity < 100, "at most 99 pieces");
}

#[inline(never)]
pub fn set_weight(grams: i64) {
    ensure(grams > 0, "a weight is positive");
}

#[inline(never)]
pub fn deep(n: i64, values: &[i64]) -> i64 {
    if n == 0 {
        return values.first().copied().unwrap();
    }
    deep(n - 1, values) + 1
}

#[inline(never)]
pub fn load(id: i64) -> Result<(), OrderError> {
    Err(OrderError::NotFound(id))
}

#[inline(never)]
pub fn load_all(ids: &[i64]) -> Result<(), OrderError> {
    ids.iter().try_for_each(|id| load(*id))
}
