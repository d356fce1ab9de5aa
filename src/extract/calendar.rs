//! Invitations: what the calendar in a message says of a meeting, for people.
//!
//! Read are the events alone, and of them what an invitation tells; times stay in the zone that they are
//! given in, with its name.

use jiff::civil::Date;

use super::pen::{Pen, one_line};

/// Events of a calendar that are read, at most.
const MOST_EVENTS: usize = 100;

/// Writes the events of a calendar (RFC 5545).
pub(super) fn write(calendar: &str, pen: &mut Pen) {
    let mut method = String::new();
    let mut open: Option<Event> = None;
    // Alarms and the like within an event speak of themselves.
    let mut within = 0_usize;
    let mut count = 0;
    for line in unfolded(calendar) {
        let Some(property) = Property::of(&line) else {
            continue;
        };
        let value = property.value.trim();
        let mut ends = false;
        if let Some(event) = &mut open {
            match property.name.as_str() {
                "BEGIN" => within += 1,
                "END" if within > 0 => within -= 1,
                "END" => ends = true,
                _ if within == 0 => event.take_in(&property),
                _ => {}
            }
        } else if property.name == "METHOD" {
            method = value.to_ascii_uppercase();
        } else if property.name == "BEGIN" && value.eq_ignore_ascii_case("VEVENT") {
            open = Some(Event::default());
        }
        if ends && let Some(event) = open.take() {
            event.write(&method, pen);
            count += 1;
        }
        if count >= MOST_EVENTS {
            return;
        }
    }
}

/// What an event says of itself.
#[derive(Default)]
struct Event {
    title: String,
    start: Option<Moment>,
    end: Option<Moment>,
    rule: String,
    place: String,
    organiser: String,
    answers: Vec<String>,
    is_cancelled: bool,
    text: String,
}

impl Event {
    fn take_in(&mut self, property: &Property<'_>) {
        let text = || unescaped(property.value);
        match property.name.as_str() {
            "SUMMARY" => self.title = one_line(&text()),
            "DTSTART" => self.start = Moment::of(property),
            "DTEND" => self.end = Moment::of(property),
            "RRULE" => self.rule = one_line(property.value),
            "LOCATION" => self.place = one_line(&text()),
            "ORGANIZER" => self.organiser = property.person(),
            "ATTENDEE" => {
                if let Some(answer) = property.parameter("PARTSTAT") {
                    let answer = answer.to_ascii_lowercase();
                    self.answers
                        .push(format!("{}: {answer}", property.person()));
                }
            }
            "STATUS" => self.is_cancelled = property.value.trim() == "CANCELLED",
            "DESCRIPTION" => self.text = text(),
            _ => {}
        }
    }

    fn write(&self, method: &str, pen: &mut Pen) {
        let what = match method {
            _ if self.is_cancelled || method == "CANCEL" => "Cancelled",
            "REPLY" => "Answer to the invitation",
            _ => "Invitation",
        };
        let mut lines = vec![format!("{what}: {}", self.title)];
        let mut tell = |name: &str, said: &str| {
            if !said.is_empty() {
                lines.push(format!("{name}: {said}"));
            }
        };
        if let Some(start) = &self.start {
            tell("When", &start.until(self.end.as_ref()));
        }
        tell("Repeats", &self.rule);
        tell("Where", &self.place);
        tell("Organiser", &self.organiser);
        if method == "REPLY" {
            lines.extend(self.answers.iter().cloned());
        }
        pen.paragraph(&lines.join("\n"));
        for part in self.text.split("\n\n") {
            pen.paragraph(part);
        }
    }
}

/// A day, or a time of it in a zone.
#[derive(PartialEq, Eq)]
struct Moment {
    day: Date,
    hour: Option<String>,
    zone: String,
}

impl Moment {
    /// It is `20260202` or `20260202T100000`, in universal time with a `Z` behind it.
    fn of(property: &Property<'_>) -> Option<Self> {
        let value = property.value.trim();
        let year = value.get(..4)?.parse().ok()?;
        let month = value.get(4..6)?.parse().ok()?;
        let day = value.get(6..8)?.parse().ok()?;
        let hour = value.get(8..13).and_then(|time| {
            let digits = time.strip_prefix(['T', 't'])?;
            let is_time = digits.bytes().all(|byte| byte.is_ascii_digit());
            is_time.then(|| format!("{}:{}", &digits[..2], &digits[2..]))
        });
        let zone = if value.ends_with('Z') {
            "UTC"
        } else {
            property.parameter("TZID").unwrap_or_default()
        };
        Some(Self {
            day: Date::new(year, month, day).ok()?,
            hour,
            zone: one_line(zone),
        })
    }

    /// From here to the end of an event, of which a day without a time is the one after the last.
    fn until(&self, end: Option<&Self>) -> String {
        let zone = |zone: &str| {
            if zone.is_empty() {
                String::new()
            } else {
                format!(" ({zone})")
            }
        };
        let day = self.day;
        let from = match &self.hour {
            Some(hour) => format!("{day} {hour}"),
            None => day.to_string(),
        };
        let to = match end {
            Some(end) if end.hour.is_none() => {
                let last = end.day.yesterday().unwrap_or(end.day);
                (last > day).then(|| last.to_string())
            }
            Some(Self {
                day: last, hour, ..
            }) if *last == day => hour.clone(),
            Some(Self {
                day: last, hour, ..
            }) => Some(format!("{last} {}", hour.as_deref().unwrap_or_default())),
            None => None,
        };
        let Some(to) = to else {
            return format!("{from}{}", zone(&self.zone));
        };
        let other = end.map_or("", |end| end.zone.as_str());
        if other == self.zone {
            format!("{from} to {to}{}", zone(other))
        } else {
            format!("{from}{} to {to}{}", zone(&self.zone), zone(other))
        }
    }
}

