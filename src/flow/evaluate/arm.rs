//! Ways in which questions are put, as logs, results and tables call them: `cascade`,
//! `cascade+writeback`, `bm25`.

use std::fmt;

use clap::ValueEnum;

use super::learning::Variant;

/// Between the name of a way and that of the units with which it is taken.
const WITH: char = '+';

/// A way, with units or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm<'a> {
    /// A method's name, or that of a ranking.
    pub way: &'a str,
    /// The units in use; none where it is asked without.
    pub units: Option<Variant>,
}

impl<'a> Arm<'a> {
    /// The one that is called so.
    pub fn of(name: &'a str) -> Self {
        let with = name.split_once(WITH).and_then(|(way, units)| {
            let units = Variant::from_str(units, false).ok()?;
            Some((way, units))
        });
        let (way, units) = with.map_or((name, None), |(way, units)| (way, Some(units)));
        Self { way, units }
    }
}

impl fmt::Display for Arm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.way)?;
        match self.units.and_then(|units| units.to_possible_value()) {
            Some(units) => write!(f, "{WITH}{}", units.get_name()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_known_by_what_it_is_called() {
        let check = |name: &str, way: &str, units: Option<Variant>| {
            let arm = Arm::of(name);
            assert_eq!(arm, Arm { way, units });
            assert_eq!(arm.to_string(), name);
        };
        check("cascade", "cascade", None);
        check("coho+writeback", "coho", Some(Variant::Writeback));
        check("naive+gold-gates", "naive", Some(Variant::GoldGates));
        // Other tools have such names, too.
        check("c++", "c++", None);
    }
}
