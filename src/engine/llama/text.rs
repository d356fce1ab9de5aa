//! Bytes of tokens, as text that can be shown.

/// What a piece of text means for the one who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Go on.
    Go,
    /// A stop text came.
    Stop,
}

/// Turns bytes of tokens into text: holds back what may be half a character or half a stop text.
#[derive(Debug, Default)]
pub(super) struct TextStream {
    stop: Vec<String>,
    bytes: Vec<u8>,
    text: String,
    emitted: usize,
}

impl TextStream {
    /// A stream that ends before any of these texts.
    pub(super) fn new(stop: Vec<String>) -> Self {
        Self {
            stop,
            ..Self::default()
        }
    }

    /// Takes a token's bytes; `emit` hears of what can be shown.
    pub(super) fn push(&mut self, piece: &[u8], emit: &mut dyn FnMut(&str)) -> Flow {
        self.bytes.extend_from_slice(piece);
        // Bytes that can never become a character are replaced below; those that may begin one wait.
        let last = self.bytes.utf8_chunks().last();
        let odd = last.map(|chunk| chunk.invalid()).unwrap_or_default();
        let waits = std::str::from_utf8(odd).is_err_and(|error| error.error_len().is_none());
        let whole = self.bytes.len() - if waits { odd.len() } else { 0 };
        let ready: Vec<u8> = self.bytes.drain(..whole).collect();
        let from = self.text.len();
        self.text.push_str(&String::from_utf8_lossy(&ready));
        let longest = self.stop.iter().map(String::len).max().unwrap_or(0);
        let mut search = from.saturating_sub(longest);
        while !self.text.is_char_boundary(search) {
            search -= 1;
        }
        let found = self.stop.iter().filter(|stop| !stop.is_empty());
        let found = found.filter_map(|stop| self.text[search..].find(stop.as_str()));
        if let Some(at) = found.min() {
            self.text.truncate(search + at);
            return Flow::Stop;
        }
        let mut safe = self.text.len() - self.held_back();
        while !self.text.is_char_boundary(safe) {
            safe -= 1;
        }
        self.emit_to(safe, emit);
        Flow::Go
    }

    /// Bytes of text so far.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Shows what was held back; the whole text.
    pub(super) fn end(mut self, emit: &mut dyn FnMut(&str)) -> String {
        self.emit_to(self.text.len(), emit);
        self.text
    }

    /// Bytes at the end that may be the beginning of a stop text.
    fn held_back(&self) -> usize {
        let starts = |stop: &String| {
            (1..stop.len())
                .rev()
                .find(|n| self.text.as_bytes().ends_with(&stop.as_bytes()[..*n]))
        };
        self.stop.iter().filter_map(starts).max().unwrap_or(0)
    }

    fn emit_to(&mut self, end: usize, emit: &mut dyn FnMut(&str)) {
        if end > self.emitted {
            emit(&self.text[self.emitted..end]);
            self.emitted = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(pieces: &[&[u8]], stop: &[&str]) -> (Vec<String>, String) {
        let stop: Vec<String> = stop.iter().map(ToString::to_string).collect();
        let mut text = TextStream::new(stop);
        let mut seen = Vec::new();
        let mut emit = |piece: &str| seen.push(piece.to_owned());
        for piece in pieces {
            if text.push(piece, &mut emit) == Flow::Stop {
                break;
            }
        }
        let whole = text.end(&mut emit);
        (seen, whole)
    }

    #[test]
    fn characters_are_never_cut_and_stop_texts_never_shown() {
        let (seen, text) = stream(&[b"caf\xc3", b"\xa9 ok"], &[]);
        assert_eq!((seen.concat(), text), ("café ok".into(), "café ok".into()));
        let (seen, text) = stream(&[b"yes\n", b"\nQues", b"tion: no"], &["\n\nQuestion:"]);
        assert_eq!((seen.concat(), text), ("yes".into(), "yes".into()));
        let (seen, _) = stream(&[b"a\n", b"b"], &["\n\n"]);
        assert_eq!(seen, ["a", "\nb"]);
        let (_, text) = stream(&[b"\xff\xfe", b"x"], &[]);
        assert!(text.ends_with('x'));
        // What is odd takes no character behind it with it.
        let (_, text) = stream(&[b"\xff\xc3", b"\xa9"], &[]);
        assert_eq!(text, "\u{fffd}\u{e9}");
    }
}
