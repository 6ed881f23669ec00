//! How well pairs of pictures of the same person can be told from pairs of two.

/// The error rate at the threshold where as many pairs of the same person are refused as pairs of two are accepted,
/// from 0 to 1; between two thresholds, where the line between them has both rates equal.
///
/// Pairs whose score is the threshold or higher are accepted. NaN if there are no pairs of either sort, or a score is
/// NaN.
///
/// # Source
/// The crossing of a ROC curve with its falling diagonal: ISO/IEC 19795-1.
pub fn equal_error_rate(same: &[f32], different: &[f32]) -> f64 {
    if same.is_empty() || different.is_empty() || same.iter().chain(different).any(|score| score.is_nan()) {
        return f64::NAN;
    }
    let mut scores: Vec<(f32, bool)> =
        same.iter().map(|score| (*score, true)).chain(different.iter().map(|score| (*score, false))).collect();
    scores.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    // The threshold falls from pair to pair: none accepted at first, all at last.
    let (mut accepted, mut refused) = (0.0, 1.0);
    for pairs in scores.chunk_by(|(a, _), (b, _)| a == b) {
        let own = pairs.iter().filter(|(_, same)| *same).count();
        let (before, still) = (accepted, refused);
        accepted += (pairs.len() - own) as f64 / different.len() as f64;
        refused -= own as f64 / same.len() as f64;
        if accepted >= refused {
            let share = (still - before) / ((accepted - before) + (still - refused));
            return before + share * (accepted - before);
        }
    }
    accepted
}
