//! Evaluation as the edges use it: suites are run beside the owner's knowledge base, results are
//! kept, found again and compared.
//!
//! Every set has a knowledge base of its own below `eval/` in the data folder; what is learned is
//! learned in a copy of that. The owner's ledger sees none of it but for the owner's own past
//! questions, whose measurements it keeps.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{App, now_ms};
use crate::energy::Meter;
use crate::error::{BadRequest, Failure};
use crate::flow::evaluate::arm::Arm;
use crate::flow::evaluate::held_out::HeldOut;
use crate::flow::evaluate::learning::{self, Variant, Variants, Yield};
use crate::flow::evaluate::outcome::{Log, Outcome, Terms};
use crate::flow::evaluate::own::{self, Point};
use crate::flow::evaluate::remembered::Memory;
use crate::flow::evaluate::result::{self, By, Harness, ModelSeen, RunResult, SetSeen};
use crate::flow::evaluate::set::{self, EvaluationSet};
use crate::flow::evaluate::split::{self, Split};
use crate::flow::evaluate::suite::Suite;
use crate::flow::evaluate::{Asking, set::ingest_set};
use crate::flow::ingest::Progress;
use crate::flow::writeback::ranking;
use crate::settings::{Places, Settings};
use crate::store::sources::Rules;
use crate::store::{Access, StoreError};

/// What is asked of a run.
pub struct Run<'a> {
    /// The suite, with what the command line changed of it.
    pub suite: Suite,
    /// Where sets are looked for.
    pub data: Option<PathBuf>,
    /// Whether to go on with what was asked before.
    pub resume: bool,
    /// A file that keeps outcomes from machine to machine.
    pub log: Option<PathBuf>,
    /// The command that runs it again.
    pub command: String,
    /// Hears what is done, and how far it is.
    pub told: &'a dyn Fn(&str, usize, usize),
    /// Hears of the reading of a set's documents.
    pub synced: &'a dyn Fn(&Progress),
}

/// The line of the owner's past questions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LearningLine {
    /// What they scored, the oldest first.
    pub points: Vec<Point>,
}

/// Where results lie.
pub fn results_folder(places: &Places) -> PathBuf {
    places.home.join("eval/results")
}

/// Runs a suite; blocks, for hours where it is long. The result is written after every set, so that
/// what was measured until then can be read; it is found by its name or as the newest of the suite.
///
/// # Errors
/// A set that is not there, or what the store and the models say.
pub fn run(settings: &Settings, places: &Places, run: &Run<'_>) -> Result<RunResult, Failure> {
    let suite = &run.suite;
    // All of them before the first is asked: a name that is wrong is told at once.
    let mut sets = Vec::new();
    for name in &suite.sets {
        let place = suite.place(name, run.data.as_deref())?;
        sets.push((name.as_str().to_owned(), place));
    }
    let started = now();
    let by = by(settings, places, suite)?;
    has_its_models(settings, places, suite)?;
    let terms = Terms {
        run: format!(
            "{}-{}",
            suite.name,
            started.replace([':', '-'], "").replace(['T', 'Z'], "")
        ),
        suite: suite.name.clone(),
        conditions: by.conditions.clone(),
        started: started.clone(),
    };
    let (build, commit) = (by.builds.concat(), by.commit.clone());
    let mut log = Log::open(&places.home.join("eval/runs"), terms, run.resume)?;
    if let Some(kept) = &run.log {
        log.take(kept)?;
        // A place that cannot be written is told before the first question.
        log.keep(kept)?;
    }
    let path = results_folder(places).join(format!("{}.json", log.terms().run));
    let earlier = run.resume.then(|| RunResult::read(&path).ok()).flatten();
    let mut table = Table::new(run, by, earlier);
    let mut result = None;
    for (n, (name, place)) in sets.iter().enumerate() {
        let set = EvaluationSet::read(place, name, suite.split.as_deref())?;
        let all = set.questions.iter().chain(&set.unanswerable);
        HeldOut::add(&places.home, all.map(|question| question.text.as_str()))?;
        let split = split::split(&set, suite);
        if split.asked.is_empty() {
            return Err(nothing_to_ask(name).into());
        }
        let mut asking = Asking {
            suite,
            set: &set,
            log: &mut log,
            build: &build,
            commit: commit.as_deref(),
            of: String::new(),
            told: run.told,
            memory: Memory::default(),
            harness: Harness::default(),
        };
        let found = asked(settings, places, run, &mut asking, &split)?;
        let harness = asking.harness;
        table.take(found, &split, harness);
        let so_far = table.so_far(&log, n + 1 == sets.len());
        so_far.write(&path)?;
        if let Some(kept) = &run.log {
            log.keep(kept)?;
        }
        result = Some(so_far);
    }
    result.ok_or_else(|| {
        let hint = "name sets in the suite's file, or with --set";
        BadRequest::new("no_sets", "the suite names no sets", hint).into()
    })
}

