//! The live view: what is measured, how a frame is laid out, and how it comes to a terminal.

mod frame;
mod lines;
mod sampler;
mod scene;
mod screen;
mod style;
mod words;

pub use self::{
    lines::Lines,
    scene::{Row, Scene},
    screen::Screen,
    style::Style,
};
pub(super) use self::{
    sampler::Sampler,
    words::{duration_in_words, grouped},
};

/// Shows a run while it goes on.
pub trait View {
    /// Shows the present state, about four times a second.
    fn show(&mut self, scene: &Scene);

    /// Leaves the place of the view as it should stay.
    fn finish(&mut self) {}
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl View for Silent {
    fn show(&mut self, _: &Scene) {}
}
