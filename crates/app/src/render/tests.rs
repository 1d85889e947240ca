use super::*;
use std::time::Duration;

#[test]
fn columns_are_aligned_and_lines_have_no_trailing_spaces() {
    let rows = vec![vec![plain("a"), plain("long text")], vec![plain("bcd"), plain("")]];
    let widths = widths(&["X", "NAME"], &rows);
    let lines: Vec<String> = rows.iter().map(|row| aligned(row, &widths, false)).collect();
    assert_eq!(lines, ["a    long text", "bcd"]);
}

#[test]
fn colour_does_not_change_the_width() {
    let row = [toned("up", Tone::Good), plain("x")];
    assert_eq!(aligned(&row, &[4, 1], true), "\u{1b}[32mup\u{1b}[0m    x");
}

#[test]
fn spans_read_as_people_say_them() {
    let said = |millis| span(Duration::from_millis(millis));
    assert_eq!(
        [said(850), said(4_200), said(59_000), said(192_000), said(7_500_000), said(273_600_000)],
        ["850ms", "4.2s", "59s", "3m12s", "2h05m", "3d04h"]
    );
}
