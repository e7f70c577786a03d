//! What a person sees meanwhile, on standard error: one line that is written over on a terminal, else a line now and then. And how fast
//! an import may be.

use std::{
    io::{IsTerminal as _, Write as _},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// How often the line is written: on a terminal, and elsewhere.
const OFTEN: Duration = Duration::from_millis(200);
const SELDOM: Duration = Duration::from_secs(30);
/// Of the bar.
const WIDTH: u64 = 30;

pub(crate) struct Progress {
    what: String,
    terminal: bool,
    shown: Option<Instant>,
    begun: Instant,
    messages: u64,
    octets: u64,
    of_messages: u64,
    of_octets: u64,
    octets_per_second: Option<u64>,
}

impl Progress {
    pub(crate) fn new(what: &str, octets_per_second: Option<u64>) -> Self {
        let (terminal, begun) = (std::io::stderr().is_terminal(), Instant::now());
        let what = what.to_owned();
        Self {
            what,
            terminal,
            shown: None,
            begun,
            messages: 0,
            octets: 0,
            of_messages: 0,
            of_octets: 0,
            octets_per_second,
        }
    }

    /// So much is to be done. The octets are about right.
    pub(crate) fn begin(&mut self, messages: u64, octets: u64) {
        (self.of_messages, self.of_octets, self.begun) = (messages, octets, Instant::now());
        self.show();
    }

    /// A message more. Returns when the next one may be read.
    pub(crate) async fn read(&mut self, octets: u64) {
        self.messages += 1;
        self.octets += octets;
        let every = if self.terminal { OFTEN } else { SELDOM };
        if self.shown.is_none_or(|at| at.elapsed() >= every) {
            self.show();
        }
        if let Some(rate) = self.octets_per_second {
            sleep_until(self.begun + Duration::from_secs_f64(self.octets as f64 / rate as f64)).await;
        }
    }

    /// A line that stays.
    pub(crate) fn say(&mut self, line: &str) {
        self.wipe();
        eprintln!("{}: {line}", self.what);
    }

    /// Nothing more comes.
    pub(crate) fn end(&mut self) {
        self.wipe();
    }

    fn wipe(&mut self) {
        if self.terminal && self.shown.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }

    fn show(&mut self) {
        self.shown = Some(Instant::now());
        let line = self.line();
        if self.terminal {
            eprint!("\r\x1b[K{line}");
            // A terminal that is gone is no reason to stop.
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    fn line(&self) -> String {
        let megabytes = |octets: u64| format!("{:.1} MB", octets as f64 / 1e6);
        let (done, of) = if self.of_octets > 0 {
            (self.octets.min(self.of_octets), self.of_octets)
        } else {
            (self.messages, self.of_messages)
        };
        let full = usize::try_from((done * WIDTH).checked_div(of).unwrap_or(WIDTH).min(WIDTH)).unwrap_or(0);
        let bar = if self.terminal {
            format!(" [{}{}]", "#".repeat(full), "-".repeat(usize::try_from(WIDTH).unwrap_or(0) - full))
        } else {
            String::new()
        };
        format!("{}:{bar} {} of {} messages, {}", self.what, self.messages, self.of_messages, megabytes(self.octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept_over_all_messages() {
        let mut progress = Progress::new("a", Some(1000));
        progress.begin(3, 0);
        let begun = Instant::now();
        for octets in [10, 1490, 500] {
            progress.read(octets).await;
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(2));
    }

    #[test]
    fn the_line_says_how_far_it_is() {
        let mut progress = Progress::new("a@a.test", None);
        progress.terminal = true;
        progress.begin(4, 2_000_000);
        (progress.messages, progress.octets) = (1, 1_000_000);
        assert_eq!(
            progress.line(),
            format!("a@a.test: [{}{}] 1 of 4 messages, 1.0 MB", "#".repeat(15), "-".repeat(15))
        );
        (progress.of_messages, progress.of_octets) = (0, 0);
        assert!(progress.line().contains(&"#".repeat(30)));
        progress.terminal = false;
        assert_eq!(progress.line(), "a@a.test: 1 of 0 messages, 1.0 MB");
    }
}
