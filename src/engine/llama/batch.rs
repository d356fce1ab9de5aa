//! Continuous batching: several texts are read and written at once, a batch of tokens at a time.
//!
//! Each request has a sequence of the context (several, where several prompts have a say in one
//! text). A step reads one token of every text that is being written and fills up with tokens of
//! prompts, in the order in which they came. A new prompt begins behind what it has in common with
//! any sequence, whether that one is at work or has ended: keys and values are shared, not copied.
//! Where another is about to read more of its beginning, it waits for that.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;

use super::protocol::{News, Trouble};
use super::states::States;
use super::template::{Tokens, tokens_of};
use super::text::{Flow, TextStream};
use crate::engine::generate::{
    Continuation, Finish, Generated, Grammar, Message, Prompt, Sampling, Scored,
};

/// Tokens of one step at most.
pub(super) const BATCH_TOKENS: usize = 512;

/// Tokens of prompts in one step while others write: they should not feel it.
const BESIDE_WRITERS: usize = 64;

/// How long a step may take that reads prompts alone, as far as the speed of those before tells: who
/// leaves is let go between steps.
const STEP: Duration = Duration::from_secs(1);

/// Tokens of such a step at least.
const LEAST_READ: usize = 32;

/// Tokens of ended sequences that are kept beside running ones at most.
const REMEMBERED_TOKENS: usize = 256;

/// Tokens in common from which on sharing is worth it.
const LEAST_SHARED: usize = 8;

/// Tokens that another is about to read from which on they are waited for.
const WORTH_WAITING: usize = 32;

/// Tokens that are left for what is written, at least.
const LEAST_ROOM: usize = 8;

/// How long a grammar may take over a token, and over all tokens of a text. Where it takes longer, as
/// where its rules refer to each other, everybody else would wait for it.
const CHOICE: Duration = Duration::from_secs(5);
const CHOICES: Duration = Duration::from_mins(1);

/// A request that was taken.
pub(super) struct Task {
    id: u64,
    slots: Vec<Slot>,
    job: Job,
    came: Instant,
    begun: Option<Instant>,
    /// When the prompt was read.
    read: Option<Instant>,
    prompt_tokens: usize,
    cached_tokens: usize,
    cpu: Duration,
}

enum Job {
    Write(Box<Writing>),
    /// The answer begins with this token.
    Score {
        from: usize,
        log_probs: Vec<f32>,
    },
}

struct Writing {
    sampler: Option<LlamaSampler>,
    /// How long the choice of its tokens took, where a grammar has a say in it.
    chosen_in: Option<Duration>,
    text: TextStream,
    log_probs: Vec<f32>,
    token_ends: Vec<usize>,
    most: usize,
}

/// One prompt of a request.
struct Slot {
    /// Number of its sequence, once it has one.
    sequence: Option<usize>,
    tokens: Vec<LlamaToken>,
    /// Tokens whose state is worth keeping on disk, and what that belongs to.
    lasting: usize,
    lasting_with: Option<String>,
    /// Its say.
    weight: f32,
    /// What this step reads, and the place in the batch.
    reads: Range<usize>,
    place: usize,
    /// The distribution behind the last token, where others have a say too.
    logits: Option<Vec<f32>>,
}

/// What a sequence of the context holds.
#[derive(Default)]
struct Sequence {
    held: Vec<LlamaToken>,
    busy: bool,
    used: u64,
}

/// A context that several requests share.
pub(super) struct Batcher<'model> {
    model: &'model LlamaModel,
    context: LlamaContext<'model>,
    batch: LlamaBatch<'static>,
    /// Requests that are worked on at once.
    parallel: usize,
    /// Tokens of one sequence at most.
    per_sequence: usize,
    sequences: Vec<Sequence>,
    running: Vec<Task>,
    waiting: VecDeque<Task>,
    states: Option<States>,
    /// Can a sequence be cut at any token?
    divisible: bool,
    clock: u64,
    /// Tokens of prompts that fit into [`STEP`].
    step_tokens: usize,
}

