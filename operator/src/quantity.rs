//! Reads a quantity as Kubernetes writes it, such as `512Mi`, `1.5Gi`, `50m` or `1e9`.

/// The suffixes of a quantity, the longer ones first.
const SUFFIXES: [(&str, f64); 15] = [
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
];

/// The number that a quantity stands for, such as bytes or cores; `None` if it is none.
pub(crate) fn amount(quantity: &str) -> Option<f64> {
    let suffix = SUFFIXES.iter().find_map(|(suffix, factor)| Some((quantity.strip_suffix(suffix)?, *factor)));
    let (number, factor) = suffix.unwrap_or((quantity, 1.0));
    // A number in Rust may also be a word, such as `inf`.
    let is_written_in_digits = number.chars().all(|letter| letter.is_ascii_digit() || "+-.eE".contains(letter));
    let number = number.parse::<f64>().ok().filter(|number| is_written_in_digits && number.is_finite())?;
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_read_as_kubernetes_reads_it() {
        for (quantity, expected) in [
            ("512Mi", Some(536_870_912.0)),
            ("1.5Gi", Some(1_610_612_736.0)),
            ("800M", Some(8e8)),
            ("1e9", Some(1e9)),
            ("1E", Some(1e18)),
            ("128974848", Some(128_974_848.0)),
            ("128974848000m", Some(128_974_848.0)),
            ("", None),
            ("Mi", None),
            ("512MB", None),
            ("inf", None),
        ] {
            let read = amount(quantity);
            let same = match (read, expected) {
                (Some(read), Some(expected)) => (read - expected).abs() < 1.0,
                (read, expected) => read == expected,
            };
            assert!(same, "{quantity}: {read:?}");
        }
    }
}