fn nothing_to_ask(set: &str) -> BadRequest {
    BadRequest::new(
        "nothing_to_ask",
        format!("no question of {set} has what this suite measures"),
        "answers are measured with golden answers, ranking with judgements",
    )
}

/// What a run has come to so far.
struct Table<'a> {
    run: &'a Run<'a>,
    by: By,
    suite: Suite,
    sets: Vec<SetSeen>,
    units: Vec<Yield>,
    /// The questions of each set that was asked now.
    asked: HashMap<String, HashSet<String>>,
    harness: Harness,
    /// Was each of the other sets of the run asked before?
    others_complete: bool,
}

impl<'a> Table<'a> {
    /// Of a run that begins, or goes on: what was measured of other sets before is a part of it.
    fn new(run: &'a Run<'a>, by: By, earlier: Option<RunResult>) -> Self {
        let mut table = Self {
            run,
            by,
            suite: run.suite.clone(),
            sets: Vec::new(),
            units: Vec::new(),
            asked: HashMap::new(),
            harness: Harness::default(),
            others_complete: true,
        };
        if let Some(mut earlier) = earlier {
            let others = |name: &str| run.suite.sets.iter().all(|set| set.as_str() != name);
            earlier.suite.sets.retain(|set| others(set.as_str()));
            earlier.sets.retain(|set| others(&set.name));
            earlier.units.retain(|learned| others(&learned.set));
            table.others_complete = earlier.sets.len() == earlier.suite.sets.len();
            table.suite.sets.splice(0..0, earlier.suite.sets);
            table.sets = earlier.sets;
            table.units = earlier.units;
        }
        table
    }

    fn take(&mut self, found: (SetSeen, Vec<Yield>), split: &Split<'_>, harness: Harness) {
        let (set, units) = found;
        let ids = split.asked.iter().map(|chosen| chosen.question.id.clone());
        self.asked.insert(set.name.clone(), ids.collect());
        self.sets.push(set);
        self.units.extend(units);
        self.harness.calls_s += harness.calls_s;
        self.harness.wall_s += harness.wall_s;
        self.harness.asked += harness.asked;
    }

    /// What was asked in other ways before is a part of the table; other questions, and those of a
    /// set as it was before an edit, or with other units, are not.
    fn shows(&self, outcome: &Outcome) -> bool {
        let is_of = if Arm::of(&outcome.arm).units.is_some() {
            let mut units = self.units.iter();
            units.any(|of| of.set == outcome.set && of.of == outcome.of)
        } else {
            let mut sets = self.sets.iter();
            sets.any(|set| set.name == outcome.set && set.hash == outcome.of)
        };
        let asked = self.asked.get(&outcome.set);
        is_of && asked.is_none_or(|asked| asked.contains(&outcome.id))
    }

