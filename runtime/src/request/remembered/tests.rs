use super::*;

/// Entities whose texts have the same length and share a place.
const ALIKE: [&str; 4] = ["aa", "ab", "ba", "bb"];

fn text(middle: &str) -> String {
    format!("User::\"sixteen bytes {middle} and sixteen more\"")
}

fn interner(middles: &[&str]) -> Interner {
    let mut interner = Interner::new();
    for middle in middles {
        let text = text(middle);
        let eid = text.trim_start_matches("User::").trim_matches('"');
        interner.intern_entity("User", eid).expect("there is room");
    }
    interner
}

/// Looks up as binding does: in what is remembered, and if it is not there in the interner, but so
/// often that it is remembered from then on. Also says whether it was before.
fn find(uids: &mut RememberedUids, interner: &Interner, text: &str) -> (Option<EntityId>, bool) {
    uids.turn_to(interner);
    if let Some((id, _)) = uids.get(interner, text) {
        return (Some(id), true);
    }
    let found = interner.find_uid_text(text);
    for _ in 0..FEW {
        if let Some(known) = found
            && uids.get(interner, text).is_none()
        {
            uids.note(text, known);
        }
    }
    (found.map(|(id, _)| id), false)
}

#[test]
fn a_few_requests_are_not_remembered() {
    let interner = interner(&ALIKE);
    let mut uids = RememberedUids::default();
    uids.turn_to(&interner);
    for middle in ALIKE.iter().cycle().take(FEW as usize - 1) {
        let text = text(middle);
        uids.note(&text, interner.find_uid_text(&text).expect("is known"));
    }
    assert!(uids.slots.is_empty());
}

#[test]
fn texts_in_one_place_are_told_apart() {
    let interner = interner(&ALIKE);
    let mut uids = RememberedUids::default();
    for middle in ALIKE.iter().cycle().take(20) {
        let text = text(middle);
        assert_eq!(words(text.as_bytes()), words(self::text("aa").as_bytes()));
        let expected = interner.find_uid_text(&text).map(|(id, _)| id);
        assert!(expected.is_some());
        assert_eq!(find(&mut uids, &interner, &text).0, expected);
        // Once more: now it is remembered.
        assert_eq!(find(&mut uids, &interner, &text), (expected, true));
    }
    // A beginning of a text, or a text with more, is another.
    for other in [
        "User::\"sixteen bytes aa and sixteen mor\"",
        "User::\"\"",
        "",
    ] {
        assert_eq!(find(&mut uids, &interner, other), (None, false));
    }
}

#[test]
fn a_place_has_room_for_two_texts() {
    let mut interner = Interner::new();
    let key = |text: &str| Key::of(words(text.as_bytes()).expect("is long enough"));
    let texts = (0..PLACES).map(|i| format!("User::\"{i}\""));
    let texts: Vec<_> = texts.collect();
    for i in 0..PLACES {
        let id = i.to_string();
        interner.intern_entity("User", &id).expect("there is room");
    }
    let mut pairs = 0;
    for (i, one) in texts.iter().enumerate() {
        let with = |other: &&String| key(other).place == key(one).place;
        let Some(other) = texts[i + 1..].iter().find(with) else {
            continue;
        };
        let mut uids = RememberedUids::default();
        for text in [one, other, one, other] {
            find(&mut uids, &interner, text);
        }
        pairs += 1;
        assert_ne!(key(one).tag, key(other).tag, "{one} {other}");
        for text in [one, other] {
            let expected = interner.find_uid_text(text).map(|(id, _)| id);
            assert_eq!(find(&mut uids, &interner, text), (expected, true));
        }
    }
    assert!(pairs > 100, "{pairs}");
}

#[test]
fn another_interner_has_other_ids() {
    let (one, other) = (interner(&["aa", "ab"]), interner(&["ab", "aa"]));
    let mut uids = RememberedUids::default();
    for interner in [&one, &other, &one] {
        for _ in 0..2 {
            let text = text("aa");
            let expected = interner.find_uid_text(&text).map(|(id, _)| id);
            assert_eq!(find(&mut uids, interner, &text).0, expected);
        }
    }
}

#[test]
fn an_earlier_state_does_not_know_what_came_later() {
    let before = interner(&["aa"]);
    let mut after = before.clone();
    let late = text("zz");
    let eid = late.trim_start_matches("User::").trim_matches('"');
    let id = after.intern_entity("User", eid).expect("there is room");
    let mut uids = RememberedUids::default();
    assert_eq!(find(&mut uids, &after, &late), (Some(id), false));
    assert_eq!(find(&mut uids, &after, &late), (Some(id), true));
    assert_eq!(find(&mut uids, &before, &late), (None, false));
    assert_eq!(find(&mut uids, &after, &late), (Some(id), true));
}

#[test]
fn long_texts_and_short_ones_are_found() {
    let mut interner = Interner::new();
    let eids = (0..80).map(|len| "x".repeat(len)).collect::<Vec<_>>();
    for eid in &eids {
        interner.intern_entity("A", eid).expect("there is room");
    }
    let mut uids = RememberedUids::default();
    for eid in &eids {
        let text = format!("A::\"{eid}\"");
        let expected = interner.find_entity("A", eid);
        assert_eq!(find(&mut uids, &interner, &text), (expected, false));
        let remembered = (8..=MOST_BYTES).contains(&text.len());
        assert_eq!(find(&mut uids, &interner, &text), (expected, remembered));
    }
}