impl<'model> Batcher<'model> {
    /// A batcher of `sequences` sequences, for so many requests at once.
    pub(super) fn new(
        model: &'model LlamaModel,
        context: LlamaContext<'model>,
        (parallel, sequences): (usize, usize),
        states: Option<States>,
    ) -> Self {
        let trained = model.n_ctx_train().max(512);
        Self {
            parallel,
            per_sequence: context.n_ctx().min(trained) as usize,
            model,
            context,
            batch: LlamaBatch::new(BATCH_TOKENS, 1),
            sequences: (0..sequences).map(|_| Sequence::default()).collect(),
            running: Vec::new(),
            waiting: VecDeque::new(),
            states,
            divisible: !(model.is_recurrent() || model.is_hybrid()),
            clock: 0,
            step_tokens: LEAST_READ,
        }
    }

    /// Tokens that a prompt and its continuation may have.
    pub(super) fn per_sequence(&self) -> usize {
        self.per_sequence
    }

    /// Is there nothing to do?
    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Takes a text to be written.
    pub(super) fn generate(&mut self, id: u64, prompt: Prompt) -> Result<(), Trouble> {
        let own = 1.0 - prompt.beside.iter().map(|(_, weight)| weight).sum::<f32>();
        let mut slots = vec![self.slot(&prompt.messages, prompt.lasting_parts, own)?];
        slots[0].lasting_with.clone_from(&prompt.lasting_with);
        for (messages, weight) in &prompt.beside {
            slots.push(self.slot(messages, prompt.lasting_parts, *weight)?);
        }
        let longest = slots.iter().map(|slot| slot.tokens.len()).max();
        let longest = longest.unwrap_or(0);
        // An answer that is cut off after some words is worse than one from fewer passages.
        self.fits(longest, prompt.max_tokens.min(self.per_sequence / 4))?;
        let room = self.per_sequence - longest;
        let writing = Writing {
            sampler: sampler(self.model, &prompt.sampling, prompt.grammar.as_ref())?,
            chosen_in: prompt.grammar.as_ref().map(|_| Duration::ZERO),
            text: TextStream::new(prompt.stop),
            log_probs: Vec::new(),
            token_ends: Vec::new(),
            most: prompt.max_tokens.min(room),
        };
        self.wait(id, slots, Job::Write(Box::new(writing)))
    }

    /// Takes a text to be scored.
    pub(super) fn score(&mut self, id: u64, given: &Continuation) -> Result<(), Trouble> {
        let mut slot = self.slot(&given.messages, 1, 1.0)?;
        let from = slot.tokens.len();
        let vocab = self.model.vocab();
        vocab.tokenize_into(given.answer.as_bytes(), &mut slot.tokens, false, false);
        self.fits(slot.tokens.len(), LEAST_ROOM)?;
        let log_probs = Vec::new();
        self.wait(id, vec![slot], Job::Score { from, log_probs })
    }

    /// Leaves a request; what it wrote so far is told.
    pub(super) fn cancel(&mut self, id: u64, tell: &mut dyn FnMut(u64, News)) {
        if let Some(at) = self.waiting.iter().position(|task| task.id == id) {
            let task = self.waiting.remove(at).expect("it was found there");
            self.end(task, Finish::Cancelled, tell);
        } else if let Some(at) = self.running.iter().position(|task| task.id == id) {
            let task = self.running.swap_remove(at);
            self.end(task, Finish::Cancelled, tell);
        }
    }

    fn slot(
        &self,
        messages: &[Message],
        lasting_parts: usize,
        weight: f32,
    ) -> Result<Slot, Trouble> {
        let Tokens { all, lasting } = tokens_of(self.model, messages, lasting_parts);
        self.fits(all.len(), LEAST_ROOM)?;
        Ok(Slot {
            sequence: None,
            lasting: lasting.min(all.len() - 1),
            lasting_with: None,
            tokens: all,
            weight,
            reads: 0..0,
            place: 0,
            logits: None,
        })
    }

    /// Is there room for so many tokens, and so many to be written?
    fn fits(&self, tokens: usize, room: usize) -> Result<(), Trouble> {
        if tokens + room <= self.per_sequence {
            return Ok(());
        }
        Err(Trouble::PromptTooLong {
            tokens: tokens + room,
            context: self.per_sequence,
        })
    }

    /// Tokens that all sequences may hold together.
    fn cells(&self) -> usize {
        self.context.n_ctx() as usize
    }