/// A line of a calendar: `NAME;PARAMETER=VALUE:VALUE`.
struct Property<'a> {
    name: String,
    parameters: &'a str,
    value: &'a str,
}

impl<'a> Property<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut is_quoted = false;
        let colon = line.find(|c: char| {
            is_quoted ^= c == '"';
            c == ':' && !is_quoted
        })?;
        let (head, value) = (&line[..colon], &line[colon + 1..]);
        let (name, parameters) = head.split_once(';').unwrap_or((head, ""));
        Some(Self {
            name: name.trim().to_ascii_uppercase(),
            parameters,
            value,
        })
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.split(';').find_map(|one| {
            let (key, value) = one.split_once('=')?;
            let is_it = key.trim().eq_ignore_ascii_case(name);
            is_it.then(|| value.trim().trim_matches('"'))
        })
    }

    /// `Ann <ann@example.org>`.
    fn person(&self) -> String {
        let value = self.value.trim();
        let scheme = value.get(..7).unwrap_or("");
        let is_mail = scheme.eq_ignore_ascii_case("mailto:");
        let address = if is_mail { &value[7..] } else { value };
        match self.parameter("CN") {
            Some(name) if name != address => format!("{} <{address}>", one_line(name)),
            _ => address.to_owned(),
        }
    }
}

/// The lines of a calendar, of which one that begins with a space goes on with that before it.
fn unfolded(calendar: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in calendar.lines() {
        if let Some(rest) = line.strip_prefix([' ', '\t'])
            && let Some(open) = lines.last_mut()
        {
            open.push_str(rest);
        } else {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// A text as it was before it was put into a line.
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut signs = value.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => match signs.next() {
                Some('n' | 'N') => text.push('\n'),
                Some(sign) => text.push(sign),
                None => {}
            },
            sign => text.push(sign),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::source::Meta;

    fn read(calendar: &str) -> String {
        let mut pen = Pen::new(1 << 20);
        write(calendar, &mut pen);
        pen.finish(Meta::default()).unwrap().outline.text
    }

    #[test]
    fn an_invitation_tells_what_when_where_and_by_whom() {
        let calendar = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VTIMEZONE\r\n\
            TZID:Europe/Vienna\r\nBEGIN:STANDARD\r\nDTSTART:16010101T030000\r\nEND:STANDARD\r\n\
            END:VTIMEZONE\r\nBEGIN:VEVENT\r\nSUMMARY:Launch of the\r\n  boat\\, at last\r\n\
            DTSTART;TZID=Europe/Vienna:20260202T100000\r\n\
            DTEND;TZID=Europe/Vienna:20260202T113000\r\nRRULE:FREQ=WEEKLY;BYDAY=MO\r\n\
            LOCATION:Pier 4\r\nORGANIZER;CN=\"Ann: the smith\":MAILTO:ann@example.org\r\n\
            ATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:ben@example.org\r\n\
            DESCRIPTION:Bring oars.\\n\\nAnd rope\\; two.\r\nBEGIN:VALARM\r\n\
            DESCRIPTION:Reminder\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        assert_eq!(
            read(calendar),
            "Invitation: Launch of the boat, at last\nWhen: 2026-02-02 10:00 to 11:30 \
             (Europe/Vienna)\nRepeats: FREQ=WEEKLY;BYDAY=MO\nWhere: Pier 4\n\
             Organiser: Ann: the smith <ann@example.org>\n\nBring oars.\n\nAnd rope; two.\n"
        );
    }

    #[test]
    fn times_are_told_with_their_zones() {
        let check = |start: &str, end: &str, expected: &str| {
            let event =
                format!("BEGIN:VEVENT\nSUMMARY:S\nDTSTART{start}\nDTEND{end}\nEND:VEVENT\n");
            assert_eq!(read(&event), format!("Invitation: S\nWhen: {expected}\n"));
        };
        check(
            ":20260202T090000Z",
            ":20260202T100000Z",
            "2026-02-02 09:00 to 10:00 (UTC)",
        );
        check(
            ":20260202T220000",
            ":20260203T010000",
            "2026-02-02 22:00 to 2026-02-03 01:00",
        );
        check(
            ";TZID=A/B:20260202T220000",
            ";TZID=C/D:20260202T230000",
            "2026-02-02 22:00 (A/B) to 23:00 (C/D)",
        );
        check(";VALUE=DATE:20260202", ";VALUE=DATE:20260203", "2026-02-02");
        check(
            ";VALUE=DATE:20260202",
            ";VALUE=DATE:20260205",
            "2026-02-02 to 2026-02-04",
        );
        check(":20260202T090000Z", ":soon", "2026-02-02 09:00 (UTC)");
    }

    #[test]
    fn what_is_called_off_or_answered_says_so() {
        let event = "BEGIN:VEVENT\nSUMMARY:S\nATTENDEE;CN=Ben;PARTSTAT=DECLINED:mailto:b@example.org\n\
            END:VEVENT\n";
        assert_eq!(read(&format!("METHOD:CANCEL\n{event}")), "Cancelled: S\n");
        assert_eq!(
            read(&format!("METHOD:REPLY\n{event}")),
            "Answer to the invitation: S\nBen <b@example.org>: declined\n"
        );
        assert_eq!(
            read("BEGIN:VEVENT\nSUMMARY:S\nSTATUS:CANCELLED\nEND:VEVENT"),
            "Cancelled: S\n"
        );
        assert_eq!(read("BEGIN:VEVENT\nDTSTART:2026é0102\nSUMMARY:S"), "");
    }
}
