//! Vectors in a byte a number: what an exact scan reads first.
//!
//! A scan waits for memory, so a quarter of the bytes is a quarter of the time. The few candidates
//! that come out, twice as many as are wanted, are compared by their whole vectors, where those are
//! in memory; of a large index only the codes are, and a vector index proposes.
//! `eval/results/scale.json` has the recall of both.

use lance_linalg::distance::dot::dot;

/// How many times the wanted rows a scan of codes must propose.
pub(super) const OVERSAMPLING: usize = 2;

/// A byte that stands for 0.
const ZERO: f32 = 128.0;

/// One vector in bytes: its numbers divided by `scale`, plus [`ZERO`].
pub(super) struct Code {
    bytes: Vec<u8>,
    scale: f32,
    sum: f32,
}

impl Code {
    /// The code of a vector.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "1 to 255 by construction"
    )]
    pub(super) fn of(vector: &[f32]) -> Self {
        let largest = vector.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
        let code = |x: &f32| (x / scale + ZERO).round().clamp(1.0, 255.0) as u8;
        let bytes: Vec<u8> = vector.iter().map(code).collect();
        let sum = bytes.iter().map(|byte| f32::from(*byte)).sum();
        Self { bytes, scale, sum }
    }
}

/// The codes of many vectors of one length, by place.
pub(super) struct Codes {
    dimensions: usize,
    bytes: Vec<u8>,
    rows: Vec<Row>,
    /// Rows whose code is not known yet.
    unknown: usize,
}

/// Scale of a row, and the sum of its bytes. A scale of 0 stands for a code that is not known.
#[derive(Clone, Copy, Default)]
struct Row {
    scale: f32,
    sum: f32,
}

impl Codes {
    /// No codes yet, of vectors of this length.
    pub(super) fn new(dimensions: usize) -> Self {
        Self::unknown(dimensions, 0)
    }

    /// Room for the codes of so many vectors.
    pub(super) fn unknown(dimensions: usize, rows: usize) -> Self {
        Self {
            dimensions,
            bytes: vec![0; rows * dimensions],
            rows: vec![Row::default(); rows],
            unknown: rows,
        }
    }

    /// Are all codes known?
    pub(super) fn is_complete(&self) -> bool {
        self.unknown == 0
    }

    /// Adds a code behind the others.
    pub(super) fn push(&mut self, code: &Code) {
        self.push_unknown();
        self.set(self.rows.len() - 1, code);
    }

    /// Makes room for one code more.
    pub(super) fn push_unknown(&mut self) {
        self.bytes.resize(self.bytes.len() + self.dimensions, 0);
        self.rows.push(Row::default());
        self.unknown += 1;
    }

    /// Takes the code of the vector at a place.
    pub(super) fn set(&mut self, place: usize, code: &Code) {
        let start = place * self.dimensions;
        self.bytes[start..start + self.dimensions].copy_from_slice(&code.bytes);
        self.unknown -= usize::from(!self.rows[place].is_known());
        self.rows[place] = Row {
            scale: code.scale,
            sum: code.sum,
        };
    }

    /// Removes a vector; the last one takes its place.
    pub(super) fn swap_remove(&mut self, place: usize) {
        let last = self.rows.len() - 1;
        let (to, from) = (place * self.dimensions, last * self.dimensions);
        self.bytes.copy_within(from..from + self.dimensions, to);
        self.bytes.truncate(from);
        let removed = self.rows.swap_remove(place);
        self.unknown -= usize::from(!removed.is_known());
    }

    /// About the dot product of a vector with the one at a place, if its code is known.
    pub(super) fn product(&self, query: &Code, place: usize) -> Option<f32> {
        let (product, _) = self.products(query, place, place + 1).next()?;
        self.rows[place].is_known().then_some(product)
    }

    /// About the dot products of a vector with those from `first` up to `end`, with their places.
    pub(super) fn products<'a>(
        &'a self,
        query: &'a Code,
        first: usize,
        end: usize,
    ) -> impl Iterator<Item = (f32, usize)> + 'a {
        #[expect(clippy::cast_precision_loss, reason = "vectors are short")]
        let constant = ZERO * ZERO * self.dimensions as f32 - ZERO * query.sum;
        let codes = self.bytes[first * self.dimensions..end * self.dimensions]
            .chunks_exact(self.dimensions.max(1));
        let rows = codes.zip(&self.rows[first..end]).zip(first..);
        rows.map(move |((code, row), place)| {
            // (a - zero)(b - zero), summed.
            let product = dot(query.bytes.as_slice(), code) - ZERO * row.sum + constant;
            (query.scale * row.scale * product, place)
        })
    }
}

impl Row {
    fn is_known(self) -> bool {
        self.scale > 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_codes_are_near_those_of_vectors() {
        let vector = |seed: u32| -> Vec<f32> {
            let number = |n: u32| {
                let mixed = (seed * 977 + n * 131).wrapping_mul(2_654_435_761);
                f32::from(u16::try_from(mixed >> 16).unwrap()) / 65_536.0 - 0.5
            };
            let raw: Vec<f32> = (0..384).map(number).collect();
            let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
            raw.iter().map(|x| x / length).collect()
        };
        let mut codes = Codes::new(384);
        (0..50).for_each(|seed| codes.push(&Code::of(&vector(seed))));
        codes.swap_remove(3);
        let place_of = |seed: u32| if seed == 49 { 3 } else { seed as usize };
        let query = vector(7);
        let query_code = Code::of(&query);
        let found: Vec<(f32, usize)> = codes.products(&query_code, 0, 49).collect();
        for seed in (0..50).filter(|seed| *seed != 3) {
            let exact: f32 = query.iter().zip(vector(seed)).map(|(a, b)| a * b).sum();
            let (about, place) = found[place_of(seed)];
            assert_eq!(place, place_of(seed));
            assert!((about - exact).abs() < 0.01, "{seed}: {about} {exact}");
        }
    }

    #[test]
    fn nothing_has_a_code_too() {
        let mut codes = Codes::new(4);
        codes.push(&Code::of(&[0.0; 4]));
        let zero = codes.product(&Code::of(&[0.0; 4]), 0).unwrap();
        assert!(zero.abs() < 1e-3);
    }

    #[test]
    fn codes_that_are_not_known_yet_follow_their_rows() {
        let known = Code::of(&[0.5; 4]);
        let mut codes = Codes::unknown(4, 2);
        codes.push(&known);
        assert!(!codes.is_complete());
        assert_eq!(codes.product(&known, 0), None);
        // The known one takes the place of the first.
        codes.swap_remove(0);
        assert!((codes.product(&known, 0).unwrap() - 1.0).abs() < 0.01);
        codes.set(1, &known);
        codes.set(1, &known);
        assert!(codes.is_complete());
    }
}