    fn so_far(&self, log: &Log, all: bool) -> RunResult {
        let shown: Vec<&Outcome> = log.outcomes().filter(|o| self.shows(o)).collect();
        let builds: BTreeSet<&String> = shown.iter().map(|outcome| &outcome.build).collect();
        let commits: BTreeSet<&Option<String>> = shown.iter().map(|o| &o.commit).collect();
        // Of several, none is the one that gave these figures.
        let commit = commits.first().filter(|_| commits.len() == 1);
        let questions = result::blocks(shown.iter().copied());
        RunResult {
            run: log.terms().run.clone(),
            suite: self.suite.clone(),
            complete: all && self.others_complete,
            started: log.terms().started.clone(),
            ended: now(),
            command: self.run.command.clone(),
            by: By {
                builds: builds.into_iter().cloned().collect(),
                commit: commit.and_then(|commit| (*commit).clone()),
                ..self.by.clone()
            },
            sets: self.sets.clone(),
            rows: result::rows(&questions, self.suite.seed),
            comparisons: result::comparisons(&questions, self.suite.seed),
            units: self.units.clone(),
            abstention: result::curves(shown.iter().copied()),
            harness: self.harness,
            questions,
        }
    }
}

/// Asks one set, in a knowledge base of its own.
fn asked(
    settings: &Settings,
    places: &Places,
    run: &Run<'_>,
    asking: &mut Asking<'_>,
    split: &Split<'_>,
) -> Result<(SetSeen, Vec<Yield>), Failure> {
    let set = asking.set;
    let began = Instant::now();
    let app = knowledge_base(settings, places, set, run.synced)?;
    let ready_s = began.elapsed().as_secs_f64();
    let ledger = app.store.ledger();
    let (documents, contents) = ledger
        .read(|snapshot| Ok::<_, StoreError>((snapshot.documents()?, snapshot.contents()?)))?;
    // Notes change beside their questions.
    let of = blake3::hash(format!("{} {contents}", set.hash).as_bytes()).to_hex();
    of[..16].clone_into(&mut asking.of);
    let mut yields = Vec::new();
    app.answering(|parts| asking.ask(parts, &split.asked, None))?;
    drop(app);
    if !run.suite.units.is_empty() {
        yields = with_units(settings, places, run, asking, split)?;
    }
    let mut questions: BTreeMap<String, usize> = BTreeMap::new();
    for group in split.asked.iter().flat_map(|chosen| &chosen.groups) {
        *questions.entry((*group).to_owned()).or_default() += 1;
    }
    if !split.train.is_empty() {
        questions.insert("learned-from".into(), split.train.len());
    }
    let seen = SetSeen {
        name: set.name.clone(),
        hash: asking.of.clone(),
        documents,
        questions,
        ready_s,
    };
    Ok((seen, yields))
}

/// Learns in a copy of the set's knowledge base, and asks there with each variant of units.
fn with_units(
    settings: &Settings,
    places: &Places,
    run: &Run<'_>,
    asking: &mut Asking<'_>,
    split: &Split<'_>,
) -> Result<Vec<Yield>, Failure> {
    let set = asking.set;
    let suite = asking.suite;
    let base = home_of(places, set);
    let mut copy = base.clone().into_os_string();
    copy.push("-writeback");
    let copy = PathBuf::from(copy);
    let key = serde_json::json!({
        "conditions": asking.log.terms().conditions, "set": asking.of, "build": asking.build,
    })
    .to_string();
    let kept = copy.join("eval-learning.json");
    let noted = std::fs::read_to_string(&kept).unwrap_or_default();
    if !(run.resume && noted == key) {
        let io = |source| StoreError::io(&copy, source);
        let _ = std::fs::remove_dir_all(&copy);
        copy_folder(&base, &copy).map_err(io)?;
        std::fs::write(&kept, &key).map_err(io)?;
    }
    let app = App::open(settings.clone(), at(places, copy.clone()), Access::Write)?;
    let model_gates = settings.writeback.model_gates;
    // Units are compared with none under the same weights, also where the run goes on.
    ranking::reset(&app.store)?;
    app.answering(|parts| {
        let train = &split.train;
        let learned = copy.join("eval-learned.json");
        let way = (suite.k, model_gates);
        let told = |what: &str, n: usize, of: usize| {
            (run.told)(&format!("{} {what}", set.name), n, of);
        };
        let learned = learning::learn(parts, train, way, &learned, &told)?;
        let variants = Variants::new(parts, set, learned, model_gates);
        let mut yields = Vec::new();
        let of = asking.of.clone();
        for variant in &suite.units {
            let units = variants.use_only(*variant, train, &of)?;
            asking.of.clone_from(&units.of);
            yields.push(units);
            asking.ask(parts, &split.asked, Some(*variant))?;
        }
        // Left as it was after learning, for a run that goes on.
        variants.use_only(Variant::Approved, train, &of)?;
        asking.of = of;
        Ok(yields)
    })
}