    /// As many of them as no running text may come to hold.
    fn unreserved(&self) -> usize {
        let reserved: usize = self.running.iter().map(Task::reserved).sum();
        self.cells().saturating_sub(reserved)
    }

    fn wait(&mut self, id: u64, slots: Vec<Slot>, job: Job) -> Result<(), Trouble> {
        let task = Task {
            id,
            prompt_tokens: slots.iter().map(|slot| slot.tokens.len()).sum(),
            slots,
            job,
            came: Instant::now(),
            begun: None,
            read: None,
            cached_tokens: 0,
            cpu: Duration::ZERO,
        };
        let cells = self.cells();
        if task.reserved() > cells || task.slots.len() > self.sequences.len() {
            return Err(Trouble::PromptTooLong {
                tokens: task.reserved(),
                context: cells,
            });
        }
        self.waiting.push_back(task);
        Ok(())
    }

    /// Reads and writes a batch of tokens.
    pub(super) fn step(&mut self, tell: &mut dyn FnMut(u64, News)) {
        self.admit();
        if self.running.is_empty() {
            return;
        }
        let (cpu, begun) = (ProcessTime::now(), Instant::now());
        let outcome = self.fill().and_then(|()| {
            let decoded = self.context.decode(&mut self.batch);
            decoded.map_err(|error| Trouble::run(&error))
        });
        if let Err(trouble) = outcome {
            // A context that failed is not to be trusted with what it holds.
            self.forget_all();
            for task in std::mem::take(&mut self.running) {
                tell(task.id, News::Failed(trouble.clone()));
            }
            return;
        }
        self.measure(begun.elapsed());
        let share = cpu.elapsed() / u32::try_from(self.running.len()).unwrap_or(1);
        for mut task in std::mem::take(&mut self.running) {
            task.cpu += share;
            match self.advance(&mut task, tell) {
                Ok(None) => self.running.push(task),
                Ok(Some(finish)) => self.end(task, finish, tell),
                Err(trouble) => {
                    self.release(&task);
                    tell(task.id, News::Failed(trouble));
                }
            }
        }
        tell(0, News::Step);
    }

