//! Charts of Office Open XML: their titles, and their numbers with what each is of.

use std::collections::BTreeMap;

use calamine::{Data, ExcelDateTime, ExcelDateTimeType};

use super::Skip;
use super::archive::Archive;
use super::office::relations;
use super::pen::{Pen, one_line};
use super::sheet::{Format, shown};
use super::xml::{Attributes, Node, walk};

/// Writes the charts that a part of a document refers to, series by series.
pub(super) fn write(archive: &mut Archive<'_>, part: &str, pen: &mut Pen) {
    for chart in charts(archive, part, pen) {
        chart.write_titles(pen);
        chart.series.iter().for_each(|series| series.write(pen));
    }
}

/// Writes the titles of the charts that a part refers to, whose numbers are written elsewhere.
pub(super) fn write_titles(archive: &mut Archive<'_>, part: &str, pen: &mut Pen) {
    for chart in charts(archive, part, pen) {
        chart.write_titles(pen);
    }
}

/// The charts that a part refers to. One that cannot be read is missing, and the document is not.
fn charts(archive: &mut Archive<'_>, part: &str, pen: &mut Pen) -> Vec<Chart> {
    let mut charts = Vec::new();
    for relation in relations(archive, part).unwrap_or_default() {
        if !relation.kind.ends_with("/chart") {
            continue;
        }
        let mut chart = Chart::default();
        let xml = archive.text(&relation.target);
        let xml = xml.map(Option::unwrap_or_default);
        let read = xml.and_then(|xml| walk(&xml, |node| chart.visit(node)));
        pen.broke_off(read.unwrap_or_else(|Skip(error)| Some(error)));
        charts.push(chart);
    }
    charts
}

#[derive(Default)]
struct Chart {
    titles: Vec<String>,
    series: Vec<Series>,
    in_series: bool,
    in_labels: bool,
    /// What the values under way are.
    part: Part,
    index: u32,
    code: String,
    text: String,
    in_text: bool,
    /// The paragraph of a title under way.
    title: String,
    counts_from_1904: bool,
}

#[derive(Default)]
struct Series {
    name: String,
    categories: BTreeMap<u32, String>,
    values: BTreeMap<u32, String>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    #[default]
    None,
    Name,
    Categories,
    Values,
}

/// Values of a series that stand on one line.
const ON_LINE: usize = 24;

impl Series {
    fn write(&self, pen: &mut Pen) {
        let values: Vec<String> = self
            .values
            .iter()
            .map(|(index, value)| match self.categories.get(index) {
                Some(category) => format!("{category}: {value}"),
                None => value.clone(),
            })
            .collect();
        for values in values.chunks(ON_LINE) {
            let values = values.join(" | ");
            if self.name.is_empty() {
                pen.row(&values);
            } else {
                pen.row(&format!("{} | {values}", self.name));
            }
        }
    }
}

impl Chart {
    fn write_titles(&self, pen: &mut Pen) {
        if !self.titles.is_empty() {
            pen.paragraph(&format!("Chart: {}", self.titles.join("; ")));
        }
    }

    fn visit(&mut self, node: Node<'_>) {
        match node {
            Node::Open("ser", _) => {
                self.series.push(Series::default());
                self.in_series = true;
            }
            Node::Close("ser") => self.in_series = false,
            Node::Open("dLbls", _) => self.in_labels = true,
            Node::Close("dLbls") => self.in_labels = false,
            Node::Open(name @ ("tx" | "cat" | "xVal" | "val" | "yVal"), _) => {
                self.code.clear();
                self.part = match name {
                    "tx" => Part::Name,
                    "cat" | "xVal" => Part::Categories,
                    _ => Part::Values,
                };
            }
            Node::Close("tx" | "cat" | "xVal" | "val" | "yVal") => self.part = Part::None,
            Node::Open("date1904", attributes) => self.counts_from_1904 = is_set(&attributes),
            Node::Open("pt", attributes) => {
                let index = attributes.get("idx").and_then(|idx| idx.parse().ok());
                self.index = index.unwrap_or(0);
            }
            Node::Open("v" | "t" | "formatCode", _) => {
                self.text.clear();
                self.in_text = true;
            }
            Node::Text(text) if self.in_text => self.text.push_str(text),
            Node::Close(name @ ("v" | "t" | "formatCode")) => {
                self.in_text = false;
                match name {
                    "v" => self.put(),
                    "t" => self.title.push_str(&self.text),
                    _ => self.code.clone_from(&self.text),
                }
            }
            Node::Close("p") => {
                let title = one_line(&std::mem::take(&mut self.title));
                if !title.is_empty() {
                    self.titles.push(title);
                }
            }
            _ => {}
        }
    }

