//! A body of lines on its way in: cut into pieces of whole lines, each kept as soon as it is full, so that memory does not grow with it.

use directory::{Caller, Directory, Job, NewJob, ReceivingJob};
use mail_types::Secret;

use crate::AppState;
use crate::config::ImportsConfig;
use crate::problem::{Kind, Problem};

/// Octets of a piece: one that is full is kept although it has few lines.
const PIECE: usize = 256 * 1024;

/// A job whose body comes in. Dropped before it is queued, it is forgotten.
pub(super) struct Receiving {
    directory: Directory,
    caller: Caller,
    bounds: ImportsConfig,
    batch: u32,
    /// `None`: queued.
    job: Option<ReceivingJob>,
    octets: u64,
    /// The line that is not complete yet.
    line: Vec<u8>,
    /// Complete lines, each with its line end.
    piece: Vec<u8>,
    /// The number of the piece's first line, and of the lines in it.
    first: i32,
    lines: u32,
    /// Lines so far that are not empty.
    total: u32,
}

impl Receiving {
    /// `batch`: lines of a piece.
    pub(super) async fn begin(state: &AppState, caller: &Caller, new: &NewJob, batch: u32) -> Result<Self, Problem> {
        let bounds = state.config.imports.clone();
        let job = state.directory.receive_job(caller, new, bounds.unfinished_per_tenant).await?;
        Ok(Self {
            directory: state.directory.clone(),
            caller: caller.clone(),
            bounds,
            batch: batch.max(1),
            job: Some(job),
            octets: 0,
            line: Vec::new(),
            piece: Vec::new(),
            first: 1,
            lines: 0,
            total: 0,
        })
    }

    /// Takes the next octets.
    pub(super) async fn write(&mut self, octets: &[u8]) -> Result<(), Problem> {
        self.octets += octets.len() as u64;
        if self.octets > self.bounds.max_octets {
            return Err(too_large(format!("the body has more than {} octets", self.bounds.max_octets)));
        }
        let mut parts = octets.split(|octet| *octet == b'\n');
        // What stands before the first line end goes on with the line that was begun.
        self.extend(parts.next().unwrap_or_default())?;
        for part in parts {
            self.line_end().await?;
            self.extend(part)?;
        }
        Ok(())
    }

    /// The body is whole.
    pub(super) async fn end(&mut self) -> Result<(), Problem> {
        if !self.line.is_empty() {
            self.line_end().await?;
        }
        self.keep().await?;
        if self.total == 0 {
            return Err(Problem::field("", "required", "the body has no line"));
        }
        Ok(())
    }

    /// Hands the job to the workers.
    pub(super) async fn queue(mut self) -> Result<Job, Problem> {
        let Some(job) = &self.job else { return Err(Problem::new(Kind::Internal)) };
        let total = i32::try_from(self.total).unwrap_or(i32::MAX);
        let queued = self.directory.queue_job(&self.caller, job, total).await?;
        self.job = None;
        Ok(queued)
    }

    fn extend(&mut self, part: &[u8]) -> Result<(), Problem> {
        if self.line.len() + part.len() > self.bounds.max_line_octets {
            let line = self.first.saturating_add_unsigned(self.lines);
            return Err(too_large(format!("line {line} has more than {} octets", self.bounds.max_line_octets)));
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    async fn line_end(&mut self) -> Result<(), Problem> {
        if !self.line.trim_ascii().is_empty() {
            self.total += 1;
            if self.total > self.bounds.max_lines {
                return Err(too_large(format!("the body has more than {} lines", self.bounds.max_lines)));
            }
        }
        self.piece.append(&mut self.line);
        self.piece.push(b'\n');
        self.lines += 1;
        if self.lines >= self.batch || self.piece.len() >= PIECE { self.keep().await } else { Ok(()) }
    }

    async fn keep(&mut self) -> Result<(), Problem> {
        let piece = std::mem::take(&mut self.piece);
        let (first, lines) = (self.first, std::mem::take(&mut self.lines));
        self.first = first.saturating_add_unsigned(lines);
        // Empty lines are nothing to do.
        if piece.trim_ascii().is_empty() {
            return Ok(());
        }
        let Some(job) = &mut self.job else { return Err(Problem::new(Kind::Internal)) };
        self.directory.add_job_lines(&self.caller, job, first, Secret::new(piece)).await?;
        Ok(())
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let Some(job) = self.job.take() else { return };
        let (directory, caller) = (self.directory.clone(), self.caller.clone());
        tokio::spawn(async move {
            if let Err(error) = directory.discard_job(&caller, &job).await {
                tracing::warn!(kind = error.kind(), "a job that was not queued could not be forgotten: a worker will");
            }
        });
    }
}

fn too_large(detail: String) -> Problem {
    Problem::with_detail(Kind::TooLarge, detail)
}