    /// Learns from a step how many tokens the next may read. Small steps tell little.
    fn measure(&mut self, took: Duration) {
        let read = usize::try_from(self.batch.n_tokens()).unwrap_or(0);
        if read < LEAST_READ {
            return;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "tokens of a step"
        )]
        let fitting = (read as f64 * STEP.as_secs_f64() / took.as_secs_f64().max(1e-6)) as usize;
        self.step_tokens = fitting.clamp(LEAST_READ, BATCH_TOKENS);
    }

    /// Lets in those who wait, in order, while there is room.
    fn admit(&mut self) {
        self.seat();
        while let Some(task) = self.waiting.front()
            && self.running.len() < self.parallel
        {
            let used: usize = self.running.iter().map(|task| task.slots.len()).sum();
            let all = self.sequences.len();
            if used + task.slots.len() > all || task.reserved() > self.unreserved() {
                return;
            }
            let mut task = self.waiting.pop_front().expect("there is a first");
            task.begun = Some(Instant::now());
            self.running.push(task);
            self.seat();
        }
    }

    /// Gives a sequence to every prompt that was let in and has none, unless it waits for another.
    /// Those that are waited for have theirs and are read in every step, so no wait is for ever.
    fn seat(&mut self) {
        let slots = self.running.iter().enumerate().flat_map(|(n, task)| {
            let slots = task.slots.iter().enumerate();
            let unseated = slots.filter(|(_, slot)| slot.sequence.is_none());
            unseated.map(move |(at, _)| (n, at))
        });
        let unseated: Vec<(usize, usize)> = slots.collect();
        if unseated.is_empty() {
            return;
        }
        for (n, at) in unseated {
            let task = &self.running[n];
            let slot = &task.slots[at];
            // The last token is read again in any case, and so is the one before an answer that is
            // scored: their logits are wanted.
            let most = (slot.tokens.len() - 1).min(task.scored_from() - 1);
            if self.more_is_coming(slot, most) {
                continue;
            }
            let tokens = slot.tokens[..most].to_vec();
            let (lasting, owner) = (slot.lasting.min(most), slot.lasting_with.clone());
            let sequence = self.claim(&tokens, lasting, owner.as_deref());
            let task = &mut self.running[n];
            task.slots[at].sequence = Some(sequence);
            task.cached_tokens += self.sequences[sequence].held.len();
        }
        self.make_room();
    }

    /// Is somebody about to read clearly more of the first `most` tokens than can be had now?
    fn more_is_coming(&self, slot: &Slot, most: usize) -> bool {
        let tokens = &slot.tokens[..most];
        let lasting = slot.lasting.min(most);
        let owner = slot.lasting_with.as_deref();
        let kept = self.is_kept(&tokens[..lasting], owner);
        let numbers = 0..self.sequences.len();
        let held = numbers.map(|number| self.shared(number, tokens)).max();
        let held = held.unwrap_or(0).max(if kept { lasting } else { 0 });
        // What is to be kept for somebody is not taken over from another.
        let for_it = |other: &&Slot| {
            let shares = owner.is_none() || self.states.is_none() || kept;
            shares || other.lasting_with.as_deref() == owner
        };
        let others = self.running.iter().flat_map(|task| &task.slots);
        let others = others.filter(|other| {
            let sequence = other.sequence;
            sequence.is_some_and(|number| self.can_be_cut(number))
        });
        let coming = others.filter(for_it).map(|o| alike(&o.tokens, tokens));
        coming.max().unwrap_or(0) >= held + WORTH_WAITING
    }

    /// Can a sequence be had up to any of its tokens? A model with a sliding window forgets the
    /// beginning, and cannot go back to it.
    fn can_be_cut(&self, number: usize) -> bool {
        self.divisible && self.context.kv_cache_seq_pos_min(seq(number)) <= 0
    }

    /// Tokens at the beginning of `tokens` that can be had from a sequence.
    fn shared(&self, number: usize, tokens: &[LlamaToken]) -> usize {
        let sequence = &self.sequences[number];
        let same = alike(&sequence.held, tokens);
        let whole = same == sequence.held.len() && !sequence.busy;
        if whole || self.can_be_cut(number) {
            same
        } else {
            0
        }
    }

    /// A sequence that holds as much of the beginning of `tokens` as can be had, and no more.
    fn claim(&mut self, tokens: &[LlamaToken], lasting: usize, owner: Option<&str>) -> usize {
        let beginning = &tokens[..lasting];
        let (mut best, mut same) = (0, 0);
        for number in 0..self.sequences.len() {
            let shared = self.shared(number, tokens);
            if shared > same {
                (best, same) = (number, shared);
            }
        }
        let oldest = self.oldest();
        let kept = self.is_kept(beginning, owner);
        let chosen = if same < lasting && kept && self.restore(oldest, beginning, owner) {
            oldest
        } else if owner.is_some() && self.states.is_some() && same >= lasting && !kept {
            // A state is kept when a sequence is read up to there: so what is to be kept for somebody
            // and is not, is read once more.
            self.clear(oldest);
            oldest
        } else {
            // To read a state, what is shared may have had to go.
            let same = same.min(self.sequences[best].held.len());
            self.share(best, oldest, &tokens[..same])
        };
        self.clock += 1;
        self.sequences[chosen].busy = true;
        self.sequences[chosen].used = self.clock;
        chosen
    }

    /// Was the state behind a beginning kept on disk?
    fn is_kept(&self, beginning: &[LlamaToken], owner: Option<&str>) -> bool {
        let states = self.states.as_ref();
        states.is_some_and(|states| states.has(beginning, owner))
    }

    /// The free sequence that is missed least: one that holds nothing, or that was not used for longest.
    fn oldest(&self) -> usize {
        let free = (0..self.sequences.len()).filter(|n| !self.sequences[*n].busy);
        let oldest =
            free.min_by_key(|n| (!self.sequences[*n].held.is_empty(), self.sequences[*n].used));
        oldest.expect("there is a free sequence")
    }

    /// Brings a sequence into the state behind a beginning that was kept on disk.
    fn restore(&mut self, sequence: usize, beginning: &[LlamaToken], owner: Option<&str>) -> bool {
        self.clear(sequence);
        // Where there is no room for it, a state would be taken for damaged.
        self.make_room();
        let states = self.states.as_ref();
        let read = states
            .is_some_and(|states| states.read(&mut self.context, seq(sequence), beginning, owner));
        if read {
            self.sequences[sequence].held = beginning.to_vec();
        }
        read
    }

    /// Goes on in the sequence `from`, which begins with `tokens`, or from a copy of them in `free`;
    /// returns which.
    fn share(&mut self, from: usize, free: usize, tokens: &[LlamaToken]) -> usize {
        let same = tokens.len();
        // What a sequence holds beyond may be asked for again, unless it is little.
        let in_place = !self.sequences[from].busy && 2 * same >= self.sequences[from].held.len();
        if in_place || from == free {
            if cut(&mut self.context, from, Some(same)) {
                self.sequences[from].held.truncate(same);
            } else {
                self.clear(from);
            }
            return from;
        }
        self.clear(free);
        let end = u32::try_from(same).ok();
        let copied = same >= LEAST_SHARED
            && self
                .context
                .copy_kv_cache_seq(seq(from), seq(free), Some(0), end)
                .is_ok();
        if copied {
            self.sequences[free].held = tokens.to_vec();
        }
        free
    }

    fn clear(&mut self, sequence: usize) {
        // The removal of a whole sequence does not fail.
        cut(&mut self.context, sequence, None);
        self.sequences[sequence].held.clear();
    }

    fn forget_all(&mut self) {
        self.context.clear_kv_cache();
        for sequence in &mut self.sequences {
            sequence.held.clear();
            sequence.busy = false;
        }
    }

    /// Drops what ended sequences hold, the oldest first, until the running ones fit for sure.
    /// Little of it is kept in any case: attention looks at every cell that is in use, and skipping
    /// what belongs to others costs a fifth of the speed of writing.
    fn make_room(&mut self) {
        let most = self.unreserved().min(REMEMBERED_TOKENS);
        loop {
            let idle = self.sequences.iter().filter(|s| !s.busy);
            let held: usize = idle.map(|s| s.held.len()).sum();
            if held <= most {
                return;
            }
            let candidates = (0..self.sequences.len())
                .filter(|n| !self.sequences[*n].busy && !self.sequences[*n].held.is_empty());
            let Some(oldest) = candidates.min_by_key(|n| self.sequences[*n].used) else {
                return;
            };
            self.clear(oldest);
        }
    }

    /// Puts the next tokens into the batch: one of every text in the making, then prompts.
    fn fill(&mut self) -> Result<(), Trouble> {
        self.batch.clear();
        let writers = self.running.iter().filter(|task| task.is_writing());
        let writers: usize = writers.map(|task| task.slots.len()).sum();
        let mut room = if writers > 0 {
            BESIDE_WRITERS
        } else {
            self.step_tokens.min(BATCH_TOKENS - self.sequences.len())
        };
        for task in &mut self.running {
            let writing = task.is_writing();
            let scored = task.scored_from();
            for slot in &mut task.slots {
                let Some(sequence) = slot.sequence else {
                    continue;
                };
                let held = self.sequences[sequence].held.len();
                let mut end = slot.tokens.len();
                if !writing {
                    end = end.min(held + room);
                    // A stop behind what is kept on disk.
                    if held < slot.lasting {
                        end = end.min(slot.lasting);
                    }
                    room -= end - held;
                }
                slot.reads = held..end;
                slot.place = usize::try_from(self.batch.n_tokens()).unwrap_or(0);
                for at in slot.reads.clone() {
                    let wanted = at + 1 == slot.tokens.len() || at + 1 >= scored;
                    let position = i32::try_from(at).map_err(|error| Trouble::run(&error))?;
                    self.batch
                        .add(slot.tokens[at], position, &[seq(sequence)], wanted)
                        .map_err(|error| Trouble::run(&error))?;
                }
            }
        }
        Ok(())
    }

    /// What a step means for a request: how it ended, if it did.
    fn advance(
        &mut self,
        task: &mut Task,
        tell: &mut dyn FnMut(u64, News),
    ) -> Result<Option<Finish>, Trouble> {
        let last = self.take_in(task)?;
        match &task.job {
            Job::Score { .. } => Ok(last.map(|_| Finish::Stop)),
            Job::Write(_) => self.write_on(task, last, tell),
        }
    }

    /// Notes what a step read for a request: the states that are kept on disk, the log-probabilities
    /// that are asked for, and the distribution behind each prompt, where several have a say. Returns
    /// the place in the batch of the last token, once the last prompt is read.
    fn take_in(&mut self, task: &mut Task) -> Result<Option<i32>, Trouble> {
        let alone = task.slots.len() == 1;
        let mut last = None;
        for slot in &mut task.slots {
            let Some(sequence) = slot.sequence.filter(|_| !slot.reads.is_empty()) else {
                continue;
            };
            let held = &mut self.sequences[sequence].held;
            held.extend_from_slice(&slot.tokens[slot.reads.clone()]);
            if slot.reads.end == slot.lasting
                && let Some(states) = &self.states
            {
                let owner = slot.lasting_with.as_deref();
                states.keep(&self.context, seq(sequence), held, owner);
            }
            let place = |at: usize| {
                let place = slot.place + at - slot.reads.start;
                i32::try_from(place).unwrap_or(i32::MAX)
            };
            if let Job::Score { from, log_probs } = &mut task.job {
                for at in slot.reads.clone() {
                    if at + 1 >= *from && at + 1 < slot.tokens.len() {
                        let logits = self.context.get_logits_ith(place(at));
                        log_probs.push(log_prob(logits, slot.tokens[at + 1], normaliser(logits)?));
                    }
                }
            }
            if slot.reads.end == slot.tokens.len() {
                let end = place(slot.reads.end - 1);
                last = Some(end);
                slot.logits = (!alone).then(|| self.context.get_logits_ith(end).to_vec());
            }
        }
        Ok(last)
    }

    /// Writes the next token, if everything before it is read.
    fn write_on(
        &mut self,
        task: &mut Task,
        last: Option<i32>,
        tell: &mut dyn FnMut(u64, News),
    ) -> Result<Option<Finish>, Trouble> {
        let Job::Write(writing) = &mut task.job else {
            return Ok(None);
        };
        let mixed;
        let logits = if task.slots.len() == 1 {
            let Some(last) = last else { return Ok(None) };
            self.context.get_logits_ith(last)
        } else {
            let ready = task.slots.iter().all(|slot| slot.logits.is_some());
            if !ready {
                return Ok(None);
            }
            mixed = mixture(&task.slots)?;
            mixed.as_slice()
        };
        task.read.get_or_insert_with(Instant::now);
        if writing.log_probs.len() >= writing.most {
            return Ok(Some(Finish::Length));
        }
        // Before a token is chosen: where there are no numbers, the first one may mean the end.
        let normaliser = normaliser(logits)?;
        let begun = Instant::now();
        let token = choose(writing.sampler.as_mut(), logits)?;
        writing.note_choice(begun.elapsed())?;
        if self.model.vocab().is_eog(token) {
            return Ok(Some(Finish::Stop));
        }
        writing.log_probs.push(log_prob(logits, token, normaliser));
        let bytes = self.model.vocab().token_to_piece(token, false, None);
        let id = task.id;
        let flow = writing.text.push(&bytes, &mut |piece| {
            tell(id, News::Piece(piece.to_owned()));
        });
        writing.token_ends.push(writing.text.len());
        if flow == Flow::Stop {
            return Ok(Some(Finish::Stop));
        }
        if writing.log_probs.len() >= writing.most {
            return Ok(Some(Finish::Length));
        }
        for slot in &mut task.slots {
            slot.tokens.push(token);
            slot.logits = None;
        }
        Ok(None)
    }

    fn release(&mut self, task: &Task) {
        if task.begun.is_none() {
            return;
        }
        self.clock += 1;
        for number in task.slots.iter().filter_map(|slot| slot.sequence) {
            let sequence = &mut self.sequences[number];
            sequence.busy = false;
            sequence.used = self.clock;
        }
    }

    fn end(&mut self, task: Task, finish: Finish, tell: &mut dyn FnMut(u64, News)) {
        self.release(&task);
        let begun = task.begun.unwrap_or(task.came);
        let read = task.read.unwrap_or_else(Instant::now);
        match task.job {
            Job::Score { log_probs, .. } => {
                let scored = Scored {
                    log_probs,
                    prompt_tokens: task.prompt_tokens,
                    cached_tokens: task.cached_tokens,
                    took: begun.elapsed(),
                    cpu: task.cpu,
                };
                tell(task.id, News::Scored(scored));
            }
            Job::Write(writing) => {
                let text = writing.text.end(&mut |piece| {
                    tell(task.id, News::Piece(piece.to_owned()));
                });
                let generated = Generated {
                    text,
                    finish,
                    prompt_tokens: task.prompt_tokens,
                    cached_tokens: task.cached_tokens,
                    log_probs: writing.log_probs,
                    unseen_tokens: 0,
                    token_ends: writing.token_ends,
                    waited: begun.saturating_duration_since(task.came),
                    prefill: read.saturating_duration_since(begun),
                    generate: read.elapsed(),
                    cpu: task.cpu,
                };
                tell(task.id, News::Generated(Box::new(generated)));
            }
        }
    }
}

