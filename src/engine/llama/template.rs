//! Conversations as tokens, by the model's own chat template.
//!
//! The template's text may hold special tokens, the content may not: documents are data, whatever
//! they say. The template is applied to marks that stand for the contents, and each part is turned
//! into tokens by itself. Marks that are no special tokens (the plain turns for models without a
//! template, and those of some templates) are broken in the contents.

use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};
use llama_cpp_2::token::LlamaToken;

use crate::engine::generate::{Message, Role};
use crate::engine::markup::broken;

/// Private-use characters that stand for the contents while the template is applied.
const MARK: char = '\u{f8f0}';

/// A conversation in tokens.
pub(super) struct Tokens {
    /// The tokens, up to where the model goes on.
    pub all: Vec<LlamaToken>,
    /// How many of them the lasting parts make, with the template's text before and behind them.
    pub lasting: usize,
}

/// The tokens of a conversation, of which so many parts are lasting.
pub(super) fn tokens_of(model: &LlamaModel, messages: &[Message], lasting_parts: usize) -> Tokens {
    let vocab = model.vocab();
    let mut all = Vec::new();
    let (mut lasting, mut parts) = (0, 0);
    for piece in render(model, messages) {
        match piece {
            Piece::Template(text) => {
                let first = all.is_empty();
                vocab.tokenize_into(text.as_bytes(), &mut all, first, true);
                if parts == lasting_parts {
                    lasting = all.len();
                }
            }
            Piece::Content(at) => {
                let message = &messages[at];
                for (n, part) in message.parts.iter().enumerate() {
                    let mut part = part.as_str();
                    if n == 0 {
                        part = part.trim_start();
                    }
                    if n + 1 == message.parts.len() {
                        part = part.trim_end();
                    }
                    let first = all.is_empty();
                    vocab.tokenize_into(broken(part).as_bytes(), &mut all, first, false);
                    parts += 1;
                    if parts == lasting_parts {
                        lasting = all.len();
                    }
                }
            }
        }
    }
    if all.is_empty() {
        // Not even a beginning: a model has to be asked something.
        vocab.tokenize_into(b" ", &mut all, true, false);
    }
    Tokens { all, lasting }
}

/// Does the model bring a template that llama.cpp knows?
pub(super) fn has_template(model: &LlamaModel) -> bool {
    let greeting = LlamaChatMessage::new("user".into(), "hello".into());
    let (Ok(template), Ok(greeting)) = (model.chat_template(None), greeting) else {
        return false;
    };
    model
        .apply_chat_template(&template, &[greeting], true)
        .is_ok()
}

/// How the templates of models that may think (Qwen3 and others) say that this time they do not. What
/// they would think is no answer, and takes the tokens of one.
const NO_THOUGHT: &str = "<think>\n\n</think>\n\n";

/// The same for models that say in which of their channels they speak (gpt-oss).
const FINAL_CHANNEL: &str = "<|channel|>final<|message|>";

/// What stands before an answer of this model, so that it does not think before it writes.
fn without_thought(template: &LlamaChatTemplate) -> &'static str {
    let text = template.as_c_str().to_string_lossy();
    let knows = |mark: &str| text.contains(mark);
    // Some that think only when they are told to speak of it in their instructions.
    let thinks = knows("<think>") && !knows("<think></think>");
    if knows("<|channel|>") {
        FINAL_CHANNEL
    } else if knows("enable_thinking") || thinks {
        NO_THOUGHT
    } else {
        ""
    }
}

/// Turns with the instructions said by the user, at the head of the first question.
fn as_one_turn<'a>(turns: &[(&'a str, String)]) -> Vec<(&'a str, String)> {
    match turns {
        [("system", told), (role, asked), rest @ ..] => {
            let first = (*role, format!("{told}\n\n{asked}"));
            std::iter::once(first).chain(rest.iter().cloned()).collect()
        }
        _ => turns.to_vec(),
    }
}

enum Piece {
    Template(String),
    Content(usize),
}

/// A conversation that ends with words of the model is left open: the model goes on there.
fn render(model: &LlamaModel, messages: &[Message]) -> Vec<Piece> {
    let open = messages.last().filter(|m| m.role == Role::Assistant);
    let messages = &messages[..messages.len() - usize::from(open.is_some())];
    let mark = |i: usize| format!("{MARK}{i}{MARK}");
    let turns = messages.iter().enumerate();
    let turns = turns.map(|(i, message)| (message.role.as_str(), mark(i)));
    let turns: Vec<(&str, String)> = turns.collect();
    let template = model
        .chat_template(None)
        .or_else(|_| LlamaChatTemplate::new("chatml"));
    let by_template = |turns: &[(&str, String)]| {
        let template = template.as_ref().ok()?;
        let turn = |(role, said): &(&str, String)| {
            LlamaChatMessage::new((*role).to_owned(), said.clone()).ok()
        };
        let chat: Vec<LlamaChatMessage> = turns.iter().map(turn).collect::<Option<_>>()?;
        let rendered = model.apply_chat_template(template, &chat, true).ok()?;
        // Some templates know no instructions, and leave them out.
        let whole = (0..messages.len()).all(|i| rendered.contains(&mark(i)));
        // Others have begun to think already.
        let begun = rendered.trim_end().strip_suffix("<think>");
        let rendered = begun.map(str::to_owned).unwrap_or(rendered);
        whole.then(|| rendered + without_thought(template))
    };
    let rendered = by_template(&turns).or_else(|| by_template(&as_one_turn(&turns)));
    // A template that llama.cpp does not know: plain turns are understood by any model.
    let rendered = rendered.unwrap_or_else(|| {
        let turn = |(role, said): &(&str, String)| format!("{role}: {said}\n\n");
        turns.iter().map(turn).collect::<String>() + "assistant:"
    });
    let mut pieces = Vec::new();
    for (i, piece) in rendered.split(MARK).enumerate() {
        match piece.parse::<usize>() {
            Ok(at) if i % 2 == 1 && at < messages.len() => pieces.push(Piece::Content(at)),
            _ if piece.is_empty() => {}
            _ => pieces.push(Piece::Template(piece.to_owned())),
        }
    }
    if open.is_some() {
        pieces.push(Piece::Content(messages.len()));
    }
    pieces
}
