//! Forms of words that no ending tells: "send" and "sent", "Austria" and "Austrians".

use std::collections::HashMap;
use std::sync::LazyLock;

use super::words::fold;

/// A word and its other forms, a line each. Those are left out that are another word more often:
/// "left" is a side, "ground" is the earth, "lay" lays.
const FORMS: &str = "
arise arose arisen
awake awoke awoken
beat beaten
become became
begin began begun
bend bent
bind bound
bite bit bitten
bleed bled
blow blew blown
break broke broken
breed bred
bring brought
build built
burn burnt
buy bought
catch caught
choose chose chosen
cling clung
come came
creep crept
deal dealt
dig dug
draw drew drawn
dream dreamt
drink drank drunk
drive drove driven
eat ate eaten
fall fell fallen
feed fed
feel felt
fight fought
find found
flee fled
fly flew flown
forbid forbade forbidden
forget forgot forgotten
forgive forgave forgiven
freeze froze frozen
get got gotten
give gave given
go went gone
grow grew grown
hang hung
hear heard
hide hid hidden
hold held
keep kept
know knew known
lean leant
learn learnt
lend lent
light lit
lose lost
make made
mean meant
meet met
pay paid
prove proven
ride rode ridden
ring rang rung
rise rose risen
run ran
say said
see saw seen
seek sought
sell sold
send sent
sew sewn
shake shook shaken
shine shone
shoot shot
show shown
shrink shrank shrunk
sing sang sung
sink sank sunk
sit sat
sleep slept
slide slid
smell smelt
sow sown
speak spoke spoken
speed sped
spell spelt
spend spent
spill spilt
spin spun
spring sprang sprung
stand stood
steal stole stolen
stick stuck
strike struck
swear swore sworn
sweep swept
swell swollen
swim swam swum
swing swung
take took taken
teach taught
tear tore torn
tell told
think thought
throw threw thrown
understand understood
wake woke woken
wear wore worn
weave wove woven
weep wept
win won
withdraw withdrew withdrawn
write wrote written
foot feet
goose geese
knife knives
man men
mouse mice
person people
shelf shelves
tooth teeth
wife wives
woman women
beginnen begann begonnen
beißen biss gebissen
bekommen bekam
bieten geboten
binden gebunden
bleiben blieb geblieben
brechen brach gebrochen
bringen brachte gebracht
denken dachte gedacht
essen aß gegessen
fahren fuhr gefahren
fangen fing gefangen
finden fand gefunden
fliegen flog geflogen
frieren fror gefroren
geben gab gegeben
gehen ging gegangen
gewinnen gewann gewonnen
gießen goss gegossen
halten hielt gehalten
heben gehoben
helfen geholfen
kennen kannte gekannt
kommen kam gekommen
laufen lief gelaufen
leihen lieh geliehen
lesen gelesen
liegen gelegen
nehmen nahm genommen
nennen nannte genannt
reißen riss gerissen
rufen rief gerufen
schieben schob geschoben
schlafen schlief geschlafen
schlagen schlug geschlagen
schließen schloss geschlossen
schneiden schnitt geschnitten
schreiben schrieb geschrieben
schwimmen schwamm geschwommen
sehen sah gesehen
sitzen saß gesessen
sprechen sprach gesprochen
springen gesprungen
stehen gestanden
stehlen stahl gestohlen
steigen stieg gestiegen
sterben starb gestorben
tragen trug getragen
treffen traf getroffen
treten trat getreten
trinken trank getrunken
vergessen vergaß
verlieren verlor verloren
wachsen wuchs gewachsen
waschen wusch gewaschen
werfen warf geworfen
wissen wusste gewusst
ziehen zog gezogen
";

/// Countries, with what is of them where that is more than an ending behind the name.
const PEOPLES: &str = "
america american
argentina argentine argentinian
belgium belgian
brazil brazilian
britain british briton
canada canadian
chile chilean
china chinese
croatia croat croatian
cyprus cypriot
czechia czech
denmark danish dane
egypt egyptian
england english englishman englishmen
europe european
finland finnish finn
france french frenchman frenchmen
germany german
greece greek
hungary hungarian
iceland icelandic icelander
india indian
iran iranian
ireland irish irishman irishmen
israel israeli
italy italian
japan japanese
korea korean
luxembourg luxembourger
malta maltese
mexico mexican
netherlands dutch
norway norwegian
peru peruvian
poland polish pole
portugal portuguese
romania romanian
russia russian
scotland scottish scot
serbia serb serbian
slovakia slovak
slovenia slovene slovenian
spain spanish spaniard
sweden swedish swede
switzerland swiss
thailand thai
turkey turkish turk
ukraine ukrainian
vietnam vietnamese
wales welsh
";

type Table = HashMap<String, &'static str>;

/// The first word of each line, by the others, with accents and without.
fn read(lines: &'static str) -> Table {
    let mut table = Table::new();
    for line in lines.lines() {
        let mut words = line.split(' ');
        let first = words.next().unwrap_or_default();
        for word in words {
            table.insert(fold(word), first);
            table.insert(word.to_owned(), first);
        }
    }
    table
}

/// The form under which a lower-case word stands in dictionaries, where no ending tells it.
pub(super) fn base(word: &str) -> Option<&'static str> {
    static TABLE: LazyLock<Table> = LazyLock::new(|| read(FORMS));
    TABLE.get(word).copied()
}

/// The country, in lower case, whose people or language a lower-case word names: "french",
/// "spaniards". A name with an ending of peoples is that of the country without it: "austrians".
pub(super) fn country(word: &str) -> Option<&str> {
    static TABLE: LazyLock<Table> = LazyLock::new(|| read(PEOPLES));
    let one = word.strip_suffix('s').unwrap_or(word);
    let known = TABLE.get(one).or_else(|| TABLE.get(word)).copied();
    known.or_else(|| one.strip_suffix('n').filter(|name| name.ends_with('a')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_lead_to_a_word_and_peoples_to_their_country() {
        assert_eq!(base("sent"), Some("send"));
        assert_eq!(base("aß"), Some("essen"));
        assert_eq!(base("send"), None);
        assert_eq!(country("french"), Some("france"));
        assert_eq!(country("spaniards"), Some("spain"));
        assert_eq!(country("swiss"), Some("switzerland"));
        assert_eq!(country("austrians"), Some("austria"));
        assert_eq!(country("anna"), None);
    }

    #[test]
    fn no_form_is_of_two_words() {
        for lines in [FORMS, PEOPLES] {
            let mut words: Vec<&str> = lines.split_whitespace().collect();
            let all = words.len();
            words.sort_unstable();
            words.dedup();
            assert_eq!(words.len(), all);
        }
    }
}
