//! What the demo shows: on a terminal a table redrawn in place, elsewhere a line now and then.
//!
//! Law   the terminal is as it was when the screen is closed or dropped: the cursor is visible and
//!       stands below what was shown. Lines stay under 80 columns, so that none wraps

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use tokio_postgres::SimpleQueryRow;

use super::generator::Statistics;
use super::shop;

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
const CLEAR_BELOW: &str = "\x1b[J";

/// What is to be shown.
pub struct View<'a> {
    /// Users in the view, item views in the window.
    pub totals: &'a [SimpleQueryRow],
    /// user_id, avg_price, items.
    pub top: &'a [SimpleQueryRow],
    pub statistics: &'a Statistics,
}

/// Standard output.
pub struct Screen {
    is_terminal: bool,
    /// Lines of the table on the terminal, to be drawn over.
    drawn: usize,
    open: bool,
}

impl Screen {
    /// Says what runs and what to try.
    pub fn open(addr: SocketAddr) -> std::io::Result<Screen> {
        let is_terminal = std::io::stdout().is_terminal();
        let mut screen = Screen { is_terminal, drawn: 0, open: true };
        let mut text = format!(
            "Tidemark demo: {} users look at {} items, about {} item views a second.\n\
             Ctrl-C stops it; the next start goes on with what is there. Look around with\n\n  \
             psql -h {} -p {} -U {} {}\n\nand try\n\n",
            grouped(shop::USERS),
            grouped(shop::ITEMS),
            grouped(super::generator::RATE),
            addr.ip(),
            addr.port(),
            shop::USER,
            shop::DATABASE,
        );
        for line in shop::TRY_NEXT {
            text.push_str(&format!("  {line}\n"));
        }
        text.push('\n');
        if is_terminal {
            text.push_str(HIDE_CURSOR);
        }
        screen.print(&text)?;
        Ok(screen)
    }

    pub fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Shows the newest state.
    pub fn draw(&mut self, view: &View<'_>) -> std::io::Result<()> {
        if !self.is_terminal {
            let line = headline(view).join("; ");
            return self.print(&format!("{line}\n"));
        }
        let lines = table(view);
        let up = match self.drawn {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\r"),
        };
        self.drawn = lines.len();
        self.print(&format!("{up}{CLEAR_BELOW}{}\n", lines.join("\n")))
    }

    /// Leaves the terminal as it was.
    pub fn close(&mut self) -> std::io::Result<()> {
        if std::mem::replace(&mut self.open, false) && self.is_terminal {
            return self.print(SHOW_CURSOR);
        }
        Ok(())
    }

    pub fn goodbye(&mut self, statistics: &Statistics) -> std::io::Result<()> {
        let (events, all) = (statistics.events, statistics.before + statistics.events);
        self.print(&format!(
            "\nStopping: {} item views committed, {} in all.\n",
            grouped(events),
            grouped(all)
        ))
    }

    fn print(&mut self, text: &str) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no cursor.
        let _ = self.close();
    }
}

/// The numbers above the table.
fn headline(view: &View<'_>) -> [String; 2] {
    let statistics = view.statistics;
    let total = |column| view.totals.first().and_then(|row| row.get(column)).unwrap_or("0");
    let number = |text: &str| text.parse().map_or(text.to_owned(), grouped);
    let lag = |percent| statistics.lag(percent).map_or("-".to_owned(), milliseconds);
    [
        format!(
            "{} item views, {:.0}/s; in the window {} by {} users",
            grouped(statistics.before + statistics.events),
            statistics.rate(),
            number(total(1)),
            number(total(0)),
        ),
        format!("lag from commit to visible: median {}, 99% within {}", lag(50), lag(99)),
    ]
}

fn table(view: &View<'_>) -> Vec<String> {
    let mut lines = Vec::from(headline(view));
    lines.push(String::new());
    lines.push("user_avg_price_30m, the busiest users:".to_owned());
    lines.push(format!("{:>10} {:>12} {:>8}", "user_id", "avg_price", "items"));
    for row in view.top {
        let value = |column| row.get(column).unwrap_or("");
        lines.push(format!("{:>10} {:>12} {:>8}", value(0), value(1), value(2)));
    }
    lines
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(["0", "999", "1,000", "1,234,567"], [0, 999, 1000, 1_234_567].map(grouped));
        assert_eq!(milliseconds(Duration::from_micros(1250)), "1.2 ms");
    }

    #[test]
    fn lines_fit_a_terminal() {
        let statistics = Statistics::new(999_999_999);
        for line in headline(&View { totals: &[], top: &[], statistics: &statistics }) {
            assert!(line.len() < 80, "{line}");
        }
        assert!(shop::TRY_NEXT.iter().all(|line| line.len() < 78 || line.contains("GROUP BY")));
    }
}
