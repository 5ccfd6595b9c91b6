//! Runs each mistake in several ways and sends it with sentry; the tag `corpus` is its label.
use std::collections::HashMap;
use std::io::Write;
use std::panic;
use std::sync::Arc;

mod orders;

/// Writes each event to stdout, one JSON a line; the collector reads it there.
struct Printer;

impl sentry::Transport for Printer {
    fn send_envelope(&self, envelope: sentry::Envelope) {
        if let Some(event) = envelope.event() {
            let line = serde_json::to_string(event).unwrap();
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}").unwrap();
        }
    }
}

fn caught(label: &str, run: impl FnOnce() + panic::UnwindSafe) {
    sentry::with_scope(
        |scope| scope.set_tag("corpus", label),
        || {
            let _ = panic::catch_unwind(run);
        },
    );
}

fn failed<E: std::error::Error>(label: &str, error: &E) {
    sentry::with_scope(
        |scope| scope.set_tag("corpus", label),
        || {
            sentry::capture_error(error);
        },
    );
}

fn said(label: &str, text: &str) {
    sentry::with_scope(
        |scope| scope.set_tag("corpus", label),
        || {
            sentry::capture_message(text, sentry::Level::Error);
        },
    );
}

fn main() {
    let n: i64 = std::env::var("ROUND").unwrap().parse().unwrap();
    let mut options = sentry::ClientOptions::default();
    options.dsn = Some(std::env::var("DSN").unwrap().parse().unwrap());
    options.release = Some(std::env::var("RELEASE").unwrap().into());
    options.attach_stacktrace = true;
    options.transport = Some(Arc::new(|_: &sentry::ClientOptions| -> Arc<dyn sentry::Transport> { Arc::new(Printer) }));
    let _guard = sentry::init(options);
    let empty: HashMap<i64, String> = HashMap::new();
    caught("rust-unwrap", || { orders::city(&empty, n); });
    caught("rust-unwrap", || { orders::cities(&empty, &[n, n + 1]); });
    caught("rust-index", || { orders::line(&[1, 2], (n + 5) as usize); });
    caught("rust-index", || { orders::lines(&[1, 2], &[0, (n + 7) as usize]); });
    caught("rust-expect", || { orders::quantity(&format!("x{n}")); });
    caught("rust-divide", || { orders::mean(&[]); });
    caught("rust-explicit", || { orders::ship(n); });
    caught("rust-guard-a", || { orders::set_quantity(100 + n); });
    caught("rust-guard-b", || { orders::set_weight(-n); });
    caught("rust-deep", || { orders::deep(3 + 4 * n, &[]); });
    failed("rust-not-found", &orders::load(900 + n).unwrap_err());
    failed("rust-not-found", &orders::load_all(&[n]).unwrap_err());
    failed("rust-parse", &format!("q{n}").parse::<i64>().unwrap_err());
    failed("rust-io", &std::fs::read(format!("/srv/invoices/{n}.pdf")).unwrap_err());
    failed("rust-refused", &std::net::TcpStream::connect("127.0.0.1:9").unwrap_err());
    said("rust-msg-slow", &format!("query took {} ms", 900 + n * 17));
    said("rust-msg-full", &format!("queue of worker-{n} is full"));
}