impl Writing {
    /// Notes how long the choice of a token took.
    fn note_choice(&mut self, took: Duration) -> Result<(), Trouble> {
        let Some(all) = &mut self.chosen_in else {
            return Ok(());
        };
        *all += took;
        let costly = |what: &str, took: Duration| {
            let reason = format!("{what} took {} s", took.as_secs());
            Err(Trouble::Costly(reason))
        };
        match (took > CHOICE, *all > CHOICES) {
            (true, _) => costly("one token", took),
            (false, true) => costly("all tokens together", *all),
            (false, false) => Ok(()),
        }
    }
}

impl Task {
    /// Tokens that it may come to hold.
    fn reserved(&self) -> usize {
        let more = match &self.job {
            Job::Write(writing) => writing.most.saturating_sub(writing.log_probs.len()),
            Job::Score { .. } => 0,
        };
        let tokens = self.slots.iter().map(|slot| slot.tokens.len() + more);
        tokens.sum()
    }

    /// From which token on the tokens are scored.
    fn scored_from(&self) -> usize {
        match &self.job {
            Job::Score { from, .. } => *from,
            Job::Write(_) => usize::MAX,
        }
    }

    /// Is the prompt read?
    fn is_writing(&self) -> bool {
        self.read.is_some()
    }
}

