//! Colours, or none.

/// What a piece of text says beyond its words; a colour is never the only sign of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Nothing.
    Plain,
    /// A heading or a label.
    Dim,
    /// All is well.
    Good,
    /// It recovers.
    Fair,
    /// It does not work.
    Bad,
}

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    color: bool,
}

impl Style {
    /// Text with colours.
    #[must_use]
    pub fn colored() -> Self {
        Self { color: true }
    }

    /// Text without colours.
    #[must_use]
    pub fn plain() -> Self {
        Self { color: false }
    }

    /// Puts a tone around a text that has its final width already.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.color => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Fair => "33",
            Tone::Bad => "31;1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
