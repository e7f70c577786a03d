//! In which order a list comes, where its caller chooses. A page is a range of an index in every order: what is compared to say where it
//! begins is what it is ordered by, down to something unique.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{Postgres, QueryBuilder};

use crate::{Error, PageRequest, Result};

/// What a list is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortBy {
    /// Its natural key or name, in the order of code points.
    Name,
    /// When it was made.
    CreatedAt,
    /// The octets that it uses, as they were last looked at.
    Octets,
}

/// An order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// By this.
    pub by: SortBy,
    /// The last first.
    pub descending: bool,
}

impl Sort {
    /// The first first.
    pub const fn up(by: SortBy) -> Self {
        Self { by, descending: false }
    }

    /// The last first.
    pub const fn down(by: SortBy) -> Self {
        Self { by, descending: true }
    }

    /// Begins ` AND (columns) > (`: what is bound next, and a parenthesis, say after what a page begins.
    pub(crate) fn push_after(self, query: &mut QueryBuilder<Postgres>, columns: &[&str]) {
        let compare = if self.descending { '<' } else { '>' };
        query.push(format!(" AND ({}) {compare} (", columns.join(", ")));
    }

    /// Adds ` ORDER BY columns`.
    pub(crate) fn push_order(self, query: &mut QueryBuilder<Postgres>, columns: &[&str]) {
        let direction = if self.descending { " DESC" } else { "" };
        let ordered: Vec<_> = columns.iter().map(|column| format!("{column}{direction}")).collect();
        query.push(format!(" ORDER BY {}", ordered.join(", ")));
    }
}

/// An order that goes with what a list is narrowed to, or is not one of this list.
pub(crate) fn refused(detail: &'static str) -> Error {
    Error::invalid("/sort", "invalid", detail)
}

/// A list in the order of its ids, by name, or by time; its columns.
pub(crate) struct NamedList {
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    pub(crate) created_at: &'static str,
}

/// Where a page of such a list ends.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum NamedPlace {
    Id(i64),
    Time(DateTime<Utc>, i64),
    Name(String, i64),
}

impl NamedList {
    /// Adds where a page begins, how it is ordered, and where it ends at the latest.
    pub(crate) fn finish(&self, query: &mut QueryBuilder<Postgres>, page: &PageRequest) -> Result<()> {
        let sort = page.sort.unwrap_or(Sort::up(SortBy::CreatedAt));
        let columns: &[&str] = match page.sort.map(|sort| sort.by) {
            None => &[self.id],
            Some(SortBy::CreatedAt) => &[self.created_at, self.id],
            Some(SortBy::Name | SortBy::Octets) => &[self.name, self.id],
        };
        let place = match page.sort.map(|sort| sort.by) {
            None => page.after()?.map(NamedPlace::Id),
            Some(SortBy::CreatedAt) => page.after()?.map(|(at, id)| NamedPlace::Time(at, id)),
            Some(SortBy::Name | SortBy::Octets) => page.after()?.map(|(name, id)| NamedPlace::Name(name, id)),
        };
        if let Some(place) = place {
            sort.push_after(query, columns);
            match place {
                NamedPlace::Id(id) => query.push_bind(id),
                NamedPlace::Time(at, id) => query.push_bind(at).push(", ").push_bind(id),
                NamedPlace::Name(name, id) => query.push_bind(name).push(", ").push_bind(id),
            };
            query.push(")");
        }
        sort.push_order(query, columns);
        query.push(" LIMIT ").push_bind(page.fetch());
        Ok(())
    }
}

impl NamedPlace {
    /// Of a row.
    pub(crate) fn of(page: &PageRequest, id: i64, name: &str, created_at: DateTime<Utc>) -> Self {
        match page.sort.map(|sort| sort.by) {
            None => Self::Id(id),
            Some(SortBy::CreatedAt) => Self::Time(created_at, id),
            Some(SortBy::Name | SortBy::Octets) => Self::Name(name.to_owned(), id),
        }
    }
}