/// Makes a sequence forget what it holds from a token on, or all; not every model can forget a part.
fn cut(context: &mut LlamaContext<'_>, sequence: usize, from: Option<usize>) -> bool {
    let sequence = u32::try_from(sequence).ok();
    let from = from.and_then(|from| u32::try_from(from).ok());
    context
        .clear_kv_cache_seq(sequence, from, None)
        .unwrap_or(false)
}

/// Tokens that both begin with.
fn alike(some: &[LlamaToken], others: &[LlamaToken]) -> usize {
    some.iter().zip(others).take_while(|(a, b)| a == b).count()
}

fn seq(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn sampler(
    model: &LlamaModel,
    sampling: &Sampling,
    grammar: Option<&Grammar>,
) -> Result<Option<LlamaSampler>, Trouble> {
    let mut chain = Vec::new();
    if let Some(grammar) = grammar {
        let unusable = |error: &dyn std::fmt::Display| Trouble::Grammar(error.to_string());
        let gbnf = match grammar {
            Grammar::Gbnf(gbnf) => gbnf.clone(),
            Grammar::JsonSchema(schema) => {
                llama_cpp_2::json_schema_to_grammar(schema).map_err(|error| unusable(&error))?
            }
        };
        let sampler = LlamaSampler::grammar(model, &gbnf, "root");
        chain.push(sampler.map_err(|error| unusable(&error))?);
    }
    if sampling.temperature > 0.0 {
        chain.extend([
            LlamaSampler::top_k(sampling.top_k),
            LlamaSampler::top_p(sampling.top_p, 1),
            LlamaSampler::min_p(sampling.min_p, 1),
            LlamaSampler::temp(sampling.temperature),
            LlamaSampler::dist(sampling.seed),
        ]);
    } else if chain.is_empty() {
        // The likeliest token needs no machinery.
        return Ok(None);
    } else {
        chain.push(LlamaSampler::greedy());
    }
    Ok(Some(LlamaSampler::chain_simple(chain)))
}

fn choose(sampler: Option<&mut LlamaSampler>, logits: &[f32]) -> Result<LlamaToken, Trouble> {
    let Some(sampler) = sampler else {
        return Ok(likeliest(logits));
    };
    let tokens = (0..).zip(logits);
    let tokens = tokens.map(|(id, logit)| LlamaTokenData::new(LlamaToken(id), *logit, 0.0));
    let mut array = LlamaTokenDataArray::from_iter(tokens, false);
    sampler.apply(&mut array);
    let chosen = array.selected.and_then(|at| array.data.get(at));
    let unmet = || Trouble::Grammar("no token of the model fits it".into());
    let chosen = chosen.filter(|data| data.logit() > f32::NEG_INFINITY);
    let token = chosen.ok_or_else(unmet)?.id();
    sampler.try_accept(token).map_err(|_| unmet())?;
    Ok(token)
}

fn likeliest(logits: &[f32]) -> LlamaToken {
    let (mut best, mut top) = (0, f32::NEG_INFINITY);
    for (token, logit) in (0..).zip(logits) {
        if *logit > top {
            (best, top) = (token, *logit);
        }
    }
    LlamaToken(best)
}

/// The logarithm of the sum of all exponentials. A file that is damaged, or weights that overflow,
/// give what are no numbers.
fn normaliser(logits: &[f32]) -> Result<f32, Trouble> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // Logits far below the top add nothing to the sum, and most are.
    let near = logits.iter().filter(|logit| **logit > top - 20.0);
    let sum: f32 = near.map(|logit| (logit - top).exp()).sum();
    let normaliser = top + sum.ln();
    let odd = || Trouble::Run("what the model computes are no numbers: is its file whole?".into());
    normaliser.is_finite().then_some(normaliser).ok_or_else(odd)
}

