//! The name that was probably meant.

/// The known word that is nearest to `word`, if one is near enough to be a slip of the fingers.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let starts_alike = |name: &&&str| word.len() >= 2 && (name.starts_with(word) || word.starts_with(**name));
    if let Some(name) = known.iter().find(starts_alike) {
        return Some(name);
    }
    let (distance, name) = known.iter().map(|name| (edits(word, name), *name)).min()?;
    let allowed = (name.len() / 2).min(3);
    (distance <= allowed).then_some(name)
}

/// Levenshtein distance: the fewest insertions, deletions and replacements between two words.
fn edits(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("", ""), 0);
        assert_eq!(edits("", "ci"), 2);
        assert_eq!(edits("bench", "bench"), 0);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("tset", "test"), 2);
    }

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["setup", "test", "ci", "bench"];
        assert_eq!(nearest("stup", &known), Some("setup"));
        assert_eq!(nearest("cj", &known), Some("ci"));
        assert_eq!(nearest("be", &known), Some("bench"));
        assert_eq!(nearest("xy", &known), None);
        assert_eq!(nearest("publish", &known), None);
        assert_eq!(nearest("", &known), None);
    }
}
