//! Fail points: named places at which a test makes the process die or a step fail. A leaf.
//!
//! `COHO_FAIL=name=what` or `name@3=what` for the third time, with `kill`, `full` (the disk is) or
//! `error`; several are separated by commas. In release builds there is nothing here.

/// Passes the place called `name`.
///
/// # Errors
/// The one that a test asked for.
#[cfg(not(debug_assertions))]
pub fn reach(_name: &str) -> std::io::Result<()> {
    Ok(())
}

/// Passes the place called `name`.
///
/// # Errors
/// The one that a test asked for.
#[cfg(debug_assertions)]
pub fn reach(name: &str) -> std::io::Result<()> {
    use std::sync::atomic::Ordering;
    for point in points() {
        if point.name == name && point.seen.fetch_add(1, Ordering::Relaxed) + 1 == point.at {
            return point.act();
        }
    }
    Ok(())
}

#[cfg(debug_assertions)]
struct Point {
    name: String,
    at: u32,
    what: String,
    seen: std::sync::atomic::AtomicU32,
}

#[cfg(debug_assertions)]
impl Point {
    fn act(&self) -> std::io::Result<()> {
        match self.what.as_str() {
            "full" => Err(std::io::ErrorKind::StorageFull.into()),
            "error" => Err(std::io::Error::other("a fail point was reached")),
            _ => {
                #[cfg(unix)]
                let _ = rustix::process::kill_process(
                    rustix::process::getpid(),
                    rustix::process::Signal::KILL,
                );
                std::process::abort();
            }
        }
    }
}

#[cfg(debug_assertions)]
fn points() -> &'static [Point] {
    static POINTS: std::sync::OnceLock<Vec<Point>> = std::sync::OnceLock::new();
    POINTS.get_or_init(|| {
        let wanted = std::env::var("COHO_FAIL").unwrap_or_default();
        let point = |one: &str| {
            let (place, what) = one.split_once('=')?;
            let (name, at) = place.split_once('@').unwrap_or((place, "1"));
            Some(Point {
                name: name.to_owned(),
                at: at.parse().ok()?,
                what: what.to_owned(),
                seen: std::sync::atomic::AtomicU32::new(0),
            })
        };
        wanted.split(',').filter_map(point).collect()
    })
}