fn log_prob(logits: &[f32], token: LlamaToken, normaliser: f32) -> f32 {
    let at = usize::try_from(token.0).unwrap_or(usize::MAX);
    let logit = logits.get(at).copied().filter(|logit| !logit.is_nan());
    // Infinity is not written as JSON.
    logit.map_or(f32::MIN, |logit| (logit - normaliser).clamp(f32::MIN, 0.0))
}

/// The logarithm of the weighted mean of what several prompts say.
fn mixture(slots: &[Slot]) -> Result<Vec<f32>, Trouble> {
    let of = |slot: &Slot| slot.logits.as_ref().map_or(0, Vec::len);
    let mut sum = vec![0.0_f32; slots.iter().map(of).max().unwrap_or(0)];
    for slot in slots {
        let logits = slot.logits.as_deref().unwrap_or_default();
        let normaliser = normaliser(logits)?;
        for (sum, logit) in sum.iter_mut().zip(logits) {
            *sum += slot.weight * (logit - normaliser).exp();
        }
    }
    Ok(sum.iter().map(|p| p.max(f32::MIN_POSITIVE).ln()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities_are_normalised() {
        let logits = [0.0_f32, 2.0, 1.0];
        assert_eq!(likeliest(&logits), LlamaToken(1));
        let sum = normaliser(&logits).unwrap();
        let all = (0..3).map(|n| log_prob(&logits, LlamaToken(n), sum).exp());
        assert!((all.sum::<f32>() - 1.0).abs() < 1e-5);
    }

    #[test]
    fn what_is_no_number_is_an_error() {
        for odd in [[f32::NAN; 2], [f32::NEG_INFINITY; 2], [f32::INFINITY, 0.0]] {
            assert!(normaliser(&odd).is_err(), "{odd:?}");
        }
        // One that cannot be is not likely.
        for other in [f32::NAN, f32::NEG_INFINITY] {
            let least = log_prob(&[0.0, other], LlamaToken(1), 0.0);
            assert!(least <= f32::MIN, "{least}");
        }
    }

    #[test]
    fn a_mixture_is_the_weighted_mean_of_probabilities() {
        let slot = |weight: f32, p: &[f32]| Slot {
            sequence: None,
            tokens: Vec::new(),
            lasting: 0,
            lasting_with: None,
            weight,
            reads: 0..0,
            place: 0,
            // Shifted: logits are known up to a constant.
            logits: Some(p.iter().map(|p| p.ln() + 3.0).collect()),
        };
        let mixed = mixture(&[slot(0.75, &[0.8, 0.2]), slot(0.25, &[0.4, 0.6])]).unwrap();
        assert!((mixed[0].exp() - 0.7).abs() < 1e-5, "{mixed:?}");
        assert!((mixed[1].exp() - 0.3).abs() < 1e-5, "{mixed:?}");
    }
}
