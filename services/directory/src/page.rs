//! Pages of lists: keyset pagination with an opaque cursor, so that a page costs the same wherever it begins and rows that
//! come or go do not shift the others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, Result, Sort};

/// The most items of one page.
pub const MAX_LIMIT: u32 = 500;
/// The items of a page when the caller names no limit.
pub const DEFAULT_LIMIT: u32 = 100;

/// Which page is asked for.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// At most this many items, 1 to [`MAX_LIMIT`].
    pub limit: u32,
    /// Where the last page ended, as it was given out.
    pub cursor: Option<String>,
    /// Which list it is, and in which order: a cursor is good for the one that gave it out. Empty where nobody else's can come in.
    pub list: String,
    /// In which order; `None`: the list's own.
    pub sort: Option<Sort>,
}

impl Default for PageRequest {
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, cursor: None, list: String::new(), sort: None }
    }
}

impl PageRequest {
    /// The key that the last page ended with.
    pub fn after<K: DeserializeOwned>(&self) -> Result<Option<K>> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let refused = |detail| Error::invalid("/cursor", "invalid", detail);
        let json = URL_SAFE_NO_PAD.decode(cursor).ok();
        let read = json.and_then(|json| serde_json::from_slice::<(String, Value)>(&json).ok());
        let (list, key) = read.ok_or_else(|| refused("this is not a cursor of this list"))?;
        if list != self.list {
            let in_any_order = |list: &str| list.split('?').next().map(ToOwned::to_owned);
            return Err(refused(match in_any_order(&list) == in_any_order(&self.list) {
                true => "this is a cursor of this list in another order: its sort has to be the same on every page",
                false => "this is not a cursor of this list",
            }));
        }
        serde_json::from_value(key).map(Some).map_err(|_| refused("this is not a cursor of this list"))
    }

    /// One row more than the page holds tells whether another page follows.
    pub fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Cuts what [`PageRequest::fetch`] brought to a page; `key` is what the list is ordered by.
    pub fn page<R, K: Serialize>(&self, mut rows: Vec<R>, key: impl Fn(&R) -> K) -> Page<R> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = if more { rows.last() } else { None };
        let next_cursor = last
            .and_then(|row| serde_json::to_vec(&(&self.list, key(row))).ok())
            .map(|json| URL_SAFE_NO_PAD.encode(json));
        Page { items: rows, next_cursor }
    }
}

/// The range of keys, in the order of their octets (collation "C"), that begin with a prefix.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PrefixRange {
    /// The first key that can be in it.
    pub(crate) first: String,
    /// The first key after it.
    pub(crate) end: String,
}

impl PrefixRange {
    /// Of nothing, the range of all keys.
    pub(crate) fn new(prefix: Option<&str>) -> Self {
        let first = prefix.unwrap_or_default().to_owned();
        // No key has the last character of all.
        let end = format!("{first}{}", char::MAX);
        Self { first, end }
    }

    /// A key before the first one, with none between; empty: there is none before it.
    pub(crate) fn before(&self) -> String {
        let mut key = self.first.clone();
        match key.pop() {
            None | Some('\0') => {}
            // Over the gap of surrogates there is nothing either.
            Some(last) => {
                key.push(char::from_u32(u32::from(last) - 1).unwrap_or('\u{d7ff}'));
                key.push(char::MAX);
            }
        }
        key
    }
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// In the list's order.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last one.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A list with nothing in it.
    pub(crate) fn empty() -> Self {
        Self { items: Vec::new(), next_cursor: None }
    }

    /// The same page of other items.
    pub fn try_map<U, E>(self, convert: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        let items = self.items.into_iter().map(convert).collect::<Result<_, E>>()?;
        Ok(Page { items, next_cursor: self.next_cursor })
    }

    /// The same page of other items.
    pub fn map<U>(self, convert: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(convert).collect(), next_cursor: self.next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_on_and_the_last_page_has_none() {
        let request = PageRequest { limit: 2, ..PageRequest::default() };
        let page = request.page(vec![1, 2, 3], |&n| n);
        assert_eq!(page.items, [1, 2]);
        let next = PageRequest { limit: 2, cursor: page.next_cursor, ..PageRequest::default() };
        assert_eq!(next.after::<i32>().unwrap(), Some(2));
        assert_eq!(next.page(vec![3], |&n| n).next_cursor, None);
    }

    #[test]
    fn a_prefix_is_a_range() {
        let range = PrefixRange::new(Some("al"));
        for (key, inside) in [("ak", false), ("akz", false), ("al", true), ("alice", true), ("am", false)] {
            assert_eq!(key > range.before().as_str() && key < range.end.as_str(), inside, "{key}");
        }
        assert_eq!(PrefixRange::new(None).before(), "");
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        let request = PageRequest { limit: 2, cursor: Some("!!".to_owned()), ..PageRequest::default() };
        assert!(matches!(request.after::<i32>(), Err(Error::Invalid(_))));
        let request =
            PageRequest { limit: 2, cursor: Some(URL_SAFE_NO_PAD.encode("\"text\"")), ..PageRequest::default() };
        assert!(matches!(request.after::<i32>(), Err(Error::Invalid(_))));
        let of = |list: &str, cursor| PageRequest { limit: 1, cursor, list: list.to_owned(), sort: None };
        let given = of("accounts", None).page(vec![1, 2], |&n| n).next_cursor;
        assert_eq!(of("accounts", given.clone()).after::<i32>().unwrap(), Some(1));
        let refused = |list: &str| match of(list, given.clone()).after::<i32>() {
            Err(Error::Invalid(errors)) => errors[0].detail.clone(),
            other => panic!("{other:?}"),
        };
        assert!(refused("aliases").contains("not a cursor of this list"));
        assert!(refused("accounts?sort=-octets").contains("in another order"));
    }
}
