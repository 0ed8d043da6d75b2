//! The names that were probably meant.

/// Names that are offered at most.
const OFFERED: usize = 3;
/// A longer word is no slip of the fingers, and measuring it would cost time.
const WORD_MAX: usize = 64;

/// Returns the known names that are near enough to `word` to be meant, nearest first, at most three.
pub(crate) fn near<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let length = word.chars().count();
    if length == 0 || length > WORD_MAX {
        return Vec::new();
    }
    let word = word.to_lowercase();
    let mut found: Vec<_> = known
        .into_iter()
        .filter_map(|name| {
            let starts_alike = word.len() >= 3 && (name.starts_with(&word) || word.starts_with(name));
            let distance = if starts_alike { 1 } else { edits(&word, &name.to_lowercase()) };
            let allowed = if length == 1 { 0 } else { (length / 3).clamp(1, 3) };
            (distance <= allowed).then_some((distance, name))
        })
        .collect();
    found.sort_unstable();
    found.truncate(OFFERED);
    found.into_iter().map(|(_, name)| name).collect()
}

/// The fewest insertions, deletions, replacements and swaps of neighbours between two words.
fn edits(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(a != b);
            let mut least = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && *b == left[i - 1] {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_nearest_first_and_other_words_are_not() {
        let known = ["users", "users-archive", "orders", "pricing"];
        assert_eq!(near("usres", known), ["users"]);
        assert_eq!(near("user", known), ["users", "users-archive"]);
        assert_eq!(near("Orders", known), ["orders"]);
        assert_eq!(near("prcing", known), ["pricing"]);
        assert!(near("payments", known).is_empty());
        assert!(near("", known).is_empty());
        assert!(near(&"u".repeat(100), known).is_empty());
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("same", "same"), 0);
        assert_eq!(edits("tset", "test"), 1);
    }
}