/// A knowledge base of the set's documents, beside the owner's; made once.
///
/// # Errors
/// What the store and the models say.
pub fn knowledge_base(
    settings: &Settings,
    places: &Places,
    set: &EvaluationSet,
    synced: &dyn Fn(&Progress),
) -> Result<App, Failure> {
    let home = home_of(places, set);
    let mut beside = home.clone().into_os_string();
    beside.push("-notes");
    let notes = set.notes(Path::new(&beside))?;
    open_notes(settings, at(places, home), &notes, synced)
}

/// A knowledge base of a folder of notes, and of nothing else; made once.
///
/// # Errors
/// What the store and the models say.
pub fn open_notes(
    settings: &Settings,
    places: Places,
    notes: &Path,
    synced: &dyn Fn(&Progress),
) -> Result<App, Failure> {
    let app = App::open(settings.clone(), places, Access::Write)?;
    let source = app.add_source(notes, &Rules::default())?;
    ingest_set(&app.ingest, &source, synced)?;
    Ok(app)
}

/// Where a set's knowledge base lies. Folders of notes have names that others have, too.
fn home_of(places: &Places, set: &EvaluationSet) -> PathBuf {
    let mut name = file_name(&set.name);
    if let Some(root) = set.root() {
        let root = blake3::hash(root.as_os_str().as_encoded_bytes()).to_hex();
        name = format!("{name}-{}", &root[..8]);
    }
    places.home.join("eval").join(name)
}

/// The name of a set's folder, which is none of those that lie beside it.
pub(super) fn file_name(set: &str) -> String {
    let name = set.replace(['/', '\\'], "-");
    let taken = ["runs", "results", "built-in"].contains(&name.as_str());
    if taken || name.starts_with('.') {
        return format!("set-{name}");
    }
    name
}

/// Without its model, a way that needs one would be another way.
fn has_its_models(settings: &Settings, places: &Places, suite: &Suite) -> Result<(), Failure> {
    let needing = suite.strategies.iter().find(|method| method.needs_model());
    let server = !settings.models.server.url.is_empty();
    if let Some(method) = needing.filter(|_| !server) {
        let models = crate::engine::install::Models::at(&places.models);
        models
            .installed(&settings.models.generator)
            .map_err(|error| {
                BadRequest::new(
                    "no_language_model",
                    format!("`{}` needs a language model: {error}", method.name()),
                    "install one with `coho models install`, or name other ways: \
                 `--strategy extractive cascade`",
                )
            })?;
    }
    Ok(())
}