    /// Takes in the value that was read.
    fn put(&mut self) {
        let text = one_line(&self.text);
        let shown = self.shown(&text);
        let is_of_series = self.in_series && !self.in_labels;
        let series = self.series.last_mut().filter(|_| is_of_series);
        match (self.part, series) {
            // It may be of two cells.
            (Part::Name, Some(series)) => {
                series.name = one_line(&format!("{} {text}", series.name));
            }
            // A title or a label that is the text of a cell.
            (Part::Name, None) if !text.is_empty() => self.titles.push(text),
            (Part::Categories, Some(series)) => {
                let category = series.categories.entry(self.index).or_default();
                // The groups that categories are in follow them.
                if !category.is_empty() {
                    category.insert(0, ' ');
                }
                category.insert_str(0, &shown);
            }
            (Part::Values, Some(series)) => {
                series.values.insert(self.index, shown);
            }
            _ => {}
        }
    }

    /// A number as the chart shows it; other text as it is.
    fn shown(&self, text: &str) -> String {
        let Some(number) = text.parse::<f64>().ok().filter(|number| number.is_finite()) else {
            return text.to_owned();
        };
        let code = self.code.to_lowercase();
        if code.is_empty() {
            text.to_owned()
        } else if code.contains("yy") || code.contains("mmm") {
            let kind = ExcelDateTimeType::DateTime;
            let day = ExcelDateTime::new(number, kind, self.counts_from_1904);
            shown(&Data::DateTime(day), Format::Plain)
        } else {
            shown(&Data::Float(number), Format::of_code(&code))
        }
    }
}

/// Is what an element says about its chart so? Without a value, it is.
fn is_set(attributes: &Attributes<'_>) -> bool {
    !matches!(attributes.get("val").as_deref(), Some("0" | "false"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::source::Meta;

    #[test]
    fn numbers_stand_with_what_they_are_of() {
        let points = |texts: &[&str]| -> String {
            let points = texts.iter().enumerate();
            let points =
                points.map(|(n, text)| format!("<c:pt idx='{n}'><c:v>{text}</c:v></c:pt>"));
            points.collect()
        };
        let xml = format!(
            "<c:chartSpace><c:title><c:tx><c:rich><a:p><a:r><a:t>Eggs </a:t></a:r><a:r><a:t>laid</a:t>\
             </a:r></a:p></c:rich></c:tx></c:title><c:ser><c:tx><c:strRef>{}</c:strRef></c:tx><c:dLbls>\
             <c:tx>{}</c:tx></c:dLbls><c:cat>{}</c:cat><c:val><c:numCache>\
             <c:formatCode>0%</c:formatCode>{}</c:numCache></c:val></c:ser>\
             <c:ser><c:cat><c:formatCode>yyyy\\-mm</c:formatCode>{}</c:cat><c:val>{}</c:val></c:ser>\
             </c:chartSpace>",
            points(&["Old", "hens"]),
            points(&["best"]),
            points(&["May", "June"]),
            points(&["0.125", "0.5"]),
            points(&["46146"]),
            points(&["007"]),
        );
        let mut chart = Chart::default();
        walk(&xml, |node| chart.visit(node)).unwrap();
        let mut pen = Pen::new(1 << 20);
        chart.write_titles(&mut pen);
        chart
            .series
            .iter()
            .for_each(|series| series.write(&mut pen));
        let text = pen.finish(Meta::default()).unwrap().outline.text;
        assert_eq!(
            text,
            "Chart: Eggs laid; best\n\nOld hens | May: 12.5 % | June: 50 %\n2026-05-04: 007\n"
        );
    }
}
