use super::*;

#[test]
fn a_place_counts_lines_and_characters_from_one() {
    let source = Source::new("a: 1\nöä: x\n");
    let place = source.place(source.span(9, 10));
    assert_eq!((place.line, place.column, place.text.as_str()), (2, 5, "x"));
    assert_eq!(source.text().get(place.start..place.end), Some("x"));
}

#[test]
fn a_place_outside_the_text_is_at_its_end() {
    let source = Source::new("ab\n");
    let place = source.place(source.span(70, 80));
    assert_eq!((place.start, place.end, place.line, place.column), (3, 3, 2, 1));
    let empty = Source::new("");
    assert_eq!(empty.place(empty.span(0, 5)).line, 1);
}

#[test]
fn only_the_first_line_of_a_block_is_underlined() {
    let source = Source::new("a:  \n  b: 1\n");
    let span = source.first_line(source.span(0, 12));
    assert_eq!(source.place(span).text, "a:");
}

#[test]
fn a_long_text_is_shortened_and_made_plain() {
    assert_eq!(shortened("a\tb"), "a b");
    assert_eq!(shortened(&"é".repeat(100)).chars().count(), 81);
}