/// The places with another data folder.
pub fn at(places: &Places, home: PathBuf) -> Places {
    Places {
        home,
        ..places.clone()
    }
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Program, models, settings and machine.
fn by(settings: &Settings, places: &Places, suite: &Suite) -> Result<By, Failure> {
    let models = crate::engine::install::Models::at(&places.models);
    let mut seen = BTreeMap::new();
    let mut note = |what: &str, name: &str| {
        let sha256 = models
            .installed(name)
            .ok()
            .map(|installed| installed.sha256);
        let name = name.to_owned();
        seen.insert(what.to_owned(), ModelSeen { name, sha256 });
    };
    let runtime = models
        .list()
        .into_iter()
        .find(|m| m.role == crate::engine::manifest::Role::Runtime);
    note("embedder", &settings.models.embedder);
    note("generator", &settings.models.generator);
    if let Some(runtime) = runtime {
        note("runtime", &runtime.name);
    }
    // Where things lie and who listens changes no outcome, and is nobody's business.
    let chosen = &settings.models;
    let server = (!chosen.server.url.is_empty()).then(|| chosen.server.model.clone());
    let settings = serde_json::json!({
        "search": settings.search, "answer": settings.answer, "writeback": settings.writeback,
        "chunks": settings.chunks, "context_tokens": chosen.context_tokens,
        "kv_type": chosen.kv_type, "reranker": chosen.reranker, "lora": adapter(&chosen.lora),
        "server": server,
    });
    // More questions and more ways do not change what came of others; more to learn from does.
    let learned = suite.units.first().map(|_| format!("{:?}", suite.learn));
    let conditions = serde_json::json!({
        "models": seen, "settings": counting(settings.clone()), "k": suite.k, "seed": suite.seed,
        "split": suite.split, "learn": learned,
    });
    let conditions = conditions.to_string();
    Ok(By {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        builds: vec![build()?],
        commit: commit(),
        models: seen,
        conditions: blake3::hash(conditions.as_bytes()).to_hex()[..16].to_owned(),
        settings,
        machine: machine(),
        energy: Meter::start().stop(std::time::Duration::ZERO).method,
    })
}

/// The hash of an adapter's file; its path is nobody's business.
fn adapter(path: &Path) -> Option<String> {
    let file = std::fs::read(path).ok()?;
    Some(blake3::hash(&file).to_hex()[..16].to_owned())
}

/// Settings without those that say when, how long and for what price: a run goes on when they
/// change.
fn counting(mut settings: serde_json::Value) -> serde_json::Value {
    const OTHERS: [(&str, &str); 8] = [
        ("writeback", "automatic"),
        ("writeback", "review"),
        ("writeback", "idle_s"),
        ("writeback", "day_s"),
        ("writeback", "day_joules"),
        ("writeback", "day_units"),
        ("writeback", "measure"),
        ("answer", "price_per_million"),
    ];
    for (section, key) in OTHERS {
        if let Some(section) = settings[section].as_object_mut() {
            section.remove(key);
        }
    }
    settings
}

/// The first digits of this program's hash.
fn build() -> Result<String, StoreError> {
    let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
    let io = |source| StoreError::io(&path, source);
    let file = std::fs::File::open(&path).map_err(io)?;
    let mut hash = blake3::Hasher::new();
    hash.update_reader(file).map_err(io)?;
    Ok(hash.finalize().to_hex()[..12].to_owned())
}

/// The commit of the checkout that this is run in, where it is one of coho.
fn commit() -> Option<String> {
    let manifest = std::fs::read_to_string("Cargo.toml").ok()?;
    manifest.contains("name = \"coho\"").then_some(())?;
    let git = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12"])
        .output()
        .ok()?;
    let told = String::from_utf8(git.stdout).ok()?;
    Some(told.trim().to_owned()).filter(|commit| !commit.is_empty())
}

fn machine() -> BTreeMap<String, String> {
    let read = |path: &str, key: &str| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let mut machine = BTreeMap::from([
        (
            "system".to_owned(),
            format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        ),
        ("cores".to_owned(), cores.to_string()),
    ]);
    let processor = read("/proc/cpuinfo", "model name");
    let memory = read("/proc/meminfo", "MemTotal");
    for (name, value) in [("processor", processor), ("memory", memory)] {
        machine.extend(value.map(|value| (name.to_owned(), value)));
    }
    machine
}

/// A result by the name of its run, the beginning of that name (then the newest), or its file.
///
/// # Errors
/// [`BadRequest`] where there is none.
pub fn result(places: &Places, name: &str) -> Result<RunResult, Failure> {
    let path = Path::new(name);
    if path.extension().is_some_and(|end| end == "json") && path.exists() {
        return Ok(RunResult::read(path)?);
    }
    let mut results = result::results_below(&results_folder(places));
    let found = results
        .iter()
        .rposition(|r| r.run == name)
        .or_else(|| results.iter().rposition(|r| r.run.starts_with(name)));
    let found = found.map(|place| results.swap_remove(place));
    found.ok_or_else(|| {
        BadRequest::new(
            "no_such_run",
            format!("there is no result {name}"),
            "`coho eval list` names the runs of this machine; the file of a result will do as well",
        )
        .into()
    })
}

/// Results of a suite, the oldest first: of this machine, and of other folders.
pub fn history(places: &Places, suite: &str, folders: &[PathBuf]) -> Vec<RunResult> {
    let mut all = result::results_below(&results_folder(places));
    for folder in folders {
        all.extend(result::results_below(folder));
    }
    all.retain(|result| result.suite.name == suite);
    all.sort_by(|a, b| a.started.cmp(&b.started));
    all.dedup_by(|a, b| a.run == b.run);
    all
}

impl App {
    /// Asks the owner's past questions again, and keeps what they scored; blocks. None where it was
    /// stopped.
    ///
    /// # Errors
    /// What the store and the embedding model say.
    pub fn measure_own(
        &self,
        batch: Option<String>,
        told: &dyn Fn(usize, usize),
        stop: &AtomicBool,
    ) -> Result<Option<Point>, Failure> {
        let space = self.spaces.current();
        let searcher = self.searcher(&space);
        let merge = self.settings.writeback.merge;
        let point = own::measure(&searcher, merge, (now_ms(), batch), told, stop)?;
        if let Some(point) = point.as_ref().filter(|point| point.questions > 0) {
            own::keep(&self.store, point)?;
        }
        Ok(point)
    }

    /// What the owner's past questions scored over time.
    ///
    /// # Errors
    /// What the ledger says.
    pub fn learning_line(&self) -> Result<LearningLine, StoreError> {
        let points = own::line(&self.store)?;
        Ok(LearningLine { points })
    }
}

/// Names of sets below a folder of evaluation data.
pub fn sets_below(data: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut look = |folder: &Path, prefix: &str, deeper: &mut Vec<(PathBuf, String)>| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.path().is_dir()) {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if set::is_set(&entry.path()) {
                names.push(name);
            } else {
                deeper.push((entry.path(), format!("{name}/")));
            }
        }
    };
    let mut deeper = Vec::new();
    look(data, "", &mut deeper);
    for (folder, prefix) in deeper {
        look(&folder, &prefix, &mut Vec::new());
    }
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_when_nothing_that_counts_has_changed() {
        let places = Places {
            home: PathBuf::new(),
            config: PathBuf::new(),
            models: PathBuf::new(),
        };
        let suite = |text: &str| -> Suite {
            toml::from_str(&format!("about = \"\"\nsets = []\n{text}")).unwrap()
        };
        let of = |suite: &Suite| by(&Settings::default(), &places, suite).unwrap().conditions;
        let under = |change: &dyn Fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            by(&settings, &places, &suite("")).unwrap().conditions
        };
        let usual = under(&|_| {});
        assert_eq!(under(&|s| s.writeback.measure = false), usual);
        assert_eq!(under(&|s| s.serve.max_body_kb = 7), usual);
        assert_ne!(under(&|s| s.answer.max_tokens = 7), usual);
        assert_ne!(under(&|s| s.writeback.model_gates = false), usual);
        assert_ne!(under(&|s| s.models.generator = "none".into()), usual);
        assert_eq!(of(&suite("limit = 4\nstrategies = [\"naive\"]")), usual);
        for other in [
            "k = 7",
            "seed = 1",
            "split = \"dev\"",
            "units = [\"writeback\"]",
        ] {
            assert_ne!(of(&suite(other)), usual, "{other}");
        }
        // More to learn from gives other units; without units nothing is learned.
        assert_eq!(of(&suite("learn = 9")), usual);
        let learned = |learn: &str| of(&suite(&format!("units = [\"writeback\"]\n{learn}")));
        assert_ne!(learned("learn = 9"), learned("learn = 10"));
    }

    #[test]
    fn no_set_lies_where_something_else_does() {
        for (set, expected) in [
            ("squad", "squad"),
            ("xquad/de", "xquad-de"),
            ("runs", "set-runs"),
            ("..", "set-.."),
            ("../x", "set-..-x"),
        ] {
            assert_eq!(file_name(set), expected);
        }
    }
}
